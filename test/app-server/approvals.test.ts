import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { call } from "../../src/model/script.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";
import { type Fixture, type Json, serve, type TestClient } from "./test-client.ts";

/** A thread that asks before each command, and a turn that has asked. */
async function asking(t: TestContext): Promise<{ served: Fixture; threadId: string; turnId: string; cwd: string }> {
  const cwd = await mkdtemp(join(tmpdir(), "skein-ask-"));
  const model = scriptedClient((request) =>
    JSON.stringify(request.input).includes("function_call_output")
      ? "done"
      : [call("shell_command", { command: "touch made.txt" }, { callId: "c1" })],
  );
  const config = {
    cwd,
    approvalPolicy: "untrusted",
    sandboxMode: "danger-full-access",
    builtInTools: ["shell"],
  } as const;
  const served = await serve({ manager: { model, config } });
  t.after(async () => {
    await served[Symbol.asyncDispose]();
    await rm(cwd, { recursive: true, force: true });
  });
  const { client } = served;
  const { thread } = await client.request("thread/start", {});
  const { turn } = await client.request("turn/start", { threadId: thread.id, input: [{ type: "text", text: "go" }] });
  return { served, threadId: thread.id, turnId: turn.id, cwd };
}

const asked = (client: TestClient): Promise<Json> => client.next("item/commandExecution/requestApproval");
const commandEnds = (client: TestClient) =>
  client.log.filter(({ method, params }) => method === "item/completed" && params.item.type === "commandExecution");

test("a command waits for the client: status, item, request; then resolved and active again", async (t) => {
  const { served, threadId, turnId, cwd } = await asking(t);
  const { client } = served;
  const request = await asked(client);
  assert.equal(request.id, 0);
  const { kind, itemId, command, reason } = request.params;
  assert.deepEqual(
    { kind, itemId, cwd: request.params.cwd, turnId: request.params.turnId },
    { kind: "command", itemId: "c1", cwd, turnId },
  );
  assert.match(command, /touch made\.txt/);
  assert.ok(reason === undefined || typeof reason === "string");
  client.send({ id: request.id, result: { decision: "accept" } });
  const end = await client.next("turn/completed");
  assert.equal(end.params.turn.status, "completed");
  const told = client.log.flatMap(({ method, params }) => {
    if (method === "thread/status/changed") return `${params.status.type} ${params.status.activeFlags ?? ""}`.trim();
    return method !== undefined && /requestApproval|resolved/.test(method) ? method : [];
  });
  assert.deepEqual(told, [
    "active",
    "active waitingOnApproval",
    "item/commandExecution/requestApproval",
    "serverRequest/resolved",
    "active",
    "idle",
  ]);
  const resolved = client.log.find(({ method }) => method === "serverRequest/resolved");
  assert.deepEqual(resolved?.params, { threadId, requestId: 0 });
  assert.deepEqual(
    commandEnds(client).map(({ params }) => params.item.status),
    ["completed"],
  );
});

for (const [answer, statuses, end] of [
  [{ result: { decision: "decline" } }, ["declined"], "completed"],
  [{ result: { decision: "cancel" } }, ["declined"], "interrupted"],
  [{ result: { nonsense: 1 } }, ["declined"], "completed"],
  [{ error: { code: 1, message: "no such method" } }, ["declined"], "completed"],
] as const) {
  test(`answered ${JSON.stringify(answer)}: the command is ${statuses.join()} once, the turn ${end}`, async (t) => {
    const { served } = await asking(t);
    const { client } = served;
    const { id } = await asked(client);
    client.send({ id, ...answer });
    assert.equal((await client.next("turn/completed")).params.turn.status, end);
    assert.deepEqual(
      commandEnds(client).map(({ params }) => params.item.status),
      statuses,
    );
  });
}

test("a client that attaches is asked as well; the first answer wins, the others are told", async (t) => {
  const { served, threadId } = await asking(t);
  const { client } = served;
  const { id } = await asked(client);
  const other = served.connect();
  await other.initialize();
  await other.request("thread/resume", { threadId, excludeTurns: true });
  const again = await asked(other);
  assert.equal(again.id, id);
  other.send({ id, result: { decision: "accept" } });
  await client.next("serverRequest/resolved");
  client.send({ id, result: { decision: "cancel" } });
  assert.equal((await client.next("turn/completed")).params.turn.status, "completed");
});

test("who was asked and has unsubscribed can still answer; who was never asked cannot", async (t) => {
  const { served, threadId } = await asking(t);
  const { client } = served;
  const { id } = await asked(client);
  await client.request("thread/unsubscribe", { threadId });
  const other = served.connect();
  await other.initialize();
  // It was never asked: an id alone is no question.
  other.send({ id, result: { decision: "cancel" } });
  await other.request("thread/resume", { threadId, excludeTurns: true });
  client.send({ id, result: { decision: "accept" } });
  assert.equal((await other.next("turn/completed")).params.turn.status, "completed");
});

test("who comes while a command waits for its approval sees the command, by every method that shows the turn", async (t) => {
  const { served, threadId, turnId } = await asking(t);
  await asked(served.client);
  const other = served.connect();
  await other.initialize();
  const seen = async (method: string, params: Json = {}) => other.request(method, { threadId, ...params });
  const { thread } = await seen("thread/resume");
  const turns = [
    thread.turns,
    (await seen("thread/read", { includeTurns: true })).thread.turns,
    (await seen("thread/turns/list", { itemsView: "full" })).data,
  ].map(([turn]) => turn.items);
  turns.push((await seen("thread/items/list", { turnId })).data.map(({ item }: Json) => item));
  for (const items of turns) {
    const { id, status, source, aggregatedOutput } = items.at(-1);
    assert.deepEqual([items.length, id, status, source, aggregatedOutput], [2, "c1", "inProgress", "agent", null]);
  }
  const { id } = await asked(other);
  other.send({ id, result: { decision: "decline" } });
  await served.client.next("turn/completed");
  const { thread: after } = await seen("thread/read", { includeTurns: true });
  assert.deepEqual(
    after.turns[0].items.filter(({ type }: Json) => type === "commandExecution").map(({ status }: Json) => status),
    ["declined"],
  );
});

test("who answers by an op, over no connection, settles the question for those who were asked, at once", async (t) => {
  for (const decision of ["approved", "denied"] as const) {
    const { served, threadId } = await asking(t);
    const { client, manager } = served;
    const { id } = await asked(client);
    const thread = await manager.getThread(threadId);
    const told: string[] = [];
    manager.questionAnswered$.subscribe((answered) => told.push(`${answered.callId} ${answered.decision}`));
    await thread.submit({ type: "exec_approval", id: "c1", decision });
    assert.deepEqual((await client.next("serverRequest/resolved")).params, { threadId, requestId: id });
    const at = client.log.findIndex(({ method }) => method === "serverRequest/resolved");
    const ended = client.log.findIndex(({ method }) => method === "turn/completed");
    assert.ok(ended === -1 || at < ended);
    assert.equal((await client.next("turn/completed")).params.turn.status, "completed");
    assert.deepEqual(
      commandEnds(client).map(({ params }) => params.item.status),
      [decision === "approved" ? "completed" : "declined"],
    );
    assert.deepEqual(told, [`c1 ${decision}`]);
    assert.equal(client.methods.filter((method) => method === "serverRequest/resolved").length, 1);
  }
});

test("a question outlives the client that was asked, and waits for the next one", async (t) => {
  const { served, threadId } = await asking(t);
  await asked(served.client);
  served.client.close();
  const other = served.connect();
  await other.initialize();
  const { thread } = await other.request("thread/resume", { threadId });
  assert.equal(thread.status.type, "active");
  other.send({ id: (await asked(other)).id, result: { decision: "accept" } });
  assert.equal((await other.next("turn/completed")).params.turn.status, "completed");
});

test("an interrupt withdraws the question", async (t) => {
  const { served, threadId, turnId } = await asking(t);
  const { client } = served;
  const { id } = await asked(client);
  await client.request("turn/interrupt", { threadId, turnId });
  assert.equal((await client.next("serverRequest/resolved")).params.requestId, id);
  assert.equal((await client.next("turn/completed")).params.turn.status, "interrupted");
});

test("v1 asks in its own words, and takes its own decisions", async (t) => {
  const { served, threadId } = await asking(t);
  const v1 = served.connect();
  await v1.initialize();
  await v1.request("addConversationListener", { conversationId: threadId });
  const { id, params } = await v1.next("execCommandApproval");
  assert.deepEqual(
    [params.conversationId, params.callId, Array.isArray(params.command), params.reason ?? null],
    [threadId, "c1", true, params.reason],
  );
  v1.send({ id: id ?? "", result: { decision: "approved" } });
  assert.equal((await v1.next("turn/completed")).params.turn.status, "completed");
});
