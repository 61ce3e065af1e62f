/**
 * Mutation testing: changes the sources one small step at a time, in a copy of the project, and sees whether the tests of
 * the rooms concerned notice.
 *
 *   npm run mutate -- [--sample 100] [--seed 1] [--only src/manager] [--minutes 60] [--tests test/kernel]
 *
 * `--sample` 0 takes all mutants. After `--minutes` no further one is tried. With `--tests` those of one folder alone are
 * run, so that the score is a lower bound. A test file gets five times what it takes as the sources are, and at least 20 s:
 * a mutant that makes it never end is dead. What survives is printed, but for those that test/mutate/equivalent.json names
 * by their line, with the reason why no test could tell them from the original.
 */
import { spawn } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { type Mutant, mutantsOf } from "./mutants.ts";

const ROOT = join(import.meta.dirname, "../..");

/** Which tests look at which room; the nearest first, since the first that fails ends the search. */
const TESTS: Readonly<Record<string, readonly string[]>> = {
  machines: ["test/machines", "test/thread", "test/manager"],
  "src/kernel": ["test/kernel"],
  "src/store": ["test/store"],
  "src/turn": ["test/turn", "test/thread"],
  "src/thread": ["test/thread", "test/turn", "test/manager"],
  "src/manager": ["test/manager", "test/thread"],
};

/** Too slow to run for each mutant, and about memory and crashes rather than about words. */
const LEFT_OUT = /leaks\.test|crash\.test|race\.test|\/oracle\/|\/clients\//;

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

/** Whether the test file passes within the time. */
function passes(folder: string, test: string, limitMs: number): Promise<boolean> {
  return new Promise((resolve) => {
    const child = spawn(process.execPath, ["--no-warnings", "--test", test], {
      cwd: folder,
      stdio: "ignore",
      detached: true,
    });
    const timer = setTimeout(() => {
      if (child.pid !== undefined) process.kill(-child.pid, "SIGKILL");
    }, limitMs);
    child.on("exit", (code) => {
      clearTimeout(timer);
      resolve(code === 0);
    });
  });
}

async function firstFailure(folder: string, limits: ReadonlyMap<string, number>): Promise<string | undefined> {
  for (const [test, limitMs] of limits) if (!(await passes(folder, test, limitMs))) return test;
  return undefined;
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
    sample: { type: "string", default: "100" },
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
const sources = rooms
  .flatMap((room) => filesIn(ROOT, room, ".ts"))
  .filter((path) => values.only === undefined || path.startsWith(values.only));
const all = sources
  .flatMap((path) => mutantsOf(path, readFileSync(join(ROOT, path), "utf8")))
  .filter((m) => !isEquivalent(m));
const sample = sampleOf(all, Number(values.sample), seeded(Number(values.seed)));
say(`${sample.length} of ${all.length} mutants of ${sources.length} files (seed ${values.seed})`);

const folder = copyOfProject();
const testsOf = (room: string): string[] =>
  (values.tests === undefined ? (TESTS[room] ?? []) : [values.tests])
    .flatMap((at) => filesIn(ROOT, at, ".test.ts"))
    .filter((test) => !LEFT_OUT.test(test));
/** The tests that fail without any mutant: they can tell nothing. */
const broken = new Set<string>();
const limits = new Map<string, number>();
const survivors: Mutant[] = [];
let tried = 0;
try {
  for (const test of new Set([...new Set(sample.map(({ path }) => roomOf(path)))].flatMap(testsOf))) {
    const began = performance.now();
    if (!(await passes(folder, test, LONGEST_TEST_MS))) broken.add(test);
    limits.set(test, Math.max(LEAST_TEST_MS, 5 * (performance.now() - began)));
  }
  if (broken.size > 0) say(`left out, since they fail as it is: ${[...broken].join(", ")}`);
  for (const [at, mutant] of sample.entries()) {
    if (performance.now() > endsAt) break;
    const { path, line, start, end, before, after } = mutant;
    const text = readFileSync(join(ROOT, path), "utf8");
    writeFileSync(join(folder, path), text.slice(0, start) + after + text.slice(end));
    const tests = testsOf(roomOf(path)).filter((test) => !broken.has(test));
    const killer = await firstFailure(
      folder,
      new Map(tests.map((test) => [test, limits.get(test) ?? LONGEST_TEST_MS])),
    );
    tried += 1;
    writeFileSync(join(folder, path), text);
    if (killer === undefined) survivors.push(mutant);
    const short = (code: string) => code.replaceAll(/\s+/g, " ").slice(0, 70);
    say(`${at + 1} ${killer === undefined ? "SURVIVED" : "died"} ${path}:${line} ${short(before)} -> ${short(after)}`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
const died = tried - survivors.length;
say(`${died} of ${tried} died: ${((100 * died) / Math.max(1, tried)).toFixed(1)} %`);
for (const { path, line, before, after } of survivors) say(`survivor ${path}:${line}\n  ${before}\n  ${after}`);
process.exitCode = survivors.length * 20 > tried ? 1 : 0;
