/**
 * Proves that a thread with one field of its rollout changed, or with its file damaged, goes on here wherever it goes on in the
 * real Codex, and that the model is told the same of it. `SKEIN_MUTATIONS=all` tries all changes, of which six to each field;
 * `SKEIN_ROLLOUTS` names a folder of other rollouts.
 */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { newThreadId, type ThreadId } from "../../src/protocol/ids.ts";
import { parseRolloutName } from "../../src/store/file/layout.ts";
import { ModelServer } from "../clients/model-server.ts";
import { mockProviderToml } from "../mock-provider.ts";
import { damagedTextsOf } from "../store/damaged-texts.ts";
import {
  FEW_REPLACEMENTS,
  type Mutation,
  mutationsOf,
  nameOfMutation,
  rolloutsIn,
  someOf,
  textWith,
} from "../store/rollout-mutations.ts";
import { type NextTurn, nextTurnsHere, nextTurnsInCodex } from "./next-turn.ts";

const FOLDER = process.env.SKEIN_ROLLOUTS ?? fileURLToPath(new URL("../data/rollouts/", import.meta.url));
const { SKEIN_MUTATIONS = "600" } = process.env;
const MOST = SKEIN_MUTATIONS === "all" ? Number.POSITIVE_INFINITY : Number(SKEIN_MUTATIONS);
/** How many threads lie in one home. */
const BATCH = 150;

/** `change` undefined: as it was recorded. */
type Mutant = { readonly source: string; readonly change: Change | undefined; readonly id: ThreadId };
type Change = { readonly name: string; readonly textOf: (lines: readonly string[]) => string | Buffer };
type Told = { readonly mutant: Mutant; readonly codex: NextTurn; readonly ours: NextTurn };

const linesOf = (path: string): string[] =>
  readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "");

const changeOf = (mutation: Mutation): Change => ({
  name: `${nameOfMutation(mutation)} (${mutation.field})`,
  textOf: (lines) => textWith(lines, mutation),
});

/** Every field of every kind of line by every type, and every damage of each kind of line. */
function* mutants(): Generator<Mutant> {
  const [fields, kinds] = [new Set<string>(), new Set<string>()];
  for (const source of rolloutsIn(FOLDER)) {
    const lines = linesOf(source);
    const mutations = mutationsOf(lines, { replacements: FEW_REPLACEMENTS, seen: fields }).map(changeOf);
    for (const change of [...mutations, ...damagedTextsOf(lines, kinds)]) yield { source, change, id: newThreadId() };
  }
}

/** Under a name of its own, so that many lie in one home; what it inherits comes along. */
function put(home: string, { source, change, id }: Mutant): void {
  const name = parseRolloutName(basename(source));
  assert.ok(name);
  const lines = linesOf(source).map((line) => line.replaceAll(name.threadId, id));
  const day = join(home, "sessions", "2026", "11", "22");
  mkdirSync(day, { recursive: true });
  writeFileSync(join(day, `rollout-2026-11-22T00-00-00-${id}.jsonl`), change?.textOf(lines) ?? `${lines.join("\n")}\n`);
  if (!lines.some((line) => line.includes('"history_base":{'))) return;
  for (const other of rolloutsIn(dirname(source))) cpSync(other, join(day, basename(other)));
}

/** We pass over fewer lines than Codex does, so ours may hold more, but has to hold all of theirs in their order. */
function isWithin(theirs: readonly string[], ours: readonly string[]): boolean {
  let at = 0;
  for (const word of ours) if (word === theirs[at]) at += 1;
  return at === theirs.length;
}

/** Each batch in two homes, one for Codex and one for us. */
async function* tryAll(binary: string, all: readonly Mutant[]): AsyncGenerator<Told> {
  for (let first = 0; first < all.length; first += BATCH) {
    const batch = all.slice(first, first + BATCH);
    const home = mkdtempSync(join(tmpdir(), "skein-oracle-"));
    const [theirs, ours, cwd] = ["theirs", "ours", "work"].map((name) => join(home, name)) as [string, string, string];
    for (const folder of [theirs, ours, cwd]) mkdirSync(folder);
    try {
      await using model = await ModelServer.listen();
      writeFileSync(join(theirs, "config.toml"), mockProviderToml(model.baseUrl));
      for (const mutant of batch) for (const to of [theirs, ours]) put(to, mutant);
      const threadIds = batch.map(({ id }) => id);
      const inCodex = await nextTurnsInCodex(binary, { home: theirs, cwd, threadIds }, model);
      const here = await nextTurnsHere({ home: ours, cwd, threadIds });
      for (const mutant of batch) {
        const [codex, our] = [inCodex.get(mutant.id), here.get(mutant.id)];
        assert.ok(codex !== undefined && our !== undefined);
        yield { mutant, codex, ours: our };
      }
    } finally {
      rmSync(home, { recursive: true, force: true });
    }
  }
}

/** A thread whose last turn has filled the context is summed up before its next one, by each in its own words. */
const isSummedUpNow = ({ source }: Mutant, words: readonly string[]): boolean =>
  words.some((word) => word.startsWith("user: Another language model")) &&
  !linesOf(source).some((line) => line.includes('"type":"compacted"'));

const nameOf = ({ source, change }: Mutant): string =>
  `${basename(source)}${change === undefined ? "" : `, ${change.name}`}`;

/**
 * How many were tried, and in how many Codex tells its model what ours is not told, each of which is said as it is found.
 * Of a changed rollout ours may be told what Codex tells of it unchanged: Codex passes over lines that we can read in part.
 */
export async function oracleMutatedRollouts(
  binary: string,
  say: (text: string) => void,
): Promise<{ tried: number; differ: number }> {
  const changed = someOf([...mutants()], MOST, 1);
  const unchanged = rolloutsIn(FOLDER).map((source) => ({ source, change: undefined, id: newThreadId() }));
  const usual = new Map<string, string>();
  let [tried, differ] = [0, 0];
  for await (const { mutant, codex, ours } of tryAll(binary, [...unchanged, ...changed])) {
    tried += 1;
    if (tried % BATCH === 0) say(`rollouts with one field changed: ${tried} of ${unchanged.length + changed.length}`);
    if ("refused" in codex || isSummedUpNow(mutant, codex.words)) continue;
    if (mutant.change === undefined) usual.set(mutant.source, codex.words.join("\n"));
    const words = "words" in ours ? ours.words : [];
    if (isWithin(codex.words, words) && mutant.change !== undefined) continue;
    if (words.join("\n") === usual.get(mutant.source)) continue;
    differ += 1;
    say(`differs: ${nameOf(mutant)}\n  codex: ${JSON.stringify(codex)}\n  skein: ${JSON.stringify(ours)}`);
  }
  return { tried, differ };
}
