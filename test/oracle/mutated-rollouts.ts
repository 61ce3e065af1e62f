/**
 * Proves that a thread with one field of its rollout changed goes on here wherever it goes on in the real Codex, and that
 * the model is told the same of it. `SKEIN_ROLLOUTS` names a folder of other rollouts.
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
import {
  FEW_REPLACEMENTS,
  type Mutation,
  mutationsOf,
  nameOfMutation,
  rolloutsIn,
  someOf,
  textWith,
} from "../store/rollout-mutations.ts";
import { nextTurnsHere, nextTurnsInCodex } from "./next-turn.ts";

const FOLDER = process.env.SKEIN_ROLLOUTS ?? fileURLToPath(new URL("../data/rollouts/", import.meta.url));
const MOST = Number(process.env.SKEIN_MUTATIONS ?? Number.POSITIVE_INFINITY);
/** How many threads lie in one home. */
const BATCH = 150;

type Mutant = { readonly source: string; readonly mutation: Mutation; readonly id: ThreadId };

const linesOf = (path: string): string[] =>
  readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "");

function mutants(): Mutant[] {
  const seen = new Set<string>();
  return rolloutsIn(FOLDER).flatMap((source) =>
    mutationsOf(linesOf(source), { replacements: FEW_REPLACEMENTS, seen }).map((mutation) => ({
      source,
      mutation,
      id: newThreadId(),
    })),
  );
}

/** Under a name of its own, so that many lie in one home; what it inherits comes along. */
function put(home: string, { source, mutation, id }: Mutant): void {
  const name = parseRolloutName(basename(source));
  assert.ok(name);
  const lines = linesOf(source).map((line) => line.replaceAll(name.threadId, id));
  const day = join(home, "sessions", "2026", "11", "22");
  mkdirSync(day, { recursive: true });
  writeFileSync(join(day, `rollout-2026-11-22T00-00-00-${id}.jsonl`), textWith(lines, mutation));
  if (!lines.some((line) => line.includes('"history_base":{'))) return;
  for (const other of rolloutsIn(dirname(source))) cpSync(other, join(day, basename(other)));
}

/** We pass over fewer lines than Codex does, so ours may hold more, but has to hold all of theirs in their order. */
function isWithin(theirs: readonly string[], ours: readonly string[]): boolean {
  let at = 0;
  for (const word of ours) if (word === theirs[at]) at += 1;
  return at === theirs.length;
}

/** How many were tried, and in how many the two differ, each of which is said as it is found. */
export async function oracleMutatedRollouts(
  binary: string,
  say: (text: string) => void,
): Promise<{ tried: number; differ: number }> {
  const all = someOf(mutants(), MOST, 1);
  let differ = 0;
  const differs = (text: string) => {
    differ += 1;
    say(`differs: ${text}`);
  };
  for (let first = 0; first < all.length; first += BATCH) {
    say(`rollouts with one field changed: ${first} of ${all.length}`);
    const batch = all.slice(first, first + BATCH);
    const home = mkdtempSync(join(tmpdir(), "skein-oracle-"));
    const [theirs, ours, cwd] = ["theirs", "ours", "work"].map((name) => join(home, name)) as [string, string, string];
    for (const folder of [theirs, ours, cwd]) mkdirSync(folder);
    try {
      await using model = await ModelServer.listen();
      writeFileSync(join(theirs, "config.toml"), mockProviderToml(model.baseUrl));
      for (const mutant of batch) for (const to of [theirs, ours]) put(to, mutant);
      const threadIds = batch.map(({ id }) => id);
      const codex = await nextTurnsInCodex(binary, { home: theirs, cwd, threadIds }, model);
      const skein = await nextTurnsHere({ home: ours, cwd, threadIds });
      for (const { id, mutation, source } of batch) {
        const [their, our] = [codex.get(id), skein.get(id)];
        assert.ok(their !== undefined && our !== undefined);
        if ("refused" in their) continue;
        const what = `${basename(source)}, ${nameOfMutation(mutation)} (${mutation.field})`;
        if ("refused" in our) differs(`${what}: ${our.refused}`);
        else if (!isWithin(their.words, our.words))
          differs(`${what}\n  codex: ${JSON.stringify(their.words)}\n  skein: ${JSON.stringify(our.words)}`);
      }
    } finally {
      rmSync(home, { recursive: true, force: true });
    }
  }
  return { tried: all.length, differ };
}
