/** `newFiles: "with-first-line"`: what a thread that has said nothing costs and leaves, and when its file is made. */
import assert from "node:assert/strict";
import { rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { describe, test } from "node:test";
import { say, scriptedClient, ThreadManager } from "../../../src/index.ts";
import { RolloutNotFoundError, StoreIoError, ThreadBusyError } from "../../../src/protocol/errors.ts";
import { newThreadId, type ThreadId } from "../../../src/protocol/ids.ts";
import { userMessage } from "../../../src/protocol/response-item.ts";
import type { RolloutItem } from "../../../src/protocol/rollout.ts";
import type { RolloutWriter } from "../../../src/store/file/file-position.ts";
import type { FileStore } from "../../../src/store/file/file-store.ts";
import { FaultyFileSystem, systemError } from "./faulty-file-system.ts";
import { loaded, TempHome } from "./temp-home.ts";

const metaOf = (id: ThreadId = newThreadId()) => ({
  id,
  timestamp: "2026-01-01T00:00:00.000Z",
  cwd: "/",
  originator: "t",
  cli_version: "0",
});
const says = (text: string): RolloutItem => ({ type: "response_item", payload: userMessage(text) });
const late = (home: TempHome, options = {}): FileStore => home.open({ newFiles: "with-first-line", ...options });
const listed = async (store: FileStore): Promise<ThreadId[]> =>
  (await store.list({ limit: 100 })).threads.map(({ threadId }) => threadId);

test("a thread that says nothing opens no file, and its first turn makes one that is like any other", async () => {
  await using home = new TempHome();
  const files = new FaultyFileSystem();
  const store = late(home, { fileSystem: files.api });
  await using manager = await ThreadManager.create({ store, model: scriptedClient(() => [say("hello")]) });
  const threads = await Promise.all(Array.from({ length: 20 }, () => manager.startThread({ cwd: "/" })));
  assert.equal(files.opens, 0);
  assert.equal(files.writes, 0);
  assert.deepEqual(await listed(store), []);

  const [first] = threads;
  assert.ok(first);
  const result = await first.thread.run("hi");
  assert.equal(result.lastAgentMessage, "hello");
  assert.equal(home.rollouts().length, 1);
  assert.deepEqual(await listed(store), [first.threadId]);
  const other = home.open();
  assert.deepEqual(await listed(other), [first.threadId]);
  const [header] = await loaded(other, first.threadId);
  assert.equal(header?.type, "session_meta");
  await manager.shutdown();
  assert.equal(home.rollouts().length, threads.length, "an orderly end loses no thread");
});

describe("who asks for a thread by its id has its file made", () => {
  const asks: Record<string, (store: FileStore, writer: RolloutWriter) => Promise<unknown>> = {
    get: (store, { threadId }) => store.get(threadId),
    header: (store, { threadId }) => store.header(threadId),
    "header by path": (store, { rolloutPath }) => store.header({ rolloutPath }),
    load: (store, { threadId }) => loaded(store, threadId),
    fork: async (store, { threadId }) => {
      const base = await store.forkBase(threadId, "full");
      assert.ok(base);
      await store.fork(metaOf(), base);
    },
    "fork of a base that was known before": (store, { threadId }) =>
      store.fork(metaOf(), { source: threadId, inherits: { threadId, end: { ordinal: 1 } }, openTurn: null }),
    ancestors: (store, { threadId }) => store.ancestors(threadId),
    rename: (store, { threadId }) => store.rename(threadId, "mine"),
    archive: (store, { threadId }) => store.archive(threadId),
    "open by another": (store, { threadId }) => assert.rejects(store.open(threadId), ThreadBusyError),
    "a note, which outlives the process": (store, { threadId }) => store.notes.write(threadId, "mail", ["x"]),
    close: (_, writer) => writer.close(),
    "the store's end": (store) => store.close(),
    export: async (store, { threadId }) => {
      for await (const _piece of store.export(threadId));
    },
  };
  for (const [name, ask] of Object.entries(asks)) {
    test(name, async () => {
      await using home = new TempHome();
      const store = late(home);
      const writer = await store.create(metaOf());
      assert.deepEqual(home.rollouts(), []);
      await ask(store, writer);
      assert.ok(home.rollouts().some((path) => path.endsWith(`${writer.threadId}.jsonl`)));
      const [line] = await loaded(home.open(), writer.threadId);
      assert.equal(line?.type, "session_meta");
    });
  }
});

test("a flush, a sync and a confirmation of nothing make no file, whatever is forced to the disk", async () => {
  await using home = new TempHome();
  for (const fsync of ["never", "turn", "always"] as const) {
    const writer = await late(home, { fsync }).create(metaOf());
    await writer.flush();
    await writer.sync();
    await writer.confirm();
    assert.equal(writer.dirty, false);
  }
  assert.deepEqual(home.rollouts(), []);
});

test("a delete of what was never written leaves nothing to be found", async () => {
  await using home = new TempHome();
  const store = late(home);
  const { threadId } = await store.create(metaOf());
  await store.delete(threadId);
  await assert.rejects(store.get(threadId), RolloutNotFoundError);
});

test("a file that cannot be made keeps what was said, says why, and is made when there is room", async () => {
  await using home = new TempHome();
  const files = new FaultyFileSystem();
  const failures: Error[] = [];
  const store = late(home, { fileSystem: files.api });
  const writer = await store.create(metaOf(), { onFailure: (error) => failures.push(error) });
  files.onOpen = () => {
    throw systemError("ENOSPC");
  };
  writer.append(says("one"));
  await assert.rejects(writer.flush(), StoreIoError);
  await assert.rejects(store.get(writer.threadId), StoreIoError);
  files.onOpen = () => {};
  files.roomBytes = 10; // of the header
  await assert.rejects(writer.flush(), StoreIoError);
  assert.deepEqual(home.rollouts(), [], "no half header is left");
  files.roomBytes = undefined;
  await writer.flush();
  assert.equal(writer.failure, undefined);
  assert.equal(failures.length, 1);
  const types = (await loaded(home.open(), writer.threadId)).map(({ type }) => type);
  assert.deepEqual(types, ["session_meta", "response_item"]);
});

test("of two that were given one id, in two processes, the later one hears that it is another's", async () => {
  await using home = new TempHome();
  const id = newThreadId();
  const failures: Error[] = [];
  const first = await late(home).create(metaOf(id));
  const second = await late(home).create(metaOf(id), { onFailure: (error) => failures.push(error) });
  first.append(says("first"));
  await first.flush();
  second.append(says("second"));
  await assert.rejects(second.flush(), ThreadBusyError);
  assert.ok(failures[0] instanceof ThreadBusyError);
  first.append(says("more"));
  await first.close();
  const third = await late(home, {}).create(metaOf());
  await third.close();
  const texts = JSON.stringify(await loaded(home.open(), id));
  assert.match(texts, /first.*more/);
  assert.doesNotMatch(texts, /second/);
});

test("one id is given once where the first one's file lies there unheld", async () => {
  await using home = new TempHome();
  const id = newThreadId();
  const second = await late(home).create(metaOf(id));
  const first = await late(home).create(metaOf(id));
  first.append(says("first"));
  await first.close();
  second.append(says("second"));
  await assert.rejects(second.flush(), ThreadBusyError);
  assert.equal((await loaded(home.open(), id)).length, 2);
});

test("a folder that is gone before the first line is made again", async () => {
  await using home = new TempHome();
  const writer = await late(home).create(metaOf());
  rmSync(dirname(dirname(writer.rolloutPath)), { recursive: true, force: true });
  writeFileSync(`${home.path}/kept`, "");
  writer.append(says("one"));
  await writer.flush();
  assert.equal((await loaded(home.open(), writer.threadId)).length, 2);
});
