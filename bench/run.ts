/**
 * `npm run bench`: every bench file, round after round, so that each sample of a case has a process of its own and stands beside
 * samples of its baselines, and of all other cases, in the same minutes. It ends in time (BENCH_MINUTES, default 14): the first
 * round takes all files, later ones what still fits. A case that fails or hangs is told, and loses nothing of the others.
 *
 * The results are in bench/results/latest.json after each file; `npm run bench:report` makes tables and plots of them. Names on
 * the command line choose files by their beginnings, and then only print. Some run only when they are named, and have results of
 * their own, such as bench/results/cluster.json.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, renameSync, writeFileSync } from "node:fs";
import { cpus, loadavg, totalmem } from "node:os";
import { join } from "node:path";
import { runBounded } from "./bounded-run.ts";
import { openRoot } from "./folders.ts";
import { isSummary, type Line, merged } from "./summary.ts";

openRoot();
const FOLDER = import.meta.dirname;
const RESULTS = join(FOLDER, "results");
const MINUTES = Number(process.env.BENCH_MINUTES ?? 14);
const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 5);
/** What no file takes, and none that has to be named; cases have bounds of their own. */
const FILE_SECONDS = 330;
const NAMED_FILE_SECONDS = 720;
/** What takes minutes for one figure, or needs more than this folder. */
const ON_DEMAND = ["cluster", "floor", "hostile", "loop", "million", "postgres"].map((name) => `${name}.bench.ts`);
const isOnDemand = (file: string): boolean => ON_DEMAND.includes(file);
/** What the report draws comes first. */
const FIRST = ["fork", "resume", "list", "spawn", "start", "app-server", "turn"];

const benchOf = (file: string): string => file.slice(0, -".bench.ts".length);
const chosen = process.argv.slice(2);
const rankOf = (name: string): number => {
  const at = FIRST.indexOf(benchOf(name));
  return at === -1 ? FIRST.length : at;
};
const files = readdirSync(FOLDER)
  .filter((name) => name.endsWith(".bench.ts"))
  .filter((name) => (chosen.length === 0 ? !isOnDemand(name) : chosen.some((part) => name.startsWith(part))))
  .sort((a, b) => rankOf(a) - rankOf(b));

type Failure = { readonly file: string; readonly round: number; readonly why: string };

const begun = Date.now();
const minutesGone = (): number => (Date.now() - begun) / 60_000;
const all: Line[] = [];
const failures: Failure[] = [];
const took = new Map<string, number>();
let rounds = 0;

for (let round = 1; round <= ROUNDS; round += 1) {
  const fitting = files.filter((file) => round === 1 || took.has(file));
  let ran = 0;
  for (const file of fitting) {
    const left = MINUTES - minutesGone();
    if (left * 60 < (took.get(file) ?? 0)) {
      if (round === 1) failures.push({ file, round, why: "there was no time left for it" });
      continue;
    }
    await runFile(file, round, Math.min(isOnDemand(file) ? NAMED_FILE_SECONDS : FILE_SECONDS, left * 60));
    ran += 1;
  }
  if (ran > 0) rounds = round;
  if (ran === 0) break;
}
if (chosen.length === 0) save("latest", rounds, files);
print(merged(all.filter((line) => line.failed === undefined)));
for (const { file, round, why } of failures) process.stdout.write(`FAILED in round ${round}: ${file}: ${why}\n`);
// What failed is told, here and in the results; a run that has measured something is one to report.
if (all.length === 0) process.exitCode = 1;

async function runFile(file: string, round: number, seconds: number): Promise<void> {
  process.stdout.write(`-- round ${round}, ${minutesGone().toFixed(1)} min: ${file}\n`);
  const ended = await runBounded({
    command: [process.execPath, "--no-warnings", join(FOLDER, file)],
    seconds,
    env: { BENCH_SAMPLES: process.env.BENCH_SAMPLES ?? "1" },
    onLine: (line) => process.stdout.write(`${JSON.stringify(line)}\n`),
  });
  took.set(file, ended.seconds);
  all.push(...ended.lines);
  if (ended.failure !== undefined) failures.push({ file, round, why: ended.failure });
  for (const { case: name, failed } of ended.lines)
    if (failed !== undefined) failures.push({ file, round, why: `${String(name)}: ${String(failed)}` });
  if (chosen.length === 0) save("latest", round, files);
  else if (isOnDemand(file)) save(benchOf(file), round, [file]);
}

/** Whole at every moment: an interrupted run leaves what it had. */
function save(name: string, round: number, of: readonly string[]): void {
  const benches = of.map(benchOf);
  const about = {
    when: new Date(begun).toISOString(),
    minutes: Number(minutesGone().toFixed(1)),
    rounds: round,
    commit: commit(),
    node: process.version,
    cpu: cpus()[0]?.model ?? "",
    cores: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    load: loadavg().map((value) => Number(value.toFixed(2))),
  };
  const lines = merged(all.filter((line) => line.failed === undefined && benches.includes(String(line.bench))));
  const failed = failures.filter(({ file }) => of.includes(file));
  mkdirSync(RESULTS, { recursive: true });
  const path = join(RESULTS, `${name}.json`);
  const rows = lines.map((line) => `  ${JSON.stringify(line)}`).join(",\n");
  const text = `{"about": ${JSON.stringify(about)},\n"failures": ${JSON.stringify(failed)},\n"lines": [\n${rows}\n]}\n`;
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}

function commit(): string {
  try {
    return execFileSync("git", ["rev-parse", "--short", "HEAD"], { cwd: FOLDER, encoding: "utf8" }).trim();
  } catch {
    return "";
  }
}

function print(lines: readonly Line[]): void {
  const cell = (value: unknown): unknown => (isSummary(value) ? `${value.median} (${value.min}-${value.max})` : value);
  console.table(
    lines.map((line) => Object.fromEntries(Object.entries(line).map(([key, value]) => [key, cell(value)]))),
  );
  process.stdout.write(`${rounds} rounds in ${minutesGone().toFixed(1)} min\n`);
}
