/**
 * Mutation testing: changes the sources one small step at a time, in a copy of the project, and sees whether the tests of
 * the rooms concerned notice.
 *
 *   npm run mutate -- [--sample 40] [--seed 1] [--only src/manager] [--tests test/manager] [--minutes 60]
 *
 * `--sample` is how many mutants of each room; 0 takes all. After `--minutes` no further one is tried. With `--tests` those of
 * one folder alone are asked, which is quick and makes the score a lower bound. All tests are run once
 * as the sources are, to see which places each of them runs: a mutant meets those alone that run its place. A test file then
 * gets five times what it took, and at least 20 s: a mutant that makes it never end is dead. What survives is printed, but
 * for those that test/mutate/equivalent.json names by their line, with the reason why no test could tell them from the
 * original.
 */
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { coverageOf, isCovered, passes } from "./coverage.ts";
import { type Mutant, mutantsOf } from "./mutants.ts";

const ROOT = join(import.meta.dirname, "../..");

/** Which tests look at which room. */
const TESTS: Readonly<Record<string, readonly string[]>> = {
  machines: ["test/machines", "test/thread", "test/manager"],
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

type Equivalent = Pick<Mutant, "path" | "code" | "before" | "after"> & { readonly why: string };

const filesIn = (root: string, folder: string, ending: string): string[] =>
  readdirSync(join(root, folder), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(ending))
    .map((name) => join(folder, name))
    .toSorted();

/** Numbers from 0 up to 1, the same for the same seed (mulberry32). */
function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

function sampleOf<T>(all: readonly T[], size: number, random: () => number): T[] {
  if (size === 0 || size >= all.length) return [...all];
  const left = [...all];
  return Array.from({ length: size }, () => left.splice(Math.floor(random() * left.length), 1)).flat();
}

function copyOfProject(): string {
  const folder = mkdtempSync(join(tmpdir(), "skein-mutate-"));
  for (const name of ["src", "machines", "test", "bench", "docs", "package.json", "tsconfig.json", "README.md"]) {
    cpSync(join(ROOT, name), join(folder, name), { recursive: true });
  }
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
  return folder;
}

const say = (line: string) => process.stdout.write(`${line}\n`);

const { values } = parseArgs({
  options: {
    sample: { type: "string", default: "40" },
    seed: { type: "string", default: "1" },
    only: { type: "string" },
    minutes: { type: "string", default: "60" },
    tests: { type: "string" },
  },
});
const endsAt = performance.now() + Number(values.minutes) * 60_000;
const LONGEST_TEST_MS = 120_000;
const LEAST_TEST_MS = 20_000;
const rooms = Object.keys(TESTS).filter((room) => values.only === undefined || values.only.startsWith(room));
const equivalent = JSON.parse(readFileSync(join(import.meta.dirname, "equivalent.json"), "utf8")) as Equivalent[];
const isEquivalent = ({ path, code, before, after }: Mutant) =>
  equivalent.some(
    (known) => known.path === path && known.code === code && known.before === before && known.after === after,
  );

const roomOf = (path: string): string => rooms.find((room) => path.startsWith(`${room}/`)) ?? "";
const sourcesIn = (room: string): string[] =>
  filesIn(ROOT, room, ".ts").filter(
    (path) => !NEEDS_A_SERVER.test(path) && (values.only === undefined || path.startsWith(values.only)),
  );
const random = seeded(Number(values.seed));
const samples = rooms.map((room) => {
  const all = sourcesIn(room)
    .flatMap((path) => mutantsOf(path, readFileSync(join(ROOT, path), "utf8")))
    .filter((m) => !isEquivalent(m));
  const some = sampleOf(all, Number(values.sample), random);
  say(`${room}: ${some.length} of ${all.length} mutants (seed ${values.seed})`);
  return some;
});
/** In turns, so that whenever the time is up each room has been looked at alike. */
const sample = Array.from({ length: Math.max(...samples.map(({ length }) => length)) }, (_, at) =>
  samples.flatMap((some) => some[at] ?? []),
).flat();

const folder = copyOfProject();
const testsOf = (room: string): string[] =>
  (values.tests === undefined ? (TESTS[room] ?? []) : [values.tests])
    .flatMap((at) => filesIn(ROOT, at, ".test.ts"))
    .filter((test) => !LEFT_OUT.test(test));

/** The tests that run the mutants' places, and how long each takes. */
const runBy = new Map<Mutant, string[]>(sample.map((mutant) => [mutant, []]));
const limits = new Map<string, number>();
async function lookAtTests(): Promise<void> {
  const tests = new Set([...new Set(sample.map(({ path }) => roomOf(path)))].flatMap(testsOf));
  const broken: string[] = [];
  for (const test of tests) {
    const began = performance.now();
    const coverage = await coverageOf(folder, test, LONGEST_TEST_MS);
    if (coverage === undefined) {
      broken.push(test);
      continue;
    }
    limits.set(test, Math.max(LEAST_TEST_MS, 5 * (performance.now() - began)));
    for (const [mutant, by] of runBy) {
      if (testsOf(roomOf(mutant.path)).includes(test) && isCovered(coverage, mutant.path, mutant.start)) by.push(test);
    }
  }
  if (broken.length > 0) say(`left out, since they fail as it is: ${broken.join(", ")}`);
}

/** How often a test has noticed mutants of a file: it is asked first for the next one. */
const kills = new Map<string, number>();

/** The test that notices the mutant: those that have noticed others of its file are asked first, then the quick ones. */
async function killerOf(mutant: Mutant): Promise<string | undefined> {
  const killsOf = (test: string) => kills.get(`${mutant.path} ${test}`) ?? 0;
  const tests = (runBy.get(mutant) ?? []).toSorted(
    (a, b) => killsOf(b) - killsOf(a) || (limits.get(a) ?? 0) - (limits.get(b) ?? 0),
  );
  for (const test of tests) {
    if (await passes(folder, test, { limitMs: limits.get(test) ?? LONGEST_TEST_MS })) continue;
    kills.set(`${mutant.path} ${test}`, killsOf(test) + 1);
    return test;
  }
  return undefined;
}

const survivors: Mutant[] = [];
const tried: Mutant[] = [];
try {
  await lookAtTests();
  for (const [at, mutant] of sample.entries()) {
    if (performance.now() > endsAt) break;
    const { path, line, start, end, before, after } = mutant;
    const text = readFileSync(join(folder, path), "utf8");
    writeFileSync(join(folder, path), text.slice(0, start) + after + text.slice(end));
    const killer = await killerOf(mutant);
    writeFileSync(join(folder, path), text);
    tried.push(mutant);
    if (killer === undefined) survivors.push(mutant);
    const short = (code: string) => code.replaceAll(/\s+/g, " ").slice(0, 70);
    const fate = killer === undefined ? `SURVIVED ${runBy.get(mutant)?.length ?? 0} tests` : `died of ${killer}`;
    say(`${at + 1} ${path}:${line} ${short(before)} -> ${short(after)}: ${fate}`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
for (const room of rooms) {
  const isHere = ({ path }: Mutant) => roomOf(path) === room;
  const [all, left] = [tried.filter(isHere).length, survivors.filter(isHere).length];
  say(`${room}: ${all - left} of ${all} died: ${((100 * (all - left)) / Math.max(1, all)).toFixed(1)} %`);
}
for (const { path, line, before, after } of survivors) say(`survivor ${path}:${line}\n  ${before}\n  ${after}`);
process.exitCode = survivors.length * 20 > tried.length ? 1 : 0;
