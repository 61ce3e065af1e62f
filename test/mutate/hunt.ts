/** Which test notices a mutant. */
import { writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import type { Journal } from "./journal.ts";
import type { Mutant } from "./mutants.ts";
import { ENV, emptyScratch, FOLDER, read } from "./project.ts";
import { type Outcome, runTests } from "./run-tests.ts";

/** A test file, and how long it takes on the sources as they are: more where the machine has become slower. */
export type Test = { readonly path: string; ms: number; readonly hash: string };

export type Death = { readonly killer: Test; readonly isTimedOut: boolean };

/** Tests that take this long together share a process. */
const BATCH_MS = 8000;

/** The likeliest to notice in a second comes first. */
export function inOrder(mutant: Mutant & { readonly name: string }, tests: readonly Test[], journal: Journal): Test[] {
  const noun = basename(mutant.path, ".ts");
  const room = `test/${mutant.path.split("/").find((part) => part !== "src")}/`;
  const last = journal.of(mutant.name)?.killer;
  const hope = ({ path, ms }: Test): number => {
    if (path === last) return Number.POSITIVE_INFINITY;
    const isOwn = basename(path).startsWith(`${noun}.`) || read(path).includes(`/${noun}.ts"`);
    const promise = isOwn ? 2 : path.startsWith(room) ? 0.4 : 0.1;
    return (journal.killsOf(mutant.path, path) + 0.05 * journal.killsBy(path) + promise) / ms;
  };
  const hopes = new Map(tests.map((test) => [test, hope(test)]));
  return tests.toSorted((a, b) => (hopes.get(b) ?? 0) - (hopes.get(a) ?? 0));
}

/** The first one alone, since it is likely enough; the others in processes that they share, as far as the budget goes. */
function batchesOf(tests: readonly Test[], budgetMs: number): Test[][] {
  const batches: Test[][] = [];
  let [spent, filled] = [0, Number.POSITIVE_INFINITY];
  for (const test of tests) {
    if (spent > budgetMs) break;
    if (filled + test.ms > BATCH_MS) {
      batches.push([]);
      filled = 0;
    }
    batches.at(-1)?.push(test);
    filled = batches.length === 1 ? Number.POSITIVE_INFINITY : filled + test.ms;
    spent += test.ms;
  }
  return batches;
}

const run = (tests: readonly Test[]): Promise<Outcome> =>
  runTests(
    FOLDER,
    tests.map(({ path }) => path),
    { limitMs: 4000 + 3 * tests.reduce((sum, { ms }) => sum + ms, 0), env: ENV },
  );

/** Tests that share a process may fail of each other: only what fails alone has noticed the mutant. */
async function deathIn(batch: readonly Test[]): Promise<Death | undefined> {
  const outcome = await run(batch);
  if (outcome.kind === "passed") return undefined;
  const [only, ...others] = batch;
  if (only === undefined) return undefined;
  if (others.length === 0) return { killer: only, isTimedOut: outcome.kind === "timedOut" };
  const suspect = batch.find(({ path }) => path === outcome.test) ?? only;
  const rest = batch.filter((test) => test !== suspect);
  return (await deathIn([suspect])) ?? (await deathIn(rest));
}

/** The sources as they are tell: a test that fails of them too, or takes as long, has noticed nothing. Then the machine is another. */
async function isTrue({ killer, isTimedOut }: Death): Promise<boolean> {
  const began = performance.now();
  const { kind } = await runTests(FOLDER, [killer.path], { limitMs: 10 * killer.ms, env: ENV });
  const ms = performance.now() - began;
  const isSlower = ms > 2 * killer.ms;
  killer.ms = Math.max(killer.ms, Math.round(ms));
  return isTimedOut ? !isSlower : kind === "passed";
}

/** Asks the tests in their order, for as much of them as the budget allows. */
export async function deathOf(mutant: Mutant, tests: readonly Test[], budgetMs: number): Promise<Death | undefined> {
  const { path, start, end, after } = mutant;
  const text = read(path);
  const mutate = () => writeFileSync(join(FOLDER, path), text.slice(0, start) + after + text.slice(end));
  const mend = () => writeFileSync(join(FOLDER, path), text);
  try {
    mutate();
    for (const batch of batchesOf(tests, budgetMs)) {
      emptyScratch();
      const death = await deathIn(batch);
      if (death === undefined) continue;
      mend();
      if (await isTrue(death)) return death;
      mutate();
      const again = death.isTimedOut ? await deathIn([death.killer]) : undefined;
      if (again !== undefined) return again;
    }
    return undefined;
  } finally {
    mend();
  }
}
