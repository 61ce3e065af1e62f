import assert from "node:assert/strict";
import { test } from "node:test";
import { hang, say, wait } from "../../src/model/script.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";
import { hanging, input, story, texts } from "./stories.ts";
import { type Json, serve } from "./test-client.ts";

test("a thread and its turn, in 0.169's order", async () => {
  await using served = await serve();
  const { client } = served;
  const { thread, ...session } = await client.request("thread/start", {
    model: "gpt-6-sol",
    approvalPolicy: "never",
    sandbox: "workspace-write",
  });
  assert.equal(session.model, "gpt-6-sol");
  assert.deepEqual(session.sandbox, {
    type: "workspaceWrite",
    writableRoots: [],
    networkAccess: false,
    excludeTmpdirEnvVar: false,
    excludeSlashTmp: false,
  });
  assert.deepEqual(thread.turns, []);
  const turn = await client.turn(thread.id, "hello");
  assert.equal(turn.status, "completed");
  assert.deepEqual(
    turn.items.map(({ text }: Json) => text),
    ["ack: hello"],
  );
  assert.deepEqual(story(client.log, thread.id), [
    "thread/started",
    "status active",
    "turn/started",
    "item/started",
    "item/completed",
    "item/started",
    "item/agentMessage/delta",
    "item/agentMessage/delta",
    "item/completed",
    "thread/tokenUsage/updated",
    "status idle",
    "turn/completed",
  ]);
  const answer = client.log.findIndex(({ result }) => result?.turn?.id === turn.id);
  const started = client.log.findIndex(({ method }) => method === "turn/started");
  assert.ok(answer < started, "the answer comes before anything happens");
});

test("a fork bears its source's name until it has its own; one that is stored nowhere has none", async () => {
  await using served = await serve();
  const { client } = served;
  const { thread } = await client.request("thread/start", {});
  await client.turn(thread.id, "one");
  const nameOf = async (threadId: string) => (await client.request("thread/read", { threadId })).thread.name;
  const unnamed = (await client.request("thread/fork", { threadId: thread.id })).thread;
  assert.equal(unnamed.name, null);
  await client.request("thread/name/set", { threadId: thread.id, name: " of the source\n" });
  const fork = (await client.request("thread/fork", { threadId: thread.id })).thread;
  assert.equal(fork.name, "of the source");
  await client.request("thread/name/set", { threadId: fork.id, name: "its own" });
  const { data } = await client.request("thread/list", { searchTerm: "its own" });
  assert.deepEqual(
    data.map(({ id }: Json) => id),
    [fork.id],
  );
  assert.deepEqual(await Promise.all([thread.id, unnamed.id].map(nameOf)), ["of the source", null]);
  const passing = await client.request("thread/fork", { threadId: thread.id, ephemeral: true, excludeTurns: true });
  assert.equal(passing.thread.name, null);
});

test("forks: whole, through a turn, before a turn, before the first, of a fork", async () => {
  await using served = await serve();
  const { client } = served;
  const { thread } = await client.request("thread/start", {});
  const one = await client.turn(thread.id, "one");
  const two = await client.turn(thread.id, "two");
  const fork = async (params: object) =>
    (await client.request("thread/fork", { threadId: thread.id, ...params })).thread;
  const whole = await fork({});
  assert.deepEqual(texts(whole.turns), [
    ["one", "ack: one"],
    ["two", "ack: two"],
  ]);
  assert.deepEqual(
    whole.turns.map(({ id }: Json) => id),
    [one.id, two.id],
  );
  assert.deepEqual({ from: whole.forkedFromId, preview: whole.preview }, { from: thread.id, preview: "one" });
  assert.deepEqual(texts((await fork({ lastTurnId: one.id })).turns), [["one", "ack: one"]]);
  assert.deepEqual(texts((await fork({ beforeTurnId: two.id })).turns), [["one", "ack: one"]]);
  const empty = await fork({ beforeTurnId: one.id });
  assert.deepEqual(
    { turns: empty.turns, preview: empty.preview, from: empty.forkedFromId },
    { turns: [], preview: "", from: thread.id },
  );
  await client.turn(whole.id, "on fork");
  const { thread: grandchild } = await client.request("thread/fork", { threadId: whole.id });
  assert.deepEqual(texts(grandchild.turns).at(-1), ["on fork", "ack: on fork"]);
  const { thread: source } = await client.request("thread/read", { threadId: thread.id, includeTurns: true });
  assert.equal(source.turns.length, 2);
});

test("a fork is told of by thread/started without turns, and its usage unless turns are left out", async () => {
  await using served = await serve();
  const { client } = served;
  const { thread } = await client.request("thread/start", {});
  await client.turn(thread.id, "one");
  const { thread: full } = await client.request("thread/fork", { threadId: thread.id });
  assert.deepEqual(story(client.log, full.id), ["thread/tokenUsage/updated", "thread/started"]);
  const notices = client.methods.filter((method) => method === "deprecationNotice").length;
  const { thread: slim } = await client.request("thread/fork", { threadId: thread.id, excludeTurns: true });
  assert.deepEqual(slim.turns, []);
  assert.deepEqual(story(client.log, slim.id), ["thread/started"]);
  assert.equal(client.methods.filter((method) => method === "deprecationNotice").length, notices);
});

test("fork points that are none", async () => {
  await using served = await serve({ manager: hanging() });
  const { client } = served;
  const { thread } = await client.request("thread/start", {});
  const { turn } = await client.request("turn/start", { threadId: thread.id, input: input("x") });
  await client.next("item/agentMessage/delta");
  const why = async (params: object) =>
    (await client.failure("thread/fork", { threadId: thread.id, ...params })).message;
  assert.equal(await why({ lastTurnId: "nope" }), "turn not found: nope");
  assert.equal(await why({ beforeTurnId: "" }), "turn not found: ");
  assert.equal(await why({ lastTurnId: turn.id }), `lastTurnId '${turn.id}' identifies an in-progress turn`);
  assert.equal(await why({ ephemeral: true }), "ephemeral paginated thread/fork requires `excludeTurns: true`");
  const { thread: mid } = await client.request("thread/fork", { threadId: thread.id });
  assert.deepEqual(
    mid.turns.map(({ status }: Json) => status),
    ["interrupted"],
  );
});

test("interrupt right after the answer to turn/start: the answer, then idle, then the turn's end", async () => {
  await using served = await serve({ manager: hanging() });
  const { client } = served;
  const { thread } = await client.request("thread/start", {});
  client.send({ id: "s", method: "turn/start", params: { threadId: thread.id, input: input("x") } });
  const { result } = await client.find(({ id }) => id === "s");
  const { id } = result.turn;
  assert.equal(
    (await client.failure("turn/interrupt", { threadId: thread.id, turnId: "wrong" })).message,
    `expected active turn id wrong but found ${id}`,
  );
  await client.request("turn/interrupt", { threadId: thread.id, turnId: id });
  const { params } = await client.next("turn/completed");
  assert.deepEqual({ id: params.turn.id, status: params.turn.status }, { id, status: "interrupted" });
  const told = story(client.log, thread.id);
  assert.deepEqual(told.slice(-2), ["status idle", "turn/completed"]);
  const answer = client.log.findIndex(
    ({ result: each, method }) => method === undefined && JSON.stringify(each) === "{}",
  );
  const idle = client.log.findIndex(
    ({ method, params: each }) => method === "thread/status/changed" && each.status.type === "idle",
  );
  assert.ok(answer !== -1 && answer < idle);
  assert.equal(
    (await client.failure("turn/interrupt", { threadId: thread.id, turnId: id })).message,
    "no active turn to interrupt",
  );
});

test("input for a running turn joins it: turn/start answers with its id, turn/steer checks it", async () => {
  const gate = Promise.withResolvers<void>();
  const model = scriptedClient((_, n) => (n === 0 ? [say("slow"), wait(gate.promise)] : "done"));
  await using served = await serve({ manager: { model } });
  const { client } = served;
  const { thread } = await client.request("thread/start", {});
  const { turn } = await client.request("turn/start", { threadId: thread.id, input: input("a") });
  await client.next("item/agentMessage/delta");
  const steer = (expectedTurnId: string) => ({
    threadId: thread.id,
    input: input("steered"),
    expectedTurnId,
    clientUserMessageId: "c1",
  });
  assert.equal(
    (await client.failure("turn/steer", steer("x"))).message,
    `expected active turn id \`x\` but found \`${turn.id}\``,
  );
  assert.deepEqual(await client.request("turn/steer", steer(turn.id)), { turnId: turn.id });
  const joined = await client.request("turn/start", { threadId: thread.id, input: input("too") });
  assert.equal(joined.turn.id, turn.id);
  gate.resolve();
  await client.next("turn/completed", ({ turn: each }) => each.id === turn.id);
  const users = client.log.filter(
    ({ method, params }) => method === "item/completed" && params.item.type === "userMessage",
  );
  assert.deepEqual(
    users.map(({ params }) => [params.item.content[0].text, params.item.clientId]),
    [
      ["a", null],
      ["steered", "c1"],
      ["too", null],
    ],
  );
  assert.ok(users.every(({ params }) => params.turnId === turn.id));
  assert.equal(client.methods.filter((method) => method === "turn/completed").length, 1);
});

test("a compaction takes no input: the answer says so in words that programs read", async () => {
  await using served = await serve({ manager: { model: scriptedClient(["one", [hang()]]) } });
  const { client } = served;
  const { thread } = await client.request("thread/start", {});
  await client.request("turn/start", { threadId: thread.id, input: input("a") });
  await client.next("turn/completed");
  await client.request("thread/compact/start", { threadId: thread.id });
  const { params } = await client.next("item/started", ({ item }) => item.type === "contextCompaction");
  const steered = { threadId: thread.id, input: input("b"), expectedTurnId: params.turnId };
  assert.deepEqual((await client.failure("turn/steer", steered)).data, {
    message: "cannot steer a compact turn",
    codexErrorInfo: { activeTurnNotSteerable: { turnKind: "compact" } },
    additionalDetails: null,
    misalignment: null,
    code: "invalid_request",
  });
});

test("reverted to before a compaction, a thread has the turns, and its model the words, of before it", async () => {
  const model = scriptedClient(["ok", "summed up", "more", "ok"], { recordRequests: 1 });
  await using served = await serve({ manager: { model } });
  const { client } = served;
  const { thread } = await client.request("thread/start", {});
  const threadId = thread.id;
  await client.turn(threadId, "a");
  await client.request("thread/compact/start", { threadId });
  const { params } = await client.next("turn/completed", ({ turn }) => turn.items.length === 0);
  await client.turn(threadId, "b");
  await client.request("thread/revert", { threadId, beforeTurnId: params.turn.id });
  const { data } = await client.request("thread/turns/list", { threadId });
  assert.equal(data.length, 1);
  await client.turn(threadId, "c");
  const spoken = (model.requests.at(-1)?.input ?? []).flatMap((item) => (item.type === "message" ? item.content : []));
  assert.deepEqual(
    spoken.map((part) => ("text" in part ? String(part.text) : "")).filter((text) => !text.startsWith("<")),
    ["a", "ok", "c"],
  );
});

test("a turn without input is told from its start to its end", async () => {
  await using served = await serve();
  const { client } = served;
  const { thread } = await client.request("thread/start", {});
  const { turn } = await client.request("turn/start", { threadId: thread.id, input: [] });
  const { params } = await client.next("turn/completed");
  assert.equal(params.turn.id, turn.id);
  assert.equal(client.methods.filter((method) => method === "turn/started").length, 1);
});

test("settings of turn/start stay for later turns", async () => {
  await using served = await serve();
  const { client } = served;
  const { thread } = await client.request("thread/start", {});
  await client.request("turn/start", {
    threadId: thread.id,
    input: input("x"),
    model: "m2",
    effort: "low",
    approvalPolicy: "never",
    cwd: "/other",
    sandboxPolicy: { type: "dangerFullAccess" },
  });
  await client.next("turn/completed");
  const resumed = await client.request("thread/resume", { threadId: thread.id, excludeTurns: true });
  const { model, reasoningEffort, approvalPolicy, cwd, sandbox } = resumed;
  assert.deepEqual(
    { model, reasoningEffort, approvalPolicy, cwd, sandbox },
    {
      model: "m2",
      reasoningEffort: "low",
      approvalPolicy: "never",
      cwd: "/other",
      sandbox: { type: "dangerFullAccess" },
    },
  );
});

test("resuming a loaded thread attaches to it: both clients see all of the same turn", async () => {
  const gate = Promise.withResolvers<void>();
  const model = scriptedClient(() => [say("a b", { deltas: ["a "] }), wait(gate.promise), say("c")]);
  await using served = await serve({ manager: { model } });
  const { client } = served;
  const { thread } = await client.request("thread/start", {});
  const { turn } = await client.request("turn/start", { threadId: thread.id, input: input("x") });
  await client.next("item/agentMessage/delta");
  const other = served.connect();
  await other.initialize();
  const resumed = await other.request("thread/resume", { threadId: thread.id, model: "ignored" });
  assert.equal(resumed.model, "scripted");
  assert.deepEqual(
    resumed.thread.turns.map(({ id, status }: Json) => [id, status]),
    [[turn.id, "inProgress"]],
  );
  assert.deepEqual(resumed.thread.status, { type: "active", activeFlags: [] });
  gate.resolve();
  const ends = await Promise.all([client.next("turn/completed"), other.next("turn/completed")]);
  assert.deepEqual(
    ends.map(({ params }) => params.turn.id),
    [turn.id, turn.id],
  );
  assert.deepEqual(ends[0]?.params, ends[1]?.params);
  assert.equal((await served.manager.listThreadIds()).length, 1);
});

test("unsubscribe, archive, unarchive, delete: what is answered and who is told", async () => {
  await using served = await serve();
  const { client } = served;
  const other = served.connect();
  await other.initialize();
  const { thread } = await client.request("thread/start", {});
  const { id: threadId } = thread;
  await client.turn(threadId, "one");
  const { thread: child } = await client.request("thread/fork", { threadId });
  assert.deepEqual(await client.request("thread/unsubscribe", { threadId }), { status: "unsubscribed" });
  assert.deepEqual(await client.request("thread/unsubscribe", { threadId }), { status: "notSubscribed" });
  assert.deepEqual(await client.request("thread/archive", { threadId }), {});
  assert.equal((await other.next("thread/archived")).params.threadId, threadId);
  const archived = `session ${threadId} is archived. Run \`codex unarchive ${threadId}\` to unarchive it first.`;
  assert.equal((await client.failure("thread/resume", { threadId })).message, archived);
  assert.equal((await client.failure("thread/fork", { threadId })).message, archived);
  assert.deepEqual(await client.request("thread/unsubscribe", { threadId }), { status: "notLoaded" });
  const list = async (params: object) => (await client.request("thread/list", params)).data.map(({ id }: Json) => id);
  assert.deepEqual(await list({}), [child.id]);
  assert.deepEqual(await list({ archived: true }), [threadId]);
  assert.equal((await client.request("thread/unarchive", { threadId })).thread.id, threadId);
  await other.next("thread/unarchived");
  await client.request("thread/delete", { threadId });
  await other.next("thread/deleted");
  assert.equal((await client.failure("thread/read", { threadId })).message, `thread not loaded: ${threadId}`);
  assert.equal((await client.turn(child.id, "still here")).status, "completed");
});
