import assert from "node:assert/strict";
import { test } from "node:test";
import { call, fail, hang, say } from "../../src/model/script.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";
import { hanging, input, story, texts } from "./stories.ts";
import { type Json, serve } from "./test-client.ts";

test("revert takes turns away for good; forks made earlier keep them", async () => {
  await using served = await serve();
  const { client } = served;
  const { thread } = await client.request("thread/start", {});
  await client.turn(thread.id, "one");
  const two = await client.turn(thread.id, "two");
  const three = await client.turn(thread.id, "three");
  const { thread: fork } = await client.request("thread/fork", { threadId: thread.id });
  const reverted = await client.request("thread/revert", { threadId: thread.id, beforeTurnId: two.id });
  await client.next("thread/reverted");
  assert.deepEqual(reverted.thread.turns, []);
  const list = async (id: string) =>
    texts((await client.request("thread/turns/list", { threadId: id, itemsView: "full" })).data);
  assert.deepEqual(await list(thread.id), [["one", "ack: one"]]);
  assert.equal(
    (await client.failure("thread/fork", { threadId: thread.id, lastTurnId: three.id })).message,
    `turn not found: ${three.id}`,
  );
  await client.turn(thread.id, "four");
  assert.deepEqual(await list(thread.id), [
    ["four", "ack: four"],
    ["one", "ack: one"],
  ]);
  assert.equal((await list(fork.id)).length, 3);
  const { thread: rolled } = await client.request("thread/rollback", { threadId: thread.id, numTurns: 1 });
  assert.deepEqual(texts(rolled.turns), [["one", "ack: one"]]);
});

test("a revert ends the turn that runs and takes it along; of a turn that is not there it ends nothing", async () => {
  const model = scriptedClient(["one", [say("part", { deltas: ["part"] }), hang()], "three"]);
  await using served = await serve({ manager: { model } });
  const { client } = served;
  const { thread } = await client.request("thread/start", {});
  const { id: threadId } = thread;
  await client.turn(threadId, "one");
  const { turn } = await client.request("turn/start", { threadId, input: input("two") });
  await client.next("item/agentMessage/delta", ({ delta }) => delta === "part");
  const unknown = await client.failure("thread/revert", { threadId, beforeTurnId: "nope" });
  assert.equal(unknown.message, "turn not found: nope");
  const mark = client.log.length;
  await client.request("thread/revert", { threadId, beforeTurnId: turn.id });
  await client.next("thread/reverted");
  const ended = client.log
    .slice(mark)
    .flatMap(({ method, params }) => (method === "turn/completed" ? [params.turn] : []));
  assert.deepEqual(
    ended.map(({ id, status }) => [id, status]),
    [[turn.id, "interrupted"]],
  );
  await client.turn(threadId, "three");
  const { data } = await client.request("thread/turns/list", { threadId, itemsView: "full" });
  assert.deepEqual(texts(data), [
    ["three", "three"],
    ["one", "one"],
  ]);
});

test("pages of turns and items run in both directions, from any cursor", async () => {
  await using served = await serve();
  const { client } = served;
  const { thread } = await client.request("thread/start", {});
  const { id: threadId } = thread;
  for (const text of ["1", "2", "3"]) await client.turn(threadId, text);
  const turns = (params: object) => client.request("thread/turns/list", { threadId, limit: 2, ...params });
  const first = await turns({});
  assert.deepEqual(texts(first.data), [
    ["3", "ack: 3"],
    ["2", "ack: 2"],
  ]);
  const second = await turns({ cursor: first.nextCursor });
  assert.deepEqual([texts(second.data), second.nextCursor], [[["1", "ack: 1"]], null]);
  const back = await turns({ cursor: second.backwardsCursor, sortDirection: "asc", limit: 9 });
  assert.equal(back.data.length, 3);
  const items = await client.request("thread/items/list", { threadId, limit: 4 });
  assert.deepEqual(
    items.data.map(({ item }: Json) => item.text ?? item.content[0].text),
    ["1", "ack: 1", "2", "ack: 2"],
  );
  const rest = await client.request("thread/items/list", { threadId, cursor: items.nextCursor });
  assert.equal(rest.data.length, 2);
  const one = await client.request("thread/items/list", { threadId, turnId: first.data[0].id });
  assert.equal(one.data.length, 2);
  const resumed = await client.request("thread/resume", { threadId, excludeTurns: true });
  assert.deepEqual(resumed.thread.turns, []);
  assert.equal((await turns({ cursor: resumed.turnsBackwardsCursor, limit: 9 })).data.length, 3);
  assert.equal(
    (await client.failure("thread/turns/list", { threadId, cursor: "garbage" })).message,
    "invalid cursor: garbage",
  );
});

test("ephemeral threads: loaded, never listed, and nothing that needs a file", async () => {
  await using served = await serve();
  const { client } = served;
  const { thread } = await client.request("thread/start", {});
  await client.turn(thread.id, "durable");
  const fork = await client.request("thread/fork", { threadId: thread.id, ephemeral: true, excludeTurns: true });
  const { id: threadId, ...rest } = fork.thread;
  assert.deepEqual([rest.ephemeral, rest.path, rest.preview, rest.forkedFromId], [true, null, "durable", thread.id]);
  await client.turn(threadId, "inside");
  assert.equal((await client.request("thread/list", {})).data.length, 1);
  assert.ok((await client.request("thread/loaded/list", {})).data.includes(threadId));
  const why = async (method: string, params = {}) => (await client.failure(method, { threadId, ...params })).message;
  assert.equal(await why("thread/read", { includeTurns: true }), "ephemeral threads do not support includeTurns");
  assert.equal(await why("thread/turns/list"), "ephemeral threads do not support thread/turns/list");
  assert.equal(await why("thread/revert", { beforeTurnId: "x" }), "ephemeral threads do not support thread/revert");
  for (const method of ["thread/fork", "thread/resume", "thread/archive"])
    assert.equal(await why(method), `no rollout found for thread id ${threadId}`);
  assert.equal(await why("thread/unarchive"), `no archived rollout found for thread id ${threadId}`);
  assert.equal(
    await why("thread/name/set", { name: "n" }),
    `ephemeral thread does not support metadata updates: ${threadId}`,
  );
});

test("a failed turn is told as failed, and still is when it is read again", async () => {
  const model = scriptedClient((_, n) => (n === 0 ? [fail("it broke")] : "ok"));
  await using served = await serve({ manager: { model, config: { cwd: "/w", streamMaxRetries: 0 } } });
  const { client } = served;
  const { thread } = await client.request("thread/start", {});
  const turn = await client.turn(thread.id, "breaks");
  assert.equal(turn.status, "failed");
  assert.ok(client.methods.includes("error"));
  assert.deepEqual(story(client.log, thread.id).slice(-3), ["status systemError", "error", "turn/completed"]);
  const { thread: read } = await client.request("thread/read", { threadId: thread.id, includeTurns: true });
  assert.deepEqual(
    read.turns.map(({ status, error }: Json) => [status, error?.message]),
    [["failed", turn.error.message]],
  );
});

test("tool calls are items of their turn", async () => {
  const { tool } = await import("../../src/turn/tool.ts");
  const add = tool<{ a: number }>({ name: "add", description: "adds", execute: ({ a }) => a + 1 });
  const model = scriptedClient([[call("add", { a: 1 }, { callId: "c1" })], "2"]);
  await using served = await serve({ manager: { model, tools: [add] } });
  const { client } = served;
  const { thread } = await client.request("thread/start", {});
  await client.turn(thread.id, "1 + 1");
  const { thread: read } = await client.request("thread/read", { threadId: thread.id, includeTurns: true });
  const item = read.turns[0].items.find(({ type }: Json) => type === "dynamicToolCall");
  assert.deepEqual(
    [item.tool, item.arguments, item.status, item.contentItems, item.success],
    ["add", { a: 1 }, "completed", [{ type: "inputText", text: "2" }], true],
  );
});

test("an injected item that is none is told by its place and what is wrong with it", async () => {
  await using served = await serve();
  const { client } = served;
  const { thread } = await client.request("thread/start", {});
  for (const [item, why] of [
    [1, "invalid type: integer `1`, expected a map"],
    [{ type: "message" }, "missing field `role`"],
    [{ type: "message", role: 7, content: [] }, "invalid type: integer `7`, expected a string"],
    [{ type: "message", role: "user", content: [{ type: "input_text" }] }, "missing field `text`"],
    [{ type: "message", role: "user", content: "x" }, 'invalid type: string "x", expected a sequence'],
  ] as const) {
    const good = { type: "message", role: "user", content: [{ type: "input_text", text: "known" }] };
    const { message } = await client.failure("thread/inject_items", { threadId: thread.id, items: [good, item] });
    assert.equal(message, `items[1] is not a valid response item: ${why}`);
  }
});

test("injected items are what the model knows next, without a turn", async () => {
  const model = scriptedClient(undefined, { recordRequests: 1 });
  await using served = await serve({ manager: { model } });
  const { client } = served;
  const { thread } = await client.request("thread/start", {});
  const item = { type: "message", role: "user", content: [{ type: "input_text", text: "known" }] };
  assert.deepEqual(await client.request("thread/inject_items", { threadId: thread.id, items: [item] }), {});
  await client.turn(thread.id, "ask");
  const { thread: read } = await client.request("thread/read", { threadId: thread.id, includeTurns: true });
  assert.deepEqual(texts(read.turns), [["ask", "ack: ask"]]);
  assert.ok(JSON.stringify(model.requests.at(-1)).includes("known"));
});

test("pages of threads run in both directions, from any cursor", async () => {
  await using served = await serve();
  const { client } = served;
  for (const text of ["1", "2", "3", "4"]) {
    const { thread } = await client.request("thread/start", {});
    await client.turn(thread.id, text);
  }
  const list = async (params: object) => {
    const { data, ...cursors } = await client.request("thread/list", { limit: 2, ...params });
    return { previews: data.map(({ preview }: Json) => preview).join(), ...cursors };
  };
  const newest = await list({});
  const oldest = await list({ cursor: newest.nextCursor });
  assert.deepEqual([newest.previews, oldest.previews, oldest.nextCursor], ["4,3", "2,1", null]);
  const rising = await list({ sortDirection: "asc" });
  const rest = await list({ sortDirection: "asc", cursor: rising.nextCursor });
  assert.deepEqual([rising.previews, rest.previews, rest.nextCursor], ["1,2", "3,4", null]);
  assert.equal((await list({ sortDirection: "asc", cursor: oldest.backwardsCursor })).previews, "3,4");
  assert.equal((await list({ cursor: rest.backwardsCursor })).previews, "2,1");
  const refused = await client.failure("thread/list", { sortDirection: "asc", cursor: "garbage" });
  assert.equal(refused.message, "invalid cursor: garbage");
});

test("threads that nobody has written to are not listed; pages stay full", async () => {
  await using served = await serve();
  const { client } = served;
  for (const text of ["a", "", "b", "", "c"]) {
    const { thread } = await client.request("thread/start", {});
    if (text !== "") await client.turn(thread.id, text);
  }
  const first = await client.request("thread/list", { limit: 2 });
  const second = await client.request("thread/list", { limit: 2, cursor: first.nextCursor });
  const previews = (page: Json) => page.data.map(({ preview }: Json) => preview);
  assert.deepEqual([...previews(first), ...previews(second)].sort(), ["a", "b", "c"]);
  assert.equal(previews(first).length, 2);
  assert.deepEqual(previews(await client.request("thread/list", { sortDirection: "asc", limit: 1 })), ["a"]);
  assert.deepEqual(
    previews(
      await client
        .request("thread/search", { searchTerm: "b" })
        .then(({ data }) => ({ data: data.map(({ thread }: Json) => thread) })),
    ),
    ["b"],
  );
});

test("a thread that is ended by force, and one whose actor crashes, still complete their turns for the client", async () => {
  await using served = await serve({ manager: { ...hanging(), supervision: { backoffMs: 1 } } });
  const { client, manager } = served;
  for (const end of ["force", "crash"] as const) {
    const { thread } = await client.request("thread/start", {});
    const { turn } = await client.request("turn/start", { threadId: thread.id, input: input("x") });
    await client.next("item/agentMessage/delta", (params) => params.threadId === thread.id);
    const live = await manager.getThread(thread.id);
    if (end === "force") await live.shutdown({ deadlineMs: 0 });
    else live.actor?.send({ type: "op.submit" } as never);
    const { params } = await client.next("turn/completed", (each) => each.turn.id === turn.id);
    assert.equal(params.turn.status, "interrupted", end);
  }
});
