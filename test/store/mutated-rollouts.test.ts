/**
 * Rollouts that Codex wrote, with one field deleted or replaced, or damaged as files: no reader fails in a way that has no
 * name, none hangs, and a thread that has a header left goes on. Some mutations of each file are tried; `SKEIN_MUTATIONS=all` tries all, of the
 * rollouts below the folder `SKEIN_ROLLOUTS` where that is given.
 */
import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { turnsOf, viewOf } from "../../src/app-server/v2/history-turns.ts";
import { fileStore, type ModelRequest, SkeinError, scriptedClient, ThreadManager } from "../../src/index.ts";
import { conversationOf } from "../../src/model/conversation.ts";
import type { ThreadId } from "../../src/protocol/ids.ts";
import { eventMsgsOf } from "../../src/protocol/initial-history.ts";
import type { RolloutLine } from "../../src/protocol/rollout.ts";
import { verifyHome } from "../../src/store/file/care/verify.ts";
import { parseRolloutName } from "../../src/store/file/layout.ts";
import { decodeLine, encodeLine } from "../../src/store/rollout/codec.ts";
import { Rebuilt } from "../../src/thread/rebuild.ts";
import { withoutBrokenPictures } from "../../src/turn/picture-content.ts";
import { damagedTextsOf } from "./damaged-texts.ts";
import {
  changedLine,
  FEW_REPLACEMENTS,
  headerIdOf,
  mutationsOf,
  nameOfMutation,
  rolloutsIn,
  someOf,
  textWith,
} from "./rollout-mutations.ts";

const FOLDER = process.env.SKEIN_ROLLOUTS ?? fileURLToPath(new URL("../data/rollouts/", import.meta.url));
const EACH =
  process.env.SKEIN_MUTATIONS === "all" ? Number.POSITIVE_INFINITY : Number(process.env.SKEIN_MUTATIONS ?? 5);
const DEADLINE_MS = 20_000;

/** A home with one rollout in it. */
function homeWith(name: string, text: string | Buffer): string {
  const home = mkdtempSync(join(tmpdir(), "skein-mutated-"));
  const day = join(home, "sessions", ...name.slice(8, 18).split("-"));
  mkdirSync(day, { recursive: true });
  writeFileSync(join(day, name), text);
  return home;
}

/** Every way to read, and every way to go on. */
async function useThread(home: string, path: string, header: ThreadId | undefined): Promise<void> {
  const signal = AbortSignal.timeout(DEADLINE_MS);
  const store = fileStore({ home, fsync: "never" });
  const config = { cwd: home, builtInTools: [] };
  const manager = await ThreadManager.create({ store, model: scriptedClient(), config, home });
  const typed = async <T>(what: string, work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work();
    } catch (error) {
      assert.ok(error instanceof SkeinError && error.code !== "internal_defect", `${what}: ${error}`);
      if (header !== undefined) throw error;
      return undefined;
    }
  };
  try {
    const listed = await manager.listThreads({
      limit: 10,
      sourceKinds: ["cli", "vscode", "exec", "mcp", "unknown", "subagent"],
    });
    const lines: RolloutLine[] = [];
    await typed("load", async () => {
      for await (const page of store.load({ rolloutPath: path }, { signal })) lines.push(...page);
    });
    for (const turn of turnsOf(lines))
      for (const view of ["full", "summary"] as const) JSON.stringify(viewOf(turn, view));
    JSON.stringify(eventMsgsOf({ type: "forked", items: lines }));
    await typed("header", () => store.header({ rolloutPath: path }));
    const forked = await typed("fork", () => manager.forkThread({ from: { rolloutPath: path }, config }, { signal }));
    await typed("fork at a message", () =>
      manager.forkThread({ from: { rolloutPath: path }, at: { beforeUserMessage: 1 }, config }, { signal }),
    );
    const resumed = await typed("resume", () =>
      manager.resumeThreadFromRollout(config, path, { signal, initialMessages: "all" }),
    );
    for (const made of [forked, resumed]) {
      if (made === undefined) continue;
      const outcome = await made.thread.run("go on", { signal });
      assert.equal(outcome.status, "completed", JSON.stringify(outcome));
    }
    await typed("export", async () => {
      for await (const piece of store.export({ rolloutPath: path }, { signal })) assert.ok(piece.endsWith("\n"));
    });
    if (header !== undefined && header === parseRolloutName(basename(path))?.threadId) {
      assert.ok(
        listed.threads.some(({ threadId }) => threadId === header),
        "the thread is listed",
      );
      await typed("get", () => store.get(header));
    }
  } finally {
    await manager.shutdown();
    await store.close();
  }
  await verifyHome({ home, signal });
}

const REQUEST = { instructions: "", tools: [], model: "m", parallelToolCalls: false } as unknown as ModelRequest;

const linesOf = (path: string): string[] =>
  readFileSync(path, "utf8")
    .split("\n")
    .filter((line) => line !== "");

test("every field of every kind of line, by every type: told to the model, shown as turns and events, written again", () => {
  const seen = new Set<string>();
  for (const path of rolloutsIn(FOLDER)) {
    const texts = linesOf(path);
    const decoded = texts.map(decodeLine);
    for (const mutation of mutationsOf(texts, { replacements: FEW_REPLACEMENTS, seen })) {
      const changed = decodeLine(changedLine(texts, mutation));
      const lines = decoded.flatMap((each, index) => {
        const read = index === mutation.line ? changed : each;
        return "line" in read ? [read.line] : [];
      });
      try {
        const rebuilt = new Rebuilt();
        for (const line of lines) rebuilt.add(line, () => []);
        const told = rebuilt.history.forModel().map(withoutBrokenPictures);
        conversationOf({ ...REQUEST, input: told });
        for (const turn of turnsOf(lines)) JSON.stringify(viewOf(turn, "full"));
        JSON.stringify(eventMsgsOf({ type: "forked", items: lines }));
        if ("line" in changed) encodeLine(changed.line, changed.line.timestamp, 1);
      } catch (cause) {
        throw new Error(`${basename(path)}, ${nameOfMutation(mutation)}: ${cause}`, { cause });
      }
    }
  }
  assert.ok(seen.size > 900, `${seen.size} fields`);
});

/** A file of that name and text, in a home of its own. */
async function useFile(name: string, text: string | Buffer, what: string): Promise<void> {
  const home = homeWith(name, text);
  const [file] = rolloutsIn(home);
  assert.ok(file);
  try {
    await useThread(home, file, headerIdOf(text.toString()));
  } catch (cause) {
    throw new Error(`${what}: ${cause instanceof Error ? cause.message : cause}`, { cause });
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

for (const [seed, path] of rolloutsIn(FOLDER).entries()) {
  const lines = linesOf(path);
  test(`${basename(path)}: one field changed`, async () => {
    const mutations = someOf(mutationsOf(lines), EACH, seed);
    assert.ok(mutations.length > 0);
    for (const mutation of mutations)
      await useFile(basename(path), textWith(lines, mutation), nameOfMutation(mutation));
  });

  test(`${basename(path)}: damaged as a file`, async () => {
    for (const { name, textOf } of someOf([...damagedTextsOf(lines)], EACH, seed))
      await useFile(basename(path), textOf(lines), name);
  });
}
