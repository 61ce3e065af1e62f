/**
 * How every bench measures and tells: a case is run several times, each time in a process of its own, side by side with
 * its baseline, and printed as one JSON line with the median, the extremes and the number of samples.
 */
import { basename } from "node:path";
import { fileURLToPath } from "node:url";
import { runBounded } from "./bounded-run.ts";
import { openRoot } from "./folders.ts";
import { type Summary, summarize } from "./summary.ts";

/** What one run of a case measured: numbers by name. */
export type Measured = Record<string, number>;
export type Case = (args: Readonly<Record<string, string>>) => Measured | Promise<Measured>;

/** Samples of a whole run of benches; `BENCH_SAMPLES` asks for more or fewer. */
const SAMPLES = Number(process.env.BENCH_SAMPLES ?? 3);
/** What one sample of a case may take. */
const CASE_SECONDS = Number(process.env.BENCH_CASE_SECONDS ?? 60);

/** `BENCH_FULL=1` asks for the sizes too that take minutes to build. */
export const IS_FULL = process.env.BENCH_FULL === "1";

/** Cases of the store take the median of many pieces of work within one process; a full run repeats that as well. */
export const STORE_SAMPLES = IS_FULL ? SAMPLES : 1;

/** Prints one result as a JSON line. */
export function print(line: Record<string, unknown>): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

const ISOLATED = "--isolated-case";

/**
 * Defines the cases of a bench file, and runs either one of them (in a process that the bench started itself) or the
 * plan, which asks for cases by name.
 */
export async function bench(
  url: string,
  cases: Record<string, Case>,
  plan: (run: Runner) => Promise<void>,
): Promise<void> {
  const asked = process.argv.indexOf(ISOLATED);
  if (asked === -1) {
    openRoot();
    await plan(new Runner(url));
    return;
  }
  const name = process.argv[asked + 1] ?? "";
  const args = JSON.parse(process.argv[asked + 2] ?? "{}") as Record<string, string>;
  const measured = await cases[name]?.(args);
  process.stdout.write(`${JSON.stringify(measured)}\n`, () => process.exit(0));
}

export class Runner {
  readonly #file: string;

  constructor(url: string) {
    this.#file = fileURLToPath(url);
  }

  /** One run of a case in a fresh process with its own heap. @throws Error when it fails, or takes too long */
  async once(name: string, args: Record<string, string | number> = {}): Promise<Measured> {
    const flags = ["--expose-gc", "--no-warnings", "--max-old-space-size=8192"];
    const command = [process.execPath, ...flags, this.#file, ISOLATED, name, JSON.stringify(args)];
    const { lines, failure } = await runBounded({ command, seconds: CASE_SECONDS });
    const last = lines.at(-1);
    if (failure !== undefined || last === undefined) throw new Error(failure ?? "it printed nothing");
    return last as Measured;
  }

  /**
   * The case's numbers over several fresh processes; none of a case that fails, which is told in a line of its own so that the
   * other cases go on. None of the runs begins later than `untilMs` of this process.
   */
  async samples(
    name: string,
    args: Record<string, string | number> = {},
    count = SAMPLES,
    untilMs = Number.POSITIVE_INFINITY,
  ): Promise<Record<string, Summary>> {
    const runs: Measured[] = [];
    try {
      for (let left = count; left > 0; left -= 1) {
        if (performance.now() < untilMs) runs.push(await this.once(name, args));
        else if (runs.length === 0) throw new Error("there was no time left for it");
      }
    } catch (error) {
      const failed = error instanceof Error ? error.message : String(error);
      print({ bench: basename(this.#file, ".bench.ts"), case: name, ...args, failed });
    }
    const keys = Object.keys(runs[0] ?? {});
    return Object.fromEntries(keys.map((key) => [key, summarize(runs.map((run) => run[key] ?? Number.NaN))]));
  }
}

/** Collects garbage as far as the process lets us, and tells what is in use. */
export function memory(): { heap: number; rss: number } {
  for (let pass = 0; pass < 3; pass += 1) (globalThis as { gc?: () => void }).gc?.();
  const { heapUsed, rss } = process.memoryUsage();
  return { heap: heapUsed, rss };
}

/** Microseconds since some start. */
export const nowUs = (): number => performance.now() * 1000;
