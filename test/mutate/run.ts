/**
 * Mutation testing: changes the sources one small step at a time, in a copy of the project, and sees whether the tests of
 * the rooms concerned notice.
 *
 *   npm run mutate -- [--sample 40] [--seed 1] [--only src/manager] [--tests test/manager] [--minutes 60] [--budget 30]
 *
 * `--sample` is how many mutants of each room; 0 takes all. After `--minutes` no further one is tried. With `--tests` those of
 * one folder alone are asked. A mutant meets the tests that run its place, those first that have noticed its neighbours and
 * those that are quick, until `--budget` seconds of tests (as they take unchanged) have been asked: both make the score a lower
 * bound. A run that does not end in three times what it took, and 4 s, is a death too; these are counted.
 *
 * What tests run, and what became of mutants, is kept in .cache/mutate: a run that was cut goes on where it was, and one after a
 * change asks again only what it may concern. What survives is printed, but for those that test/mutate/equivalent.json names
 * by their line, with the reason why no test could tell them from the original.
 */
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { coverageOf, hashOf, isCovered } from "./coverage.ts";
import { Journal } from "./journal.ts";
import { type Mutant, mutantsOf } from "./mutants.ts";
import { type Outcome, runTests } from "./run-tests.ts";

const ROOT = join(import.meta.dirname, "../..");
const KEPT = join(ROOT, ".cache/mutate");
/** Always at one place, so that the engine's cache of compiled files serves all runs. */
const FOLDER = join(tmpdir(), `skein-mutate-${hashOf(ROOT)}`);
/** Where tests put their files, which those that are killed leave behind. */
const SCRATCH = `${FOLDER}-files`;
const ENV = { NODE_COMPILE_CACHE: join(KEPT, "compiled"), TMPDIR: SCRATCH };

/** Which tests look at which room. */
const TESTS: Readonly<Record<string, readonly string[]>> = {
  machines: ["test/machines", "test/draw", "test/thread", "test/manager"],
  "src/kernel": ["test/kernel", "test/thread", "test/turn", "test/manager", "test/store", "test/otel"],
  "src/store": ["test/store"],
  "src/turn": ["test/turn", "test/thread"],
  "src/thread": ["test/thread", "test/turn", "test/manager"],
  "src/manager": ["test/manager", "test/thread"],
};

/** Too slow to run for each mutant, and about memory and crashes rather than about words. */
const LEFT_OUT = /leaks\.test|crash\.test|race\.test|\/oracle\/|\/clients\//;

/** Tested beside a real server, which no mutant is to wait for. */
const NEEDS_A_SERVER = /^src\/store\/postgres\//;

/** Tests that take this long together share a process. */
const BATCH_MS = 8000;

type Equivalent = Pick<Mutant, "path" | "code" | "before" | "after"> & { readonly why: string };
type Test = { readonly path: string; readonly ms: number; readonly hash: string };

const { values } = parseArgs({
  options: {
    sample: { type: "string", default: "40" },
    seed: { type: "string", default: "1" },
    only: { type: "string", default: "" },
    minutes: { type: "string", default: "60" },
    budget: { type: "string", default: "30" },
    tests: { type: "string" },
  },
});
const endsAt = performance.now() + Number(values.minutes) * 60_000;
const say = (line: string) => process.stdout.write(`${line}\n`);

function copyProject(): void {
  rmSync(FOLDER, { recursive: true, force: true });
  mkdirSync(FOLDER);
  mkdirSync(SCRATCH, { recursive: true });
  const pages = readdirSync(ROOT).filter((name) => name.endsWith(".md"));
  for (const name of ["src", "machines", "test", "bench", "docs", "package.json", "tsconfig.json", ...pages]) {
    cpSync(join(ROOT, name), join(FOLDER, name), { recursive: true });
  }
  symlinkSync(join(ROOT, "node_modules"), join(FOLDER, "node_modules"));
}

copyProject();

const filesIn = (folder: string, ending: string): string[] =>
  readdirSync(join(FOLDER, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(ending))
    .map((name) => join(folder, name))
    .toSorted();
const read = (path: string): string => readFileSync(join(FOLDER, path), "utf8");

const rooms = Object.keys(TESTS).filter((room) => values.only === "" || `${values.only}/`.startsWith(`${room}/`));
const roomOf = (path: string): string => rooms.find((room) => path.startsWith(`${room}/`)) ?? "";
const sources = Object.keys(TESTS)
  .flatMap((room) => filesIn(room, ".ts"))
  .filter((path) => !NEEDS_A_SERVER.test(path));
const testsOf = (room: string): string[] =>
  (values.tests === undefined ? (TESTS[room] ?? []) : [values.tests])
    .flatMap((at) => filesIn(at, ".test.ts"))
    .filter((test) => !LEFT_OUT.test(test));

const equivalent = JSON.parse(readFileSync(join(import.meta.dirname, "equivalent.json"), "utf8")) as Equivalent[];
const isEquivalent = ({ path, code, before, after }: Mutant) =>
  equivalent.some(
    (known) => known.path === path && known.code === code && known.before === before && known.after === after,
  );

/** A mutant's name stays when other lines change, so that a sample does too: it is what comes first by the seed. */
const names = new Map<Mutant, string>();
function sampleOf(room: string): Mutant[] {
  const seen = new Map<string, number>();
  const all = sources
    .filter((path) => path.startsWith(`${room}/`) && path.startsWith(values.only))
    .flatMap((path) => mutantsOf(path, read(path)))
    .filter((mutant) => !isEquivalent(mutant));
  for (const mutant of all) {
    const { path, code, before, after } = mutant;
    const alike = hashOf(path, code, before, after);
    const nth = seen.get(alike) ?? 0;
    seen.set(alike, nth + 1);
    names.set(mutant, `${alike}.${nth}`);
  }
  const size = Number(values.sample) || all.length;
  const rank = new Map(all.map((mutant) => [mutant, hashOf(values.seed, names.get(mutant) ?? "")]));
  const some = all.toSorted((a, b) => ((rank.get(a) ?? "") < (rank.get(b) ?? "") ? -1 : 1)).slice(0, size);
  say(`${room}: ${some.length} of ${all.length} mutants (seed ${values.seed})`);
  return some;
}

/** Which tests run each mutant's place. */
async function lookAtTests(sample: readonly Mutant[]): Promise<Map<Mutant, Test[]>> {
  const runBy = new Map<Mutant, Test[]>(sample.map((mutant) => [mutant, []]));
  const paths = new Set(sample.map(({ path }) => path));
  for (const path of new Set([...paths].map(roomOf).flatMap(testsOf))) {
    const coverage = await coverageOf(FOLDER, path, {
      kept: join(KEPT, "coverage"),
      paths,
      all: sources,
      env: ENV,
    });
    if (coverage === undefined) {
      say(`left out, since it fails as it is: ${path}`);
      continue;
    }
    const test = { path, ms: coverage.ms, hash: hashOf(read(path)) };
    for (const [mutant, by] of runBy) {
      const isAsked = testsOf(roomOf(mutant.path)).includes(path);
      if (isAsked && isCovered(coverage, mutant.path, mutant.start)) by.push(test);
    }
  }
  return runBy;
}

const journal = new Journal(join(KEPT, "journal.jsonl"));
const helpers = hashOf(
  ...filesIn("test", ".ts")
    .filter((path) => !path.endsWith(".test.ts"))
    .map(read),
);

/** The likeliest to notice in a second comes first. */
function inOrder(mutant: Mutant, tests: readonly Test[]): Test[] {
  const noun = basename(mutant.path, ".ts");
  const last = journal.of(names.get(mutant) ?? "")?.killer;
  const hope = ({ path, ms }: Test): number => {
    if (path === last) return Number.POSITIVE_INFINITY;
    const isOwn = basename(path).startsWith(`${noun}.`);
    return (journal.killsOf(mutant.path, path) + (isOwn ? 2 : 0.2)) / ms;
  };
  const hopes = new Map(tests.map((test) => [test, hope(test)]));
  return tests.toSorted((a, b) => (hopes.get(b) ?? 0) - (hopes.get(a) ?? 0));
}

/** The first one alone, since it is likely enough; the others in processes that they share, as far as the budget goes. */
function batchesOf(tests: readonly Test[]): Test[][] {
  const batches: Test[][] = [];
  let [spent, filled] = [0, Number.POSITIVE_INFINITY];
  for (const test of tests) {
    if (spent > Number(values.budget) * 1000) break;
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
    {
      limitMs: 4000 + 3 * tests.reduce((sum, { ms }) => sum + ms, 0),
      env: ENV,
    },
  );

type Death = { readonly killer: Test; readonly isTimedOut: boolean };

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

async function deathOf(mutant: Mutant, tests: readonly Test[]): Promise<Death | undefined> {
  const { path, start, end, after } = mutant;
  const text = read(path);
  writeFileSync(join(FOLDER, path), text.slice(0, start) + after + text.slice(end));
  mkdirSync(SCRATCH, { recursive: true });
  try {
    for (const batch of batchesOf(inOrder(mutant, tests))) {
      const death = await deathIn(batch);
      if (death !== undefined) return death;
    }
    return undefined;
  } finally {
    writeFileSync(join(FOLDER, path), text);
    rmSync(SCRATCH, { recursive: true, force: true });
  }
}

/** What is known of the mutant, if its file and those who said so are as they were. */
function fateKnown(mutant: Mutant, tests: readonly Test[]) {
  const known = journal.of(names.get(mutant) ?? "");
  if (known?.source !== hashOf(read(mutant.path))) return undefined;
  const killer = tests.find(({ path }) => path === known.killer);
  const asked = known.killer === undefined ? askedOf(tests) : killer?.hash;
  return known.asked === asked ? known : undefined;
}
const askedOf = (tests: readonly Test[]): string => hashOf(values.budget, helpers, ...tests.map(({ hash }) => hash));

async function fateOf(mutant: Mutant, tests: readonly Test[]) {
  const known = fateKnown(mutant, tests);
  if (known !== undefined) return known;
  const death = await deathOf(mutant, tests);
  const entry = {
    mutant: names.get(mutant) ?? "",
    path: mutant.path,
    source: hashOf(read(mutant.path)),
    asked: death?.killer.hash ?? askedOf(tests),
    killer: death?.killer.path,
    isTimedOut: death?.isTimedOut ?? false,
  };
  journal.add(entry);
  return entry;
}

/** The bounds, in per cent, between which the true share lies 95 times of 100 (Wilson's interval). */
function intervalOf(hits: number, tries: number): string {
  const z = 1.96;
  const share = hits / tries;
  const middle = share + z ** 2 / (2 * tries);
  const spread = z * Math.sqrt((share * (1 - share)) / tries + z ** 2 / (4 * tries ** 2));
  return [middle - spread, middle + spread].map((x) => ((100 * x) / (1 + z ** 2 / tries)).toFixed(1)).join(" to ");
}

type Tried = { readonly mutant: Mutant; readonly isDead: boolean; readonly isTimedOut: boolean };

function sayScore(name: string, tried: readonly Tried[]): void {
  if (tried.length === 0) return;
  const died = tried.filter(({ isDead }) => isDead).length;
  const late = tried.filter(({ isTimedOut }) => isTimedOut).length;
  const share = ((100 * died) / tried.length).toFixed(1);
  say(`${name}: ${died} of ${tried.length} died, ${late} of them late: ${share} % (${intervalOf(died, tried.length)})`);
}

const samples = rooms.map(sampleOf);
/** In turns, so that whenever the time is up each room has been looked at alike. */
const sample = Array.from({ length: Math.max(...samples.map(({ length }) => length)) }, (_, at) =>
  samples.flatMap((some) => some[at] ?? []),
).flat();

const tried: Tried[] = [];
try {
  const runBy = await lookAtTests(sample);
  for (const [at, mutant] of sample.entries()) {
    if (performance.now() > endsAt) break;
    const tests = runBy.get(mutant) ?? [];
    const began = performance.now();
    const { killer, isTimedOut } = await fateOf(mutant, tests);
    tried.push({ mutant, isDead: killer !== undefined, isTimedOut });
    const short = (code: string) => code.replaceAll(/\s+/g, " ").slice(0, 70);
    const fate =
      killer === undefined ? `SURVIVED ${tests.length} tests` : `died of ${killer}${isTimedOut ? ", late" : ""}`;
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    say(
      `${at + 1} ${mutant.path}:${mutant.line} ${short(mutant.before)} -> ${short(mutant.after)}: ${fate} (${seconds} s)`,
    );
  }
} finally {
  for (const folder of [FOLDER, SCRATCH]) rmSync(folder, { recursive: true, force: true });
}
for (const { mutant, isDead } of tried) {
  if (!isDead) say(`survivor ${mutant.path}:${mutant.line}\n  ${mutant.code}\n  ${mutant.before}\n  ${mutant.after}`);
}
for (const room of rooms) {
  sayScore(
    room,
    tried.filter(({ mutant }) => roomOf(mutant.path) === room),
  );
}
process.exitCode = tried.filter(({ isDead }) => !isDead).length * 20 > tried.length ? 1 : 0;
