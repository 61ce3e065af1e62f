/**
 * Mutation testing: changes the sources one small step at a time, in a copy of the project, and sees whether the tests that
 * run the place notice.
 *
 *   npm run mutate -- [--sample 40] [--seed 1] [--only src/manager] [--tests test/manager] [--minutes 60] [--budget 90]
 *
 * `--sample` is how many mutants of each room; 0 takes all. After `--minutes` no further one is tried. With `--tests` those of
 * one folder alone are asked. A mutant meets the tests that run its place, those first that have noticed its neighbours and
 * those that are quick, until `--budget` seconds of tests (as they take unchanged) have been asked: both make the score a lower
 * bound. A run that does not end in three times what it took, and 4 s, is a death too, if the machine has not become slower
 * meanwhile; these are counted.
 *
 * What tests run, and what became of mutants, is kept in .cache/mutate: a run that was cut goes on where it was, and one after a
 * change asks again only what it may concern. What survives is printed, but for those that test/mutate/equivalent.json names
 * by their line, with the reason why no test could tell them from the original.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { coverageOf, hashOf, isCovered } from "./coverage.ts";
import { deathOf, inOrder, type Test } from "./hunt.ts";
import { type Entry, Journal } from "./journal.ts";
import { type Mutant as Found, mutantsOf } from "./mutants.ts";
import { copyProject, ENV, FOLDER, filesIn, KEPT, read, removeProject } from "./project.ts";
import { Sources } from "./sources.ts";

const ROOMS = ["machines", "src/kernel", "src/store", "src/turn", "src/thread", "src/manager"];

/** A mutant meets those of them that run its place, whatever room they are of. */
const TESTS = "machines draw kernel store turn thread manager recovery services app-server cli otel".split(" ");

/** Too slow to run for each mutant, or about memory, crashes, disks and databases rather than about words. */
const LEFT_OUT = /\/postgres\/|full-disk\.test|leaks\.test|crash\.test|race\.test|\/oracle\/|\/clients\//;

/** Tested beside a real server, which no mutant is to wait for; and the tests that a store is given. */
const NOT_ASKED = /^src\/store\/(postgres|contract)\//;

type Equivalent = Pick<Found, "path" | "code" | "before" | "after"> & { readonly why: string };
/** A mutant's name stays when other lines change, so that a sample does too: it is what comes first by the seed. */
type Mutant = Found & { readonly name: string };

const { values } = parseArgs({
  options: {
    sample: { type: "string", default: "40" },
    seed: { type: "string", default: "1" },
    only: { type: "string", default: "" },
    minutes: { type: "string", default: "60" },
    budget: { type: "string", default: "90" },
    tests: { type: "string" },
  },
});
const say = (line: string) => process.stdout.write(`${line}\n`);

copyProject();

const rooms = ROOMS.filter((room) => values.only === "" || `${values.only}/`.startsWith(`${room}/`));
const roomOf = (path: string): string => rooms.find((room) => path.startsWith(`${room}/`)) ?? "";
const sources = ROOMS.flatMap((room) => filesIn(room, ".ts")).filter((path) => !NOT_ASKED.test(path));
const testPaths = (values.tests === undefined ? TESTS.map((name) => `test/${name}`) : [values.tests])
  .flatMap((at) => filesIn(at, ".test.ts"))
  .filter((test) => !LEFT_OUT.test(test));

const equivalent = JSON.parse(readFileSync(join(import.meta.dirname, "equivalent.json"), "utf8")) as Equivalent[];
const isEquivalent = ({ path, code, before, after }: Found) =>
  equivalent.some(
    (known) => known.path === path && known.code === code && known.before === before && known.after === after,
  );

function named(found: readonly Found[]): Mutant[] {
  const seen = new Map<string, number>();
  return found.map((mutant) => {
    const alike = hashOf(mutant.path, mutant.code, mutant.before, mutant.after);
    const nth = seen.get(alike) ?? 0;
    seen.set(alike, nth + 1);
    return { ...mutant, name: `${alike}.${nth}` };
  });
}

function sampleOf(room: string): Mutant[] {
  const found = sources
    .filter((path) => path.startsWith(`${room}/`) && path.startsWith(values.only))
    .flatMap((path) => mutantsOf(path, read(path)))
    .filter((mutant) => !isEquivalent(mutant));
  const ranked = named(found).map((mutant) => ({ mutant, rank: hashOf(values.seed, mutant.name) }));
  const some = ranked
    .toSorted((a, b) => (a.rank < b.rank ? -1 : 1))
    .slice(0, Number(values.sample) || found.length)
    .map(({ mutant }) => mutant);
  say(`${room}: ${some.length} of ${found.length} mutants (seed ${values.seed})`);
  return some;
}

/** Which tests run each mutant's place. */
async function lookAtTests(sample: readonly Mutant[]): Promise<Map<Mutant, Test[]>> {
  const runBy = new Map<Mutant, Test[]>(sample.map((mutant) => [mutant, []]));
  const known = new Sources(join(KEPT, "sources"));
  const hashes = new Map(sources.map((path) => [path, known.keep(read(path))]));
  const placeIn = ({ path, start }: Mutant, earlier: string): number | undefined =>
    earlier === hashes.get(path) ? start : known.placeIn(earlier, read(path), start);
  for (const path of testPaths) {
    const coverage = await coverageOf(FOLDER, path, { kept: join(KEPT, "coverage"), paths: sources, env: ENV });
    if (coverage === undefined) {
      say(`left out, since it fails as it is: ${path}`);
      continue;
    }
    const test = { path, ms: coverage.ms, hash: hashOf(read(path)) };
    for (const [mutant, by] of runBy) {
      if (isCovered(coverage, mutant.path, (earlier) => placeIn(mutant, earlier))) by.push(test);
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

/** What is known of the mutant, if its file and those who said so are as they were. */
function fateKnown(mutant: Mutant, tests: readonly Test[]): Entry | undefined {
  const known = journal.of(mutant.name);
  if (known?.source !== hashOf(read(mutant.path))) return undefined;
  const killer = tests.find(({ path }) => path === known.killer);
  const asked = known.killer === undefined ? askedOf(tests) : killer?.hash;
  return known.asked === asked ? known : undefined;
}
const askedOf = (tests: readonly Test[]): string => hashOf(values.budget, helpers, ...tests.map(({ hash }) => hash));

async function fateOf(mutant: Mutant, tests: readonly Test[]): Promise<Entry> {
  const known = fateKnown(mutant, tests);
  if (known !== undefined) return known;
  const death = await deathOf(mutant, inOrder(mutant, tests, journal), Number(values.budget) * 1000);
  const entry = {
    mutant: mutant.name,
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
  const endsAt = performance.now() + Number(values.minutes) * 60_000;
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
  removeProject();
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
