import assert from "node:assert/strict";
import { test } from "node:test";
import { linkedWires } from "../../src/app-server/wire.ts";
import { RpcFailure, serve, TestClient } from "./test-client.ts";

const U = "01999999-1111-7222-8333-444455556666";
const INIT = { clientInfo: { name: "x", title: null, version: "1" } };

test("before initialize nothing is answered but errors, in Codex's order: shape, then state", async () => {
  await using served = await serve();
  const client = served.connect();
  assert.equal((await client.failure("thread/start", {})).message, "Not initialized");
  assert.match(
    (await client.failure("no/such", {})).message,
    /^Invalid request: unknown variant `no\/such`, expected one of `initialize`, /,
  );
  assert.equal((await client.failure("thread/fork", {})).message, "Invalid request: missing field `threadId`");
  assert.equal((await client.failure("initialize", {})).message, "Invalid request: missing field `clientInfo`");
  const { userAgent } = await client.request("initialize", INIT);
  assert.match(userAgent, /^x\/\d+\.\d+\.\d+ \(.+\) \S+ \(x; 1\)$/);
  assert.equal((await client.failure("initialize", INIT)).message, "Already initialized");
});

test("what is no message is ignored, and the line stays", async () => {
  await using served = await serve();
  const client = served.connect();
  for (const line of [
    "{bad",
    "",
    "[]",
    '"x"',
    "{}",
    '{"id":500}',
    '[{"id":1,"method":"initialize"}]',
    "null",
    '{"id":null,"method":"thread/list"}',
  ]) {
    client.raw(line);
  }
  client.send({ method: "initialized" });
  client.send({ id: 77, result: {} });
  client.send({ id: 78, error: { code: 1, message: "x" } });
  client.raw(JSON.stringify({ jsonrpc: "2.0", id: "text-id", method: "initialize", params: INIT }));
  await client.find(({ id }) => id === "text-id");
  assert.deepEqual(client.methods, ["remoteControl/status/changed"]);
  assert.equal(client.log.length, 2);
  assert.equal(Object.hasOwn(client.log[0] ?? {}, "jsonrpc"), false);
});

test("an id comes back digit for digit, also where JavaScript cannot hold it", async () => {
  await using served = await serve();
  const { server, client: end } = linkedWires();
  const lines: string[] = [];
  end.onText = (text) => lines.push(text);
  served.server.connect(server);
  end.send(JSON.stringify({ id: 0, method: "initialize", params: INIT }));
  const ids = ["9007199254740993", "-9223372036854775808", "18446744073709551615", "1".repeat(40)];
  for (const id of ids) end.send(`{"method":"thread/loaded/list","params":{"id":1},"id" : ${id} }`);
  end.send('{"id":9007199254740993,"method":"no/such"}');
  end.send('{"id":9007199254740993,"result":{}}');
  end.send('{"id":1.5,"method":"thread/loaded/list"}');
  end.send('{"id":"last","method":"thread/loaded/list","params":{}}');
  while (!lines.some((line) => line.includes('"last"'))) await new Promise((resolve) => setImmediate(resolve));
  const answered = lines.flatMap((line) => /^\{"id":(-?\d+),"(result|error)"/.exec(line)?.slice(1, 3).join(" ") ?? []);
  assert.deepEqual(answered.sort(), ["0 result", "9007199254740993 error", ...ids.map((id) => `${id} result`)].sort());
});

const TEXTS: [string, unknown, string][] = [
  ["thread/fork", undefined, "Invalid request: missing field `params`"],
  ["thread/fork", { threadId: 7 }, "Invalid request: invalid type: integer `7`, expected a string"],
  [
    "thread/fork",
    { threadId: U, sandbox: "bogus" },
    "Invalid request: unknown variant `bogus`, expected one of `read-only`, `workspace-write`, `danger-full-access`",
  ],
  ["thread/list", { limit: -1 }, "Invalid request: invalid value: integer `-1`, expected u32"],
  ["turn/start", { threadId: U }, "Invalid request: missing field `input`"],
  ["turn/interrupt", { threadId: U }, "Invalid request: missing field `turnId`"],
  [
    "turn/start",
    { threadId: U, input: [{ type: "localImage", path: "a.png", detail: "huge" }] },
    "Invalid request: unknown variant `huge`, expected one of `auto`, `low`, `high`, `original`",
  ],
  [
    "getConversationSummary",
    {},
    "Invalid request: data did not match any variant of untagged enum GetConversationSummaryParams",
  ],
  [
    "sendUserMessage",
    { conversationId: "bad", items: [] },
    "Invalid request: invalid length: expected length 32 for simple format, found 3",
  ],
  [
    "thread/fork",
    { threadId: "nope" },
    "invalid session id: invalid character: expected an optional prefix of `urn:uuid:` followed by [0-9a-fA-F-], found `n` at 1",
  ],
  [
    "thread/read",
    { threadId: "bad" },
    "invalid thread id: invalid length: expected length 32 for simple format, found 3",
  ],
  ["thread/fork", { threadId: U }, `no rollout found for thread id ${U}`],
  ["thread/resume", { threadId: U }, `no rollout found for thread id ${U}`],
  ["thread/resume", { threadId: "x", history: [] }, "history must not be empty"],
  ["thread/read", { threadId: U }, `thread not loaded: ${U}`],
  ["thread/turns/list", { threadId: U }, `thread not loaded: ${U}`],
  ["thread/list", { cursor: "garbage" }, "invalid cursor: garbage"],
  ["thread/loaded/list", { cursor: "x" }, "invalid cursor: x"],
  ["thread/revert", { threadId: U, beforeTurnId: "x" }, `thread not found: ${U}`],
  ["thread/rollback", { threadId: U, numTurns: 0 }, "numTurns must be >= 1"],
  ["thread/rollback", { threadId: U, numTurns: 1 }, `thread not found: ${U}`],
  ["turn/start", { threadId: U, input: [] }, `thread not found: ${U}`],
  ["turn/interrupt", { threadId: U, turnId: "0" }, `thread not found: ${U}`],
  ["thread/archive", { threadId: U }, `no rollout found for thread id ${U}`],
  ["thread/unarchive", { threadId: U }, `no archived rollout found for thread id ${U}`],
  ["thread/delete", { threadId: U }, `no rollout found for thread id ${U}`],
  ["thread/name/set", { threadId: U, name: "x" }, `no rollout found for thread id ${U}`],
  ["thread/name/set", { threadId: U, name: "" }, "thread name must not be empty"],
  [
    "thread/fork",
    { threadId: "x", path: "/nowhere/a.jsonl" },
    "failed to resolve rollout path `/nowhere/a.jsonl`: file does not exist",
  ],
  ["thread/resume", { threadId: "x", history: [1] }, "Invalid request: invalid type: integer `1`, expected a map"],
  ["thread/resume", { threadId: "x", history: [null] }, "Invalid request: invalid type: null, expected a map"],
  ["thread/resume", { threadId: "x", history: [{}] }, "Invalid request: missing field `type`"],
  ["thread/resume", { threadId: "x", history: [{ type: "message" }] }, "Invalid request: missing field `role`"],
  [
    "thread/resume",
    { threadId: "x", history: [{ type: "message", role: "user", content: "x" }] },
    'Invalid request: invalid type: string "x", expected a sequence',
  ],
  [
    "thread/search/cancel",
    { requestId: [] },
    "Invalid request: data did not match any variant of untagged enum RequestId",
  ],
  ["thread/search/cancel", {}, "Invalid request: missing field `requestId`"],
  ["thread/list", { cwd: 7 }, "Invalid request: data did not match any variant of untagged enum ThreadListCwdFilter"],
  ["turn/start", { threadId: U, input: [], effort: "" }, "Invalid request: reasoning_effort must not be empty"],
  ["thread/settings/update", { threadId: U, effort: "" }, "Invalid request: reasoning_effort must not be empty"],
  [
    "removeConversationListener",
    { subscriptionId: "" },
    "Invalid request: UUID parsing failed: invalid length: expected length 32 for simple format, found 0",
  ],
  [
    "resumeConversation",
    { path: "/nowhere/a.jsonl", conversationId: U },
    "failed to load rollout `/nowhere/a.jsonl`: No such file or directory (os error 2)",
  ],
  ["thread/start", { model: "" }, "config: model: must not be empty"],
  ["newConversation", { model: "" }, "config: model: must not be empty"],
  ["thread/start", { multiAgentMode: 7 }, "Invalid request: invalid type: integer `7`, expected string or map"],
  ["thread/start", { sandbox: {} }, "Invalid request: invalid value: map, expected map with a single key"],
  [
    "thread/fork",
    { threadId: U, permissions: "p", sandbox: "read-only" },
    "`permissions` cannot be combined with `sandbox`",
  ],
  [
    "thread/fork",
    { threadId: U, lastTurnId: "a", beforeTurnId: "b" },
    "`beforeTurnId` cannot be combined with `lastTurnId`",
  ],
  ["thread/fork", null, "Invalid request: missing field `params`"],
  [
    "thread/unarchive",
    { threadId: "bad" },
    "invalid session id: invalid length: expected length 32 for simple format, found 3",
  ],
  ["thread/goal/get", { threadId: U }, `thread not found: ${U}`],
  [
    "thread/list",
    { parentThreadId: "bad" },
    "invalid parent thread id: invalid length: expected length 32 for simple format, found 3",
  ],
  ["thread/search", { searchTerm: " " }, "thread/search requires a non-empty searchTerm"],
  ["mcpServerStatus/list", { cursor: "x" }, "invalid cursor: x"],
  ["account/login/cancel", { loginId: "x" }, "invalid login id: x"],
  ["sendUserMessage", { conversationId: U, items: [] }, `conversation not found: ${U}`],
  ["addConversationListener", { conversationId: U }, `thread not found: ${U}`],
  ["removeConversationListener", { subscriptionId: U }, `subscription not found: ${U}`],
  ["resumeConversation", {}, "either path, conversation id or non empty history must be provided"],
  ["forkConversation", {}, "either path or conversation id must be provided"],
  ["forkConversation", { conversationId: U }, `no rollout found for conversation id ${U}`],
  [
    "forkConversation",
    { path: "/nowhere/a.jsonl" },
    "failed to load rollout `/nowhere/a.jsonl`: No such file or directory (os error 2)",
  ],
];
test("errors in Codex's words, each with a code of ours", async (t) => {
  await using served = await serve();
  for (const [method, params, message] of TEXTS) {
    await t.test(`${method} ${JSON.stringify(params)}`, async () => {
      const failure = await served.client.failure(method, params);
      assert.deepEqual({ message: failure.message, code: failure.code }, { message, code: -32600 });
      assert.equal(typeof failure.data.code, "string");
    });
  }
});

test("without the experimentalApi capability, methods and params that need it are refused", async () => {
  await using served = await serve({ capabilities: null });
  const { client } = served;
  const ask = async (method: string, params: object) => (await client.failure(method, params)).message;
  assert.equal(
    await ask("thread/fork", { threadId: U, beforeTurnId: "" }),
    "thread/fork.beforeTurnId requires experimentalApi capability",
  );
  assert.equal(
    await ask("thread/fork", { threadId: U, path: "/x" }),
    "thread/fork.path requires experimentalApi capability",
  );
  assert.equal(
    await ask("thread/fork", { threadId: U, attachToSource: true }),
    "thread/fork.attachToSource requires experimentalApi capability",
  );
  assert.equal(
    await ask("thread/resume", { threadId: U, history: [] }),
    "thread/resume.history requires experimentalApi capability",
  );
  assert.equal(await ask("collaborationMode/list", {}), "collaborationMode/list requires experimentalApi capability");
  assert.equal(await ask("thread/fork", { threadId: U, beforeTurnId: null }), `no rollout found for thread id ${U}`);
});

test("methods that a client has opted out of do not reach it", async () => {
  await using served = await serve({
    capabilities: { experimentalApi: true, optOutNotificationMethods: ["item/agentMessage/delta"] },
  });
  const { client } = served;
  const { thread } = await client.request("thread/start", {});
  await client.turn(thread.id, "hi");
  assert.equal(client.methods.includes("item/agentMessage/delta"), false);
  assert.equal(client.methods.includes("item/completed"), true);
});

test("every notification says when it was emitted", async () => {
  await using served = await serve();
  const { thread } = await served.client.request("thread/start", {});
  await served.client.turn(thread.id, "hi");
  const told = served.client.log.filter(({ id }) => id === undefined);
  assert.ok(told.length > 5);
  assert.ok(told.every(({ emittedAtMs }) => Number.isInteger(emittedAtMs)));
});

test("a client with too much in flight is told so, and the rest is answered", async () => {
  await using served = await serve({ server: { limits: { inFlight: 2 } } });
  const { client } = served;
  const asked = Array.from({ length: 5 }, () => client.request("thread/start", {}).catch((error: unknown) => error));
  const answers = await Promise.all(asked);
  const failures = answers.filter((answer) => answer instanceof RpcFailure);
  assert.equal(failures.length, 3);
  assert.ok(failures.every((failure) => failure.code === -32001 && failure.data.code === "overloaded"));
  await client.request("thread/start", {});
});

test("requests about one thread are worked on in their order, those that change settings alone", async () => {
  await using served = await serve();
  const { client } = served;
  const { thread } = await client.request("thread/start", {});
  const turn = client.request("turn/start", { threadId: thread.id, input: [{ type: "text", text: "a" }] });
  const name = client.request("thread/name/set", { threadId: thread.id, name: "n" });
  const read = client.request("thread/read", { threadId: thread.id });
  await turn;
  await name;
  assert.equal((await read).thread.name, "n");
  assert.ok(client instanceof TestClient);
});
