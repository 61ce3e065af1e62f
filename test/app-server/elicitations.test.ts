/** What MCP servers ask the user, as clients are asked: in stock 0.171's words and order, by all who follow, and by nobody left waiting. */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { filter, firstValueFrom } from "rxjs";
import { call } from "../../src/model/script.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";
import { fixture } from "../turn/tools/mcp-servers.ts";
import { folder } from "../turn/tools/tool-turn.ts";
import { input } from "./stories.ts";
import { type Json, serve, type TestClient } from "./test-client.ts";

const SCHEMA = { type: "object", properties: { name: { type: "string" } }, required: ["name"] };
const FORM = { message: "Who are you?", requestedSchema: SCHEMA };
const URL_MODE = { mode: "url", message: "Sign in", url: "https://x.test/a", elicitationId: "e1" };
const REQUEST = "mcpServer/elicitation/request";

async function bench(t: TestContext, asks: object = FORM) {
  const cwd = await folder(t);
  const model = scriptedClient(({ input: items }) =>
    items.at(-1)?.type === "function_call_output" ? "done" : [call("mcp__fix__asks", asks)],
  );
  const config = { cwd, approvalPolicy: "on-request" as const, mcpServers: { fix: fixture("asks", cwd) } };
  const served = await serve({ manager: { model, config } });
  t.after(() => served[Symbol.asyncDispose]());
  const { thread } = await served.client.request("thread/start", {});
  const begin = (client = served.client): Promise<Json> =>
    client.request("turn/start", { threadId: thread.id, input: input("go") });
  return { ...served, threadId: thread.id as string, begin };
}

/** What the server heard, by the turn's call. */
async function heard(client: TestClient): Promise<Json> {
  const { params } = await client.next("item/completed", ({ item }) => item.type === "mcpToolCall");
  await client.next("turn/completed");
  return JSON.parse(params.item.result.content[0].text);
}

test("a form is asked of the client, and each of its answers reaches the server", async (t) => {
  const { client, begin, threadId } = await bench(t);
  const rows: [object, object][] = [
    [
      { result: { action: "accept", content: { name: "Ada" }, _meta: null } },
      { action: "accept", content: { name: "Ada" } },
    ],
    [{ result: { action: "decline", content: null, _meta: null } }, { action: "decline" }],
    [{ result: { action: "cancel" } }, { action: "cancel" }],
    [
      { result: { action: "accept", content: { name: "Ada" }, _meta: { persist: "session" } } },
      { action: "accept", content: { name: "Ada" }, _meta: { persist: "session" } },
    ],
    [{ result: { action: "decline", _meta: { why: ["no"] } } }, { action: "decline", _meta: { why: ["no"] } }],
    [{ result: { action: "accept", content: {}, _meta: 7 } }, { action: "decline" }],
    [{ result: { bogus: 1 } }, { action: "decline" }],
    [{ result: { action: "accept", content: { nested: {} } } }, { action: "decline" }],
    [{ error: { code: -1, message: "no" } }, { action: "decline" }],
  ];
  for (const [answer, action] of rows) {
    const { turn } = await begin();
    const { id, params } = await client.next(REQUEST);
    const place = { threadId, turnId: turn.id, serverName: "fix", environmentId: null };
    assert.deepEqual(params, { ...place, mode: "form", _meta: null, ...FORM });
    client.send({ ...(id === undefined ? {} : { id }), ...answer });
    assert.deepEqual(await heard(client), action, JSON.stringify(answer));
  }
  const told = client.log.flatMap(({ method, params, result }) =>
    method === "thread/status/changed"
      ? JSON.stringify(params.status.activeFlags ?? params.status.type)
      : method === REQUEST || method === "serverRequest/resolved" || method?.startsWith("turn/")
        ? method
        : result?.turn === undefined
          ? []
          : [],
  );
  const each = [
    "[]",
    "turn/started",
    '["waitingOnApproval"]',
    REQUEST,
    "serverRequest/resolved",
    "[]",
    '"idle"',
    "turn/completed",
  ];
  assert.deepEqual(
    told,
    rows.flatMap(() => each),
  );
});

test("an address is asked as one", async (t) => {
  const { client, begin } = await bench(t, URL_MODE);
  await begin();
  const { id, params } = await client.next(REQUEST);
  const { threadId: _, turnId: __, ...rest } = params;
  assert.deepEqual(rest, { serverName: "fix", environmentId: null, _meta: null, ...URL_MODE });
  client.send({ ...(id === undefined ? {} : { id }), result: { action: "accept" } });
  assert.deepEqual(await heard(client), { action: "accept" });
});

test("a client that comes later is asked too, the first answer counts, and the other is told", async (t) => {
  const { client, begin, connect, threadId } = await bench(t);
  await begin();
  const { id } = await client.next(REQUEST);
  const other = connect();
  await other.initialize();
  const { thread } = await other.request("thread/resume", { threadId });
  assert.deepEqual(thread.status, { type: "active", activeFlags: ["waitingOnApproval"] });
  const again = await other.next(REQUEST);
  assert.equal(again.id, id);
  client.close();
  other.send({ id: again.id as number, result: { action: "accept", content: { name: "late" } } });
  assert.deepEqual((await other.next("serverRequest/resolved")).params, { threadId, requestId: id });
  assert.deepEqual(await heard(other), { action: "accept", content: { name: "late" } });
});

test("where nobody is left to answer, the question is cancelled and the turn goes on", async (t) => {
  const { client, begin, connect, threadId, manager } = await bench(t);
  const other = connect();
  await other.initialize();
  const ended = async (): Promise<Json[]> => {
    await firstValueFrom(manager.events$.pipe(filter(({ msg }) => msg.type === "task_complete")));
    const { data } = await other.request("thread/turns/list", { threadId, itemsView: "full", sortDirection: "desc" });
    return data[0].items;
  };
  await begin();
  await client.next(REQUEST);
  const first = ended();
  client.close();
  const itemOf = (items: Json[]) => items.find(({ type }: Json) => type === "mcpToolCall").result.content[0].text;
  assert.equal(itemOf(await first), '{"action":"cancel"}');
  await other.request("thread/resume", { threadId });
  await begin(other);
  await other.next(REQUEST);
  const second = ended();
  await other.request("thread/unsubscribe", { threadId });
  assert.equal(itemOf(await second), '{"action":"cancel"}');
});

test("an interrupt withdraws the question", async (t) => {
  const { client, begin, threadId } = await bench(t);
  const { turn } = await begin();
  const { id } = await client.next(REQUEST);
  await client.request("turn/interrupt", { threadId, turnId: turn.id });
  const { params } = await client.next("turn/completed");
  assert.equal(params.turn.status, "interrupted");
  assert.ok(
    client.log.some(
      ({ method, params: { requestId } = {} as Json }) => method === "serverRequest/resolved" && requestId === id,
    ),
  );
  client.send({ id: id as number, result: { action: "accept" } });
  assert.equal((await client.request("thread/read", { threadId })).thread.status.type, "idle");
});
