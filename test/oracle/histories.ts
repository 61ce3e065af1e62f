/**
 * Proves that whatever thread the one has made, the other goes on with it and tells its model the same: after a rollback, a
 * compaction, an interrupt; forks of all of these, of forks and of threads that are stored nowhere; paginated and legacy.
 */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileStore, scriptedClient, type Thread, ThreadManager } from "../../src/index.ts";
import type { ThreadId } from "../../src/protocol/ids.ts";
import type { HistoryMode } from "../../src/protocol/rollout.ts";
import { ModelServer } from "../clients/model-server.ts";
import { mockProviderToml } from "../mock-provider.ts";
import { CodexServer } from "./codex-server.ts";
import { type NextTurn, nextTurnsHere, nextTurnsInCodex } from "./next-turn.ts";

type Named = { readonly name: string; readonly threadId: string };

async function compact(thread: Thread): Promise<void> {
  const events = thread.events();
  const id = await thread.submit({ type: "compact" });
  for await (const { id: of, msg } of events) if (of === id && msg.type === "task_complete") return;
}

async function rollBack(thread: Thread, turns: number): Promise<void> {
  const events = thread.events();
  await thread.submit({ type: "thread_rollback", num_turns: turns });
  for await (const { msg } of events) if (msg.type === "thread_rolled_back") return;
}

async function runAll(thread: Thread, ...texts: string[]): Promise<void> {
  for (const text of texts) assert.equal((await thread.run(text)).status, "completed");
}

/** Threads of ours, closed. */
async function ourHistories(home: string, cwd: string, historyMode: HistoryMode): Promise<Named[]> {
  const store = fileStore({ home });
  const manager = await ThreadManager.create({
    home,
    store,
    model: scriptedClient(),
    config: { cwd, modelProvider: "mock", builtInTools: [] },
  });
  const made: Named[] = [];
  const keep = (name: string, { id }: Thread) => made.push({ name: `${historyMode}: ${name}`, threadId: id });
  const start = async (...texts: string[]) => {
    const { thread } = await manager.startThread({}, { historyMode });
    await runAll(thread, ...texts);
    return thread;
  };
  const fork = async (
    name: string,
    from: Thread,
    text: string,
    at?: Parameters<typeof manager.forkThread>[0]["at"],
  ): Promise<Thread> => {
    const { thread } = await manager.forkThread(at === undefined ? { from: from.id } : { from: from.id, at });
    await runAll(thread, text);
    keep(name, thread);
    return thread;
  };

  const plain = await start("one", "two", "three");
  keep("a thread", plain);
  const child = await fork("a fork", plain, "in a fork");
  await fork("a fork of a fork, before a message", child, "deeper", { beforeUserMessage: 2 });
  await fork("a fork through a turn's end", plain, "elsewhere", { beforeUserMessage: 1 });

  const rolled = await start("kept", "dropped", "dropped too");
  await rollBack(rolled, 2);
  keep("rolled back", rolled);
  const onward = await fork("a fork after a rollback", rolled, "afterwards");
  await rollBack(onward, 2);
  keep("a fork, rolled back into what it shares", onward);

  const packed = await start("long ago", "longer ago");
  await compact(packed);
  await fork("a fork after a compaction", packed, "since then");
  await runAll(packed, "and on");
  await fork("a fork before a compaction", packed, "another past", { beforeUserMessage: 1 });
  await rollBack(packed, 1);
  await compact(packed);
  keep("rolled back and compacted twice", packed);
  await fork("a fork after a rollback and two compactions", packed, "so far");

  const summed = await start("before it", "before it too");
  await compact(summed);
  await runAll(summed, "after it");
  await rollBack(summed, 1);
  keep("compacted, and rolled back to the summary", summed);

  const brief = await manager.startThread({ ephemeral: true }, { historyMode });
  await runAll(brief.thread, "of no file", "of none either");
  await fork("a fork of a thread that is stored nowhere", brief.thread, "of a file now");
  const { thread: briefFork } = await manager.forkThread({ from: plain.id, config: { ephemeral: true } });
  await runAll(briefFork, "stored nowhere");
  await fork("a fork of a fork that is stored nowhere", briefFork, "stored after all");

  await manager.shutdown();
  await store.close();
  return made;
}

/** Threads of Codex's, closed. */
async function codexHistories(binary: string, home: string, cwd: string, historyMode: HistoryMode): Promise<Named[]> {
  await using codex = await CodexServer.start(binary, home, cwd);
  const made: Named[] = [];
  const keep = (name: string, threadId: string) => made.push({ name: `Codex's, ${historyMode}: ${name}`, threadId });
  const idOf = (answer: unknown) => (answer as { thread: { id: string } }).thread.id;
  const start = async (...texts: string[]) => {
    const id = idOf(await codex.ask("thread/start", { cwd, historyMode }));
    for (const text of texts) await codex.turn(id, text);
    return id;
  };
  const fork = async (name: string, threadId: string, text: string) => {
    const id = idOf(await codex.ask("thread/fork", { threadId, excludeTurns: true }));
    await codex.turn(id, text);
    keep(name, id);
    return id;
  };
  const turnIds = async (threadId: string) => {
    const read = await codex.ask("thread/turns/list", { threadId, limit: 100, sortDirection: "asc" });
    return (read as { data: { id: string }[] }).data.map(({ id }) => id);
  };

  const plain = await start("one", "two", "three");
  keep("a thread", plain);
  const child = await fork("a fork", plain, "in a fork");
  await fork("a fork of a fork", child, "deeper");

  const packed = await start("long ago", "longer ago");
  await codex.compact(packed);
  await codex.turn(packed, "and on");
  keep("compacted", packed);
  await fork("a fork after a compaction", packed, "since then");

  if (historyMode === "paginated") {
    const reverted = await start("kept", "dropped", "dropped too");
    const early = await fork("a fork before a revert", reverted, "as it was");
    await codex.ask("thread/revert", { threadId: reverted, beforeTurnId: (await turnIds(reverted))[1] });
    await codex.turn(reverted, "instead");
    keep("reverted", reverted);
    await fork("a fork after a revert", reverted, "afterwards");
    await codex.ask("thread/revert", { threadId: early, beforeTurnId: (await turnIds(early))[1] });
    await codex.turn(early, "here too");
    keep("a fork, reverted into what it shares", early);
  }
  return made;
}

function wordsIn(turns: ReadonlyMap<string, NextTurn>, { name, threadId }: Named): readonly string[] {
  const turn = turns.get(threadId);
  assert.ok(turn !== undefined && "words" in turn, `${name}: ${JSON.stringify(turn)}`);
  return turn.words;
}

function assertSame(codex: ReadonlyMap<string, NextTurn>, ours: ReadonlyMap<string, NextTurn>, named: Named): void {
  assert.deepEqual(wordsIn(codex, named), wordsIn(ours, named), named.name);
}

/** Homes side by side for Codex and for us, in a folder that goes away. */
async function withHomes(
  use: (at: { theirs: string; ours: string; cwd: string; model: ModelServer }) => Promise<void>,
): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), "skein-oracle-"));
  const at = { theirs: join(folder, "theirs"), ours: join(folder, "ours"), cwd: join(folder, "work") };
  for (const path of Object.values(at)) mkdirSync(path);
  try {
    await using model = await ModelServer.listen();
    writeFileSync(join(at.theirs, "config.toml"), mockProviderToml(model.baseUrl));
    await use({ ...at, model });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @throws when either tells its model anything else than the other, of a thread that the one or the other has made */
export async function oracleHistories(binary: string): Promise<number> {
  let compared = 0;
  for (const historyMode of ["paginated", "legacy"] as const) {
    await withHomes(async ({ theirs, ours, cwd, model }) => {
      const made = [
        ...(await ourHistories(theirs, cwd, historyMode)),
        ...(await codexHistories(binary, theirs, cwd, historyMode)),
      ];
      cpSync(theirs, ours, { recursive: true });
      const threadIds = made.map(({ threadId }) => threadId);
      const here = await nextTurnsHere({ home: ours, cwd, threadIds });
      const there = await nextTurnsInCodex(binary, { home: theirs, cwd, threadIds }, model);
      for (const named of made) assertSame(there, here, named);
      compared += made.length;
    });
  }
  return compared;
}

/** The same for exports, in the form that Codex of before 0.169 reads. */
export async function oracleExports(binary: string): Promise<number> {
  let compared = 0;
  await withHomes(async ({ theirs, ours, cwd, model }) => {
    const made = [...(await ourHistories(ours, cwd, "paginated")), ...(await ourHistories(ours, cwd, "legacy"))];
    const store = fileStore({ home: ours });
    for (const { threadId } of made) {
      const { rolloutPath } = await store.get(threadId as ThreadId);
      const path = rolloutPath?.replace(ours, theirs) ?? "";
      mkdirSync(dirname(path), { recursive: true });
      for await (const lines of store.export(threadId as ThreadId, { format: "legacy" }))
        writeFileSync(path, lines, { flag: "a" });
    }
    await store.close();
    const threadIds = made.map(({ threadId }) => threadId);
    const here = await nextTurnsHere({ home: ours, cwd, threadIds });
    const there = await nextTurnsInCodex(binary, { home: theirs, cwd, threadIds }, model);
    for (const named of made) assertSame(there, here, named);
    compared = made.length;
  });
  return compared;
}
