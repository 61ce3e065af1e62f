/** Goals and queues: what follows a turn by itself, and what lasts. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { createGoalTools } from "../../src/app-server/memos/goal-tools.ts";
import { call, hang, say } from "../../src/model/script.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";
import { fileStore } from "../../src/store/file/file-store.ts";
import { latch, overlaid } from "../rig.ts";
import { input } from "./stories.ts";
import { type Json, serve } from "./test-client.ts";

/** An answer that begins, and never ends. */
const PART = [say("part", { deltas: ["part"] }), hang()];

type Plays = Parameters<typeof scriptedClient>[0];

function servedAt(home: string, plays: Plays) {
  const goalTools = createGoalTools();
  const model = scriptedClient(plays, { recordRequests: 100 });
  const manager = { store: fileStore({ home }), model, tools: goalTools.tools };
  return serve({ manager, server: { home, goalTools } }).then((served) => ({ ...served, model }));
}

async function begun(t: TestContext, plays: Plays) {
  const home = await mkdtemp(join(tmpdir(), "skein-goals-"));
  const served = await servedAt(home, plays);
  // What the server has still to write comes before the folder goes.
  t.after(async () => {
    await served[Symbol.asyncDispose]();
    await rm(home, { recursive: true, force: true });
  });
  const { thread } = await served.client.request("thread/start", {});
  return { ...served, home, threadId: thread.id as string };
}

test("a goal goes on turn after turn until the model ends it, and everybody hears of it", async (t) => {
  const done = [call("update_goal", { status: "complete" })];
  const { client, threadId, connect, model } = await begun(t, [[say("one")], [say("two")], done, [say("all")]]);
  const other = connect();
  await other.initialize();
  const { goal } = await client.request("thread/goal/set", { threadId, objective: " ship it " });
  assert.deepEqual([goal.objective, goal.status, goal.tokenBudget], ["ship it", "active", null]);
  await other.next("thread/goal/updated", (params) => params.goal.status === "complete");
  const turns = () => client.methods.filter((method) => method === "turn/completed").length;
  await client.find(({ method }) => method === "turn/completed" && turns() === 3);
  const { data } = await client.request("thread/turns/list", { threadId, itemsView: "full" });
  assert.deepEqual(data.flatMap(({ items }: Json) => items.map((item: Json) => [item.type, item.text])).toReversed(), [
    ["agentMessage", "one"],
    ["agentMessage", "two"],
    ["agentMessage", "all"],
  ]);
  assert.match(JSON.stringify(model.requests[0]), /source=.{1,3}goal.*ship it/);
});

test("an interrupt ends the run of a goal until the next turn of the user's has ended; clearing ends it for good", async (t) => {
  const { client, threadId } = await begun(t, [PART, [say("user")], [hang()]]);
  await client.request("thread/goal/set", { threadId, objective: "x" });
  const first = await client.next("turn/started");
  await client.next("item/agentMessage/delta");
  await client.request("turn/interrupt", { threadId, turnId: first.params.turn.id });
  await client.next("turn/completed");
  assert.equal((await client.request("thread/goal/get", { threadId })).goal.status, "active");
  await client.request("turn/start", { threadId, input: input("hi") });
  await client.next("turn/completed");
  const { params } = await client.next("turn/started");
  assert.deepEqual(await client.request("thread/goal/clear", { threadId }), { cleared: true });
  await client.request("turn/interrupt", { threadId, turnId: params.turn.id });
  await client.next("turn/completed");
  assert.deepEqual(await client.request("thread/goal/get", { threadId }), { goal: null });
  assert.deepEqual(await client.request("thread/goal/clear", { threadId }), { cleared: false });
});

test("a thread that has nothing but a goal is listed by it; an archived and an ephemeral one have no goals", async (t) => {
  const { client, threadId } = await begun(t, [PART]);
  await client.request("thread/goal/set", { threadId, objective: "Make it\nso" });
  await client.next("item/agentMessage/delta");
  const { data } = await client.request("thread/list", {});
  assert.deepEqual(
    data.map(({ preview }: Json) => preview),
    ["Make it\nso"],
  );
  await client.request("thread/archive", { threadId });
  const { thread } = await client.request("thread/start", { ephemeral: true });
  const [archived, ephemeral] = [
    `thread not found: ${threadId}`,
    `ephemeral thread does not support goals: ${thread.id}`,
  ];
  for (const method of ["thread/goal/get", "thread/goal/clear"]) {
    assert.equal((await client.failure(method, { threadId })).message, archived);
    assert.equal((await client.failure(method, { threadId: thread.id })).message, ephemeral);
  }
  assert.equal((await client.failure("thread/goal/set", { threadId, objective: "y" })).message, archived);
});

test("goal and queue last over a restart, and are gone with their thread; resuming starts nothing", async (t) => {
  const { client, home, threadId, server, manager } = await begun(t, [[say("hi")], [hang()]]);
  await client.turn(threadId, "first");
  await client.request("turn/start", { threadId, input: input("long") });
  const { params } = await client.next("turn/started", ({ turn }) => turn.status === "inProgress");
  await client.request("thread/goal/set", { threadId, objective: "x", status: "paused", tokenBudget: 7 });
  const { queuedSubmission } = await client.request("thread/queue/add", {
    ...{ threadId, input: input("later"), clientUserMessageId: "c" },
  });
  await server.close();
  await manager.shutdown();
  const next = await servedAt(home, [[say("went")]]);
  t.after(() => next[Symbol.asyncDispose]());
  const { data } = await next.client.request("thread/queue/list", { threadId });
  assert.deepEqual(data, [queuedSubmission]);
  await next.client.request("thread/resume", { threadId, excludeTurns: true });
  assert.equal((await next.client.next("thread/goal/updated")).params.goal.objective, "x");
  const { turn } = await next.client.request("thread/queue/start", { threadId });
  const ended = await next.client.next("turn/completed");
  assert.deepEqual([ended.params.turn.id, ended.params.turn.status], [turn.id, "completed"]);
  assert.deepEqual((await next.client.request("thread/queue/list", { threadId })).data, []);
  assert.ok(params.turn.id !== turn.id);
  await next.client.request("thread/delete", { threadId });
  assert.deepEqual(await readdir(join(home, "thread_memos")), []);
});

test("input that waits goes first, then the goal; a failed turn ends neither's order", async (t) => {
  const { client, threadId } = await begun(t, [PART, [say("queued")], [hang()]]);
  await client.request("turn/start", { threadId, input: input("long") });
  const { params } = await client.next("turn/started");
  await client.next("item/agentMessage/delta");
  await client.request("thread/queue/add", { threadId, input: input("q"), clientUserMessageId: "c-q" });
  await client.request("thread/goal/set", { threadId, objective: "x" });
  await client.request("turn/interrupt", { threadId, turnId: params.turn.id });
  await client.next("turn/completed");
  assert.equal((await client.request("thread/queue/list", { threadId })).data.length, 1);
  await client.request("thread/queue/start", { threadId });
  const message = await client.next("item/completed", ({ item }) => item.type === "userMessage");
  assert.deepEqual([message.params.item.clientId, message.params.item.content[0].text], ["c-q", "q"]);
  await client.next("turn/completed");
  await client.next("turn/started");
  assert.equal((await client.request("thread/goal/get", { threadId })).goal.status, "active");
});

test("a change of status goes to every client, also to one that follows nothing, and once to each", async (t) => {
  const { client, connect } = await begun(t, [[say("one")]]);
  const other = connect();
  await other.initialize();
  const { thread } = await client.request("thread/start", {});
  await client.turn(thread.id, "hi");
  const statuses = other.log.filter(({ method }) => method === "thread/status/changed");
  assert.deepEqual(
    statuses.map(({ params }) => [params.threadId, params.status.type]),
    [
      [thread.id, "active"],
      [thread.id, "idle"],
    ],
  );
  assert.ok(!other.methods.some((method) => method.startsWith("item/") || method.startsWith("turn/")));
});

test("input that is queued starts once, also where the process dies between its start and its leaving the queue", async (t) => {
  const { client, home, threadId, server, manager } = await begun(t, [[say("hi")], [hang()], [say("later's")]]);
  await client.turn(threadId, "first");
  const { turn: long } = await client.request("turn/start", { threadId, input: input("long") });
  const later = { threadId, input: input("later"), clientUserMessageId: "c" };
  const { queuedSubmission } = await client.request("thread/queue/add", later);
  const memo = join(home, "thread_memos", `${threadId}.json`);
  const asQueued = await readFile(memo);
  await client.request("turn/interrupt", { threadId, turnId: long.id });
  await client.next("turn/completed", (ended) => ended.turn.id === long.id);
  const { turn } = await client.request("thread/queue/start", { threadId });
  assert.equal(turn.id, queuedSubmission.id);
  await client.next("turn/completed", (ended) => ended.turn.id === turn.id);
  await server.close();
  await manager.shutdown();
  // As the process would have left it.
  await writeFile(memo, asQueued);
  const next = await servedAt(home, [[say("went")]]);
  t.after(() => next[Symbol.asyncDispose]());
  const added = await Promise.all(
    ["x", "y"].map((text) =>
      next.client.request("thread/queue/add", { threadId, input: input(text), clientUserMessageId: text }),
    ),
  );
  const { data } = await next.client.request("thread/queue/list", { threadId });
  assert.deepEqual(
    data.map(({ id }: Json) => id).toSorted(),
    added.map((each) => each.queuedSubmission.id).toSorted(),
    "it does not wait any more, and what was queued at once is all there",
  );
});

test("input leaves its queue when its thread has stored it, and is seen in it no more from its start on", async (t) => {
  const home = await mkdtemp(join(tmpdir(), "skein-goals-"));
  const stored = latch();
  let isHeld = false;
  const files = fileStore({ home });
  const store = overlaid(files, {
    create: async (...given) => {
      const writer = await files.create(...given);
      return overlaid(writer, {
        flush: async () => {
          if (isHeld) await stored.opened;
          return writer.flush();
        },
      });
    },
  });
  const goalTools = createGoalTools();
  const manager = { store, model: scriptedClient([[say("hi")], [hang()]]), tools: goalTools.tools };
  const served = await serve({ manager, server: { home, goalTools } });
  t.after(async () => {
    await served[Symbol.asyncDispose]();
    await rm(home, { recursive: true, force: true });
  });
  const { client } = served;
  const { thread } = await client.request("thread/start", {});
  const threadId: string = thread.id;
  await client.turn(threadId, "first");
  isHeld = true;
  const queued = { threadId, input: input("later"), clientUserMessageId: "c" };
  const { queuedSubmission } = await client.request("thread/queue/add", queued);
  const kept = async () => JSON.parse(await readFile(join(home, "thread_memos", `${threadId}.json`), "utf8")).queue;
  await client.next("thread/queue/changed");
  assert.deepEqual((await client.request("thread/queue/list", { threadId })).data, []);
  assert.deepEqual(await client.request("thread/queue/delete", { threadId, queuedSubmissionId: queuedSubmission.id }), {
    deleted: false,
  });
  await client.request("thread/goal/set", { threadId, objective: "x", status: "paused" });
  assert.equal((await kept()).length, 1, "a process that dies now has lost nothing");
  isHeld = false;
  stored.open();
  await client.next("turn/started");
  await client.request("thread/goal/set", { threadId, objective: "y", status: "paused" });
  assert.deepEqual(await kept(), []);
});
