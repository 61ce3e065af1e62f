/** Files that inherit from each other in ways that no writer makes, and lines that nobody can hold. */
import assert from "node:assert/strict";
import { appendFileSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { describe, test } from "node:test";
import { scriptedClient, ThreadManager } from "../../../src/index.ts";
import type { ThreadId } from "../../../src/protocol/ids.ts";
import { header, user } from "../../../src/store/contract/store-script.ts";
import { verifyHome } from "../../../src/store/file/care/verify.ts";
import { MAX_LINE_BYTES } from "../../../src/store/rollout/codec.ts";
import type { ThreadWriter } from "../../../src/store/thread-store.ts";
import { loaded, TempHome } from "./temp-home.ts";

async function written(home: TempHome, ...texts: string[]): Promise<ThreadWriter & { rolloutPath: string }> {
  const writer = await home.open().create(header());
  for (const text of texts) writer.append(user(text));
  await writer.close();
  return writer as ThreadWriter & { rolloutPath: string };
}

/** Gives a header the base that is named, as no writer would. */
function inheritFrom(path: string, threadId: ThreadId, end: number): void {
  const base = `"history_base":{"thread_id":"${threadId}","end_ordinal_exclusive":${end},"end_byte_offset":900},`;
  writeFileSync(
    path,
    readFileSync(path, "utf8")
      .replace(/"history_base":\{[^}]*\},?/, "")
      .replace('"payload":{', `"payload":{${base}`),
  );
}

const textsOf = async (home: TempHome, path: string): Promise<string[]> =>
  (await loaded(home.open(), { rolloutPath: path })).flatMap((line) =>
    line.type === "response_item" && line.payload.type === "message" ? [JSON.stringify(line.payload.content)] : [],
  );

const withOrdinal = (line: string, ordinal: number): string => line.replace(/"ordinal":\d+/, `"ordinal":${ordinal}`);

describe("lineage", () => {
  for (const [name, link] of [
    ["a file that inherits from itself", (a: ThreadWriter) => a.threadId],
    ["two files that inherit from each other", (_: ThreadWriter, b: ThreadWriter) => b.threadId],
  ] as const) {
    test(`${name}: read, forked, resumed, exported; told by the thread and by verify`, async () => {
      await using home = new TempHome();
      const a = await written(home, "in a");
      const b = await written(home, "in b");
      inheritFrom(a.rolloutPath, link(a, b), 5);
      inheritFrom(b.rolloutPath, a.threadId, 5);
      assert.ok((await textsOf(home, a.rolloutPath)).some((text) => text.includes("in a")));
      const config = { cwd: home.path, builtInTools: [] };
      const manager = await ThreadManager.create({
        home: home.path,
        store: home.open(),
        model: scriptedClient(),
        config,
      });
      for (const from of [a.threadId, b.threadId]) {
        const fork = await manager.forkThread({ from, config });
        assert.equal((await fork.thread.run("on")).status, "completed");
        const { thread } = await manager.resumeThread(from, config);
        const told: string[] = [];
        thread.events$.subscribe(({ msg }) => msg.type === "warning" && told.push(msg.message));
        assert.equal((await thread.run("on")).status, "completed");
        assert.ok(
          told.some((message) => /base_(loop|short)/.test(message)),
          told.join("\n"),
        );
      }
      await manager.shutdown();
      for await (const piece of home.open().export(a.threadId)) assert.ok(piece.endsWith("\n"));
      const { faults } = await verifyHome({ home: home.path });
      assert.ok(faults.some(({ kind }) => kind === "base_loop"));
      await home.open().delete(a.threadId);
    });
  }

  test("a base that is gone is told as an event, with what the model does not see", async () => {
    await using home = new TempHome();
    const store = home.open();
    const root = await written(home, "the past");
    const base = await store.forkBase(root.threadId, "full");
    assert.ok(base);
    const fork = await store.fork(header(), base);
    await fork.close();
    rmSync(root.rolloutPath);
    const config = { cwd: home.path, builtInTools: [] };
    const manager = await ThreadManager.create({
      home: home.path,
      store: home.open(),
      model: scriptedClient(),
      config,
    });
    const { thread } = await manager.resumeThread(fork.threadId, config);
    const told: string[] = [];
    thread.events$.subscribe(({ msg }) => msg.type === "warning" && told.push(msg.message));
    await thread.run("on");
    assert.ok(told.some((message) => message.includes(`the lines before ${base.inherits?.end.ordinal} are not there`)));
    await manager.shutdown();
  });

  test("lines that all have the ordinal 0 are all given, and told", async () => {
    await using home = new TempHome();
    const { rolloutPath } = await written(home, "one", "two", "three");
    writeFileSync(rolloutPath, readFileSync(rolloutPath, "utf8").replaceAll(/"ordinal":\d+/g, '"ordinal":0'));
    assert.equal((await textsOf(home, rolloutPath)).length, 3);
    const { faults } = await verifyHome({ home: home.path });
    assert.ok(faults.some(({ kind }) => kind === "reused"));
  });
});

type Base = { end_ordinal_exclusive: number; end_byte_offset: number };

/** What a fork's base may say: told by verify, and the model sees what Codex tells its own, and all that either end leads to. */
const ENDS: Record<string, (end: Base, whole: number) => Record<string, unknown>> = {
  "an ordinal too low": () => ({ end_ordinal_exclusive: 1 }),
  "no line's ordinal": () => ({ end_ordinal_exclusive: 0 }),
  "an ordinal too high": () => ({ end_ordinal_exclusive: 5_000 }),
  "an ordinal beyond numbers": () => ({ end_ordinal_exclusive: 1e300 }),
  "an ordinal below 0": () => ({ end_ordinal_exclusive: -1 }),
  "no ordinal": () => ({ end_ordinal_exclusive: undefined }),
  "an ordinal of null": () => ({ end_ordinal_exclusive: null }),
  "an ordinal in words": () => ({ end_ordinal_exclusive: "three" }),
  "an ordinal between two": (end) => ({ end_ordinal_exclusive: end.end_ordinal_exclusive - 0.5 }),
  "a byte within a line": (end) => ({ end_byte_offset: end.end_byte_offset - 1 }),
  "a byte too low": () => ({ end_byte_offset: 7 }),
  "a byte beyond the file": () => ({ end_byte_offset: 1e9 }),
  "no byte": () => ({ end_byte_offset: undefined }),
  "a byte in words": () => ({ end_byte_offset: "far" }),
  "both too low": () => ({ end_ordinal_exclusive: 1, end_byte_offset: 7 }),
  "a byte at another line's end": (_, whole) => ({ end_byte_offset: whole }),
};

for (const [what, other] of Object.entries(ENDS)) {
  test(`a base with ${what} loses no line, is forked, and is told by verify`, async () => {
    await using home = new TempHome();
    const root = await written(home, "one", "two", "three");
    const base = await home.open().forkBase(root.threadId, { beforeUserMessage: 2 });
    assert.ok(base);
    const fork = await home.open().fork(header(), base);
    fork.append(user("own"));
    fork.append(user("again"));
    await fork.close();
    const { rolloutPath } = fork as typeof fork & { rolloutPath: string };
    const [first = "", ...rest] = readFileSync(rolloutPath, "utf8").split("\n");
    const line = JSON.parse(first);
    const { history_base } = line.payload;
    Object.assign(history_base, other(history_base, readFileSync(root.rolloutPath).length));
    writeFileSync(rolloutPath, [JSON.stringify(line), ...rest].join("\n"));
    const { faults } = await verifyHome({ home: home.path });
    assert.ok(
      faults.some(({ kind, path }) => kind === "base_offset" && path === rolloutPath),
      JSON.stringify(faults),
    );
    const leadsOn = what === "a byte at another line's end";
    const expected = ["one", "two", ...(leadsOn ? ["three"] : []), "own", "again"];
    const wordsOf = async (id: ThreadId) =>
      (await loaded(home.open(), id)).flatMap((each) =>
        each.type === "response_item"
          ? (JSON.stringify(each.payload).match(/"(one|two|three|own|again)"/)?.[1] ?? [])
          : [],
      );
    assert.deepEqual(await wordsOf(fork.threadId), expected);
    for (const [at, kept] of [
      ["full", expected],
      [{ beforeUserMessage: 1 }, ["one"]],
    ] as const) {
      const from = await home.open().forkBase(fork.threadId, at);
      assert.ok(from);
      const next = await home.open().fork(header(), from);
      await next.close();
      assert.deepEqual(await wordsOf(next.threadId), kept);
    }
  });
}

for (const [what, ordinal] of Object.entries({
  "a text": "x",
  "a list": [],
  null: null,
  nothing: undefined,
  half: 0.5,
})) {
  test(`a header whose ordinal is ${what}: lines go on with the ordinals of the others`, async () => {
    await using home = new TempHome();
    const { rolloutPath, threadId } = await written(home, "one", "two");
    const [first = "", ...rest] = readFileSync(rolloutPath, "utf8").split("\n");
    writeFileSync(rolloutPath, [JSON.stringify({ ...JSON.parse(first), ordinal }), ...rest].join("\n"));
    const writer = await home.open().open(threadId);
    writer.append(user("three"));
    await writer.close();
    const ordinals = readFileSync(rolloutPath, "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line).ordinal);
    assert.deepEqual(ordinals.slice(1), [1, 2, 3]);
    assert.equal((await textsOf(home, rolloutPath)).length, 3);
  });
}

for (const [what, numbered] of Object.entries({
  "are all 0": (lines: string[]) => lines.map((line) => withOrdinal(line, 0)),
  "end with a 0": (lines: string[]) => lines.with(-1, withOrdinal(lines.at(-1) ?? "", 0)),
  "begin again in the middle": (lines: string[]) => lines.map((line, at) => withOrdinal(line, at < 3 ? at : at - 3)),
  "change places at the end": (lines: string[]) => [...lines.slice(0, -2), ...lines.slice(-2).reverse()],
  "end with what no number holds": (lines: string[]) => lines.with(-1, withOrdinal(lines.at(-1) ?? "", 2 ** 53)),
})) {
  test(`ordinals that ${what}: the thread goes on, and is forked, with all that it has`, async () => {
    await using home = new TempHome();
    const { rolloutPath, threadId } = await written(home, "one", "two", "three", "four");
    const lines = readFileSync(rolloutPath, "utf8").trimEnd().split("\n");
    writeFileSync(rolloutPath, `${numbered(lines).join("\n")}\n`);
    const model = scriptedClient(undefined, { recordRequests: 1 });
    const config = { cwd: home.path, builtInTools: [] };
    const manager = await ThreadManager.create({ home: home.path, store: home.open(), model, config });
    const { thread } = await manager.resumeThread(threadId);
    const { thread: fork } = await manager.forkThread({ from: threadId });
    for (const each of [fork, thread, fork]) {
      await each.run("on");
      const told = JSON.stringify(model.requests.at(-1)?.input);
      for (const text of ["one", "two", "three", "four"]) assert.ok(told.includes(`"${text}"`), `${text}: ${told}`);
    }
    await manager.shutdown();
    for (const id of [threadId, fork.id]) {
      const texts = (await loaded(home.open(), id)).filter(({ type }) => type === "response_item");
      assert.ok(texts.length >= 6, `${texts.length} of ${id}`);
    }
  });
}

test("a line that is longer than any may be is passed over, and the lines around it are not", async () => {
  await using home = new TempHome();
  const { rolloutPath } = await written(home, "before");
  const { length } = readFileSync(rolloutPath);
  truncateSync(rolloutPath, length + MAX_LINE_BYTES + 4096);
  appendFileSync(rolloutPath, "\n");
  const store = home.open();
  const writer = await store.open({ rolloutPath });
  writer.append(user("after"));
  await writer.close();
  assert.deepEqual((await textsOf(home, rolloutPath)).length, 2);
  rmSync(rolloutPath);
});

test("a line of 100,000 levels is passed over, and its thread goes on", async () => {
  await using home = new TempHome();
  const { rolloutPath, threadId } = await written(home, "before");
  const deep = "[".repeat(100_000) + "]".repeat(100_000);
  appendFileSync(
    rolloutPath,
    `{"timestamp":"2026-01-01T00:00:00.000Z","ordinal":2,"type":"future","payload":${deep}}\n`,
  );
  const config = { cwd: home.path, builtInTools: [] };
  const manager = await ThreadManager.create({ home: home.path, store: home.open(), model: scriptedClient(), config });
  const { thread } = await manager.resumeThread(threadId, config);
  assert.equal((await thread.run("on")).status, "completed");
  await manager.shutdown();
});
