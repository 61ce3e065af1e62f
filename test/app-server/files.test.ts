/** Threads in files: other writers' rollouts, broken ones, and a second life of the server. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileStore } from "../../src/store/file/file-store.ts";
import { type Fixture, type Json, serve } from "./test-client.ts";

const OLD = "01990000-0000-7000-8000-0000000000bb";

/** As 0.80 wrote it: no turn events, no ids of items. */
const LEGACY = [
  [
    "session_meta",
    {
      id: OLD,
      timestamp: "2026-01-05T10:00:00.000Z",
      cwd: "/w",
      originator: "codex_cli_rs",
      cli_version: "0.80.0",
      instructions: null,
      source: "cli",
      model_provider: "scripted",
    },
  ],
  ["response_item", { type: "message", role: "user", content: [{ type: "input_text", text: "old question" }] }],
  ["event_msg", { type: "user_message", message: "old question", images: [] }],
  ["event_msg", { type: "agent_message", message: "old answer" }],
  ["response_item", { type: "message", role: "assistant", content: [{ type: "output_text", text: "old answer" }] }],
];
const text = LEGACY.map(([type, payload]) =>
  JSON.stringify({ timestamp: "2026-01-05T10:00:00.000Z", type, payload }),
).join("\n");

async function homeOf(t: TestContext): Promise<{ home: string; day: string }> {
  const home = await mkdtemp(join(tmpdir(), "skein-files-"));
  const day = join(home, "sessions", "2026", "01", "05");
  await mkdir(day, { recursive: true });
  t.after(() => rm(home, { recursive: true, force: true }));
  return { home, day };
}

const open = (home: string): Promise<Fixture> => serve({ manager: { store: fileStore({ home }) }, server: { home } });

test("a rollout of 0.80 goes on in its own words, and so do its forks", async (t) => {
  const { home, day } = await homeOf(t);
  const path = join(day, `rollout-2026-01-05T10-00-00-${OLD}.jsonl`);
  await writeFile(path, `${text}\n`);
  const paths = [path];
  {
    await using served = await open(home);
    const { client } = served;
    const { thread: fork } = await client.request("thread/fork", { threadId: OLD });
    await client.request("thread/resume", { threadId: OLD });
    for (const threadId of [OLD, fork.id]) await client.turn(threadId, "again");
    assert.equal(fork.historyMode, "legacy");
    paths.push(fork.path);
  }
  for (const file of paths) {
    const lines = (await readFile(file, "utf8"))
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    const begun = lines.findIndex(({ payload }) => payload.type === "task_started");
    const events = lines.slice(begun).flatMap(({ type, payload }) => (type === "event_msg" ? payload.type : []));
    const said = ["user_message", "token_count", "agent_message", "token_count"];
    assert.deepEqual(events, ["task_started", ...said, "task_complete"]);
  }
});

test("a rollout of 0.80: listed, read, forked whole, resumed; its turns are no fork points", async (t) => {
  const { home, day } = await homeOf(t);
  await writeFile(join(day, `rollout-2026-01-05T10-00-00-${OLD}.jsonl`), `${text}\n`);
  await using served = await open(home);
  const { client } = served;
  const { data } = await client.request("thread/list", {});
  assert.deepEqual(
    data.map(({ id, preview, historyMode, source }: Json) => [id, preview, historyMode, source]),
    [[OLD, "old question", "legacy", "cli"]],
  );
  const { thread: read } = await client.request("thread/read", { threadId: OLD, includeTurns: true });
  assert.deepEqual(
    read.turns.map(({ id, items }: Json) => [id, items.map((item: Json) => item.id)]),
    [["rollout-2", ["item-1", "item-2"]]],
  );
  assert.equal(
    (await client.failure("thread/fork", { threadId: OLD, lastTurnId: "rollout-2" })).message,
    "lastTurnId 'rollout-2' is not a persisted canonical turn in the source thread",
  );
  const { thread: fork } = await client.request("thread/fork", { threadId: OLD });
  assert.equal(fork.turns.length, 1);
  assert.equal(client.methods.includes("deprecationNotice"), false);
  assert.equal((await client.turn(fork.id, "on it")).status, "completed");
  await client.request("thread/resume", { threadId: OLD });
  await client.turn(OLD, "go on");
  const { data: turns } = await client.request("thread/turns/list", {
    threadId: OLD,
    sortDirection: "asc",
    itemsView: "full",
  });
  assert.deepEqual(
    turns.map(({ items }: Json) => items.map((item: Json) => item.text ?? item.content[0].text)),
    [
      ["old question", "old answer"],
      ["go on", "ack: go on"],
    ],
  );
});

test("an empty rollout, and one without a header", async (t) => {
  const { home, day } = await homeOf(t);
  const path = join(day, "rollout-2026-01-05T10-00-00-01990000-0000-7000-8000-0000000000ee.jsonl");
  await using served = await open(home);
  for (const contents of ["", "garbage\n"]) {
    await writeFile(path, contents);
    for (const [method, params] of [
      ["thread/fork", { threadId: "x", path }],
      ["thread/resume", { threadId: "x", path }],
    ] as const) {
      const { code, message } = await served.client.failure(method, params);
      assert.equal(code, -32603);
      assert.ok(
        message.startsWith(
          `failed to read thread: thread-store internal error: failed to read session metadata ${path}: `,
        ),
        message,
      );
    }
    const v1 = await served.client.failure("forkConversation", { path });
    assert.match(v1.message, /^failed to load rollout `.+`: /);
  }
});

test("a path that is not absolute is taken from the home, and a folder is told as one", async (t) => {
  const { home, day } = await homeOf(t);
  const name = `rollout-2026-01-05T10-00-00-${OLD}.jsonl`;
  await writeFile(join(day, name), `${text}\n`);
  await using served = await open(home);
  const { client } = served;
  const path = join("sessions", "2026", "01", "05", name);
  const { thread: fork } = await client.request("thread/fork", { threadId: "x", path });
  assert.equal(fork.forkedFromId, OLD);
  assert.equal((await client.request("thread/resume", { threadId: "x", path })).thread.id, OLD);
  for (const method of ["thread/fork", "thread/resume"]) {
    for (const [given, why] of [
      ["none.jsonl", "file does not exist"],
      ["sessions", "path is a directory"],
    ] as const) {
      const { code, message } = await client.failure(method, { threadId: "x", path: given });
      assert.deepEqual([code, message], [-32600, `failed to resolve rollout path \`${join(home, given)}\`: ${why}`]);
    }
  }
});

test("after a restart: forks by id and by path, partial ones too, with all that they share", async (t) => {
  const { home } = await homeOf(t);
  const first = await open(home);
  const { thread } = await first.client.request("thread/start", {});
  const one = await first.client.turn(thread.id, "one");
  await first.client.turn(thread.id, "two");
  await first[Symbol.asyncDispose]();
  await using second = await open(home);
  const { client } = second;
  assert.equal(
    (await client.failure("turn/start", { threadId: thread.id, input: [] })).message,
    `thread not found: ${thread.id}`,
  );
  const { thread: byId } = await client.request("thread/fork", { threadId: thread.id, lastTurnId: one.id });
  assert.equal(byId.turns.length, 1);
  const { thread: byPath } = await client.request("thread/fork", {
    threadId: "any",
    path: thread.path,
    excludeTurns: true,
  });
  assert.equal(byPath.forkedFromId, thread.id);
  const { summary } = await client.request("getConversationSummary", {
    rolloutPath: byPath.path.slice(home.length + 1),
  });
  assert.equal(summary.preview, "one");
  await client.turn(byPath.id, "three");
  const { data } = await client.request("thread/turns/list", { threadId: byPath.id });
  assert.equal(data.length, 3);
});

test("an agent's thread is told of before anything that it says, to those who follow its parent", async (t) => {
  const { home } = await homeOf(t);
  await using served = await open(home);
  const { client, manager } = served;
  const { thread } = await client.request("thread/start", {});
  const other = served.connect();
  await other.initialize();
  const { threadId } = await manager.startThread({}, { parentThreadId: thread.id });
  const child = await manager.getThread(threadId);
  await child.run("child's task");
  await client.next("turn/completed", (params) => params.threadId === threadId);
  const told = client.log
    .filter(({ params }) => (params?.threadId ?? params?.thread?.id) === threadId)
    .map(({ method }) => method);
  assert.equal(told[0], "thread/started");
  assert.ok(told.includes("item/completed"));
  const started = client.log.find(({ method, params }) => method === "thread/started" && params.thread.id === threadId);
  assert.equal(started?.params.thread.parentThreadId, thread.id);
  // A status is everybody's; nothing else of the thread is.
  const overheard = other.log.filter(({ params }) => params?.threadId === threadId).map(({ method }) => method);
  assert.deepEqual(
    overheard.filter((method) => method !== "thread/status/changed"),
    [],
  );
});
