/** Commands beside an agent: left in the background by it, or the user's own. */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { call, say, wait } from "../../src/model/script.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";
import { type Json, type Message, RpcFailure, serve, type TestClient } from "./test-client.ts";

type Begun = { client: TestClient; threadId: string; cwd: string };

async function begun(t: TestContext, script: Parameters<typeof scriptedClient>[0]): Promise<Begun> {
  const cwd = await mkdtemp(join(tmpdir(), "skein-terminals-"));
  const config = {
    cwd,
    approvalPolicy: "never",
    sandboxMode: "danger-full-access",
    builtInTools: ["unified_exec"],
  } as const;
  const served = await serve({ manager: { model: scriptedClient(script), config } });
  t.after(async () => {
    await served[Symbol.asyncDispose]();
    await rm(cwd, { recursive: true, force: true });
  });
  const { client } = served;
  const { thread } = await client.request("thread/start", {});
  return { client, threadId: thread.id, cwd };
}

const start = async ({ client, threadId }: Begun, text: string): Promise<string> => {
  const { turn } = await client.request("turn/start", { threadId, input: [{ type: "text", text }] });
  return turn.id;
};

const refusal = (client: TestClient, method: string, params: Json): Promise<[number, string]> =>
  client.request(method, params).then(
    () => assert.fail(`${method} was answered`),
    (error: unknown) => {
      assert.ok(error instanceof RpcFailure);
      return [error.code, error.message];
    },
  );

const ofCommand = ({ method, params }: Message): boolean =>
  method?.startsWith("item/") === true && (params.item?.type ?? "commandExecution") === "commandExecution";

const commandItems = (client: TestClient) =>
  client.log.flatMap((message) =>
    ofCommand(message) && message.params.item !== undefined ? [[message.method, message.params]] : [],
  );

const background = (cmd: string) => call("exec_command", { cmd, login: false, yield_time_ms: 250 });

test("what an agent leaves in the background is listed page by page, ended by its id, and all together", async (t) => {
  const ready = await begun(t, [[background("sleep 101"), background("sleep 102"), background("sleep 103")], "over"]);
  const { client, threadId, cwd } = ready;
  const turnId = await start(ready, "go");
  await client.next("turn/completed");
  const list = (params: object = {}) => client.request("thread/backgroundTerminals/list", { threadId, ...params });
  const { data, nextCursor } = await list();
  assert.equal(nextCursor, null);
  assert.deepEqual(data.map(({ command }: Json) => command).toSorted(), ["sleep 101", "sleep 102", "sleep 103"]);
  const [one, two, three] = data;
  assert.deepEqual(one, {
    itemId: one.itemId,
    processId: one.processId,
    command: one.command,
    cwd,
    osPid: null,
    cpuPercent: null,
    rssKb: null,
  });
  assert.deepEqual(await list({ limit: 2 }), { data: [one, two], nextCursor: two.processId });
  assert.deepEqual(await list({ limit: 2, cursor: two.processId }), { data: [three], nextCursor: null });
  assert.deepEqual(await list({ limit: 0 }), { data: [one], nextCursor: one.processId });

  const terminate = "thread/backgroundTerminals/terminate";
  assert.deepEqual(await client.request(terminate, { threadId, processId: "77" }), { terminated: false });
  assert.deepEqual(await client.request(terminate, { threadId, processId: two.processId }), { terminated: true });
  const ended = await client.find(({ method, params }) => method === "item/completed" && params.item.id === two.itemId);
  assert.deepEqual(
    { turnId: ended.params.turnId, status: ended.params.item.status, exitCode: ended.params.item.exitCode },
    { turnId, status: "failed", exitCode: -1 },
  );
  assert.deepEqual((await list()).data, [one, three]);
  assert.deepEqual(await client.request("thread/backgroundTerminals/clean", { threadId }), {});
  for (const { itemId } of [one, three])
    await client.find(({ method, params }) => method === "item/completed" && params.item.id === itemId);
  assert.deepEqual(await list(), { data: [], nextCursor: null });
  assert.equal(commandItems(client).length, 6, "each is started and completed once");

  assert.deepEqual(await refusal(client, terminate, { threadId, processId: "x" }), [
    -32600,
    "invalid background terminal process id: invalid digit found in string",
  ]);
  assert.deepEqual(await refusal(client, "thread/backgroundTerminals/list", { threadId, cursor: "zz" }), [
    -32600,
    "invalid cursor: invalid digit found in string",
  ]);
});

test("output and end of a command belong to the turn that began it, also while another runs", async (t) => {
  const gate = Promise.withResolvers<void>();
  const ready = await begun(t, [
    [background("mkfifo gate; read x < gate; echo late; exit 4")],
    "over",
    [wait(gate.promise), say("second")],
  ]);
  const { client, cwd } = ready;
  const first = await start(ready, "go");
  await client.next("turn/completed");
  const second = await start(ready, "again");
  await writeFile(join(cwd, "gate"), "\n");
  const { params } = await client.find(({ method }) => method === "item/commandExecution/outputDelta");
  assert.deepEqual({ turnId: params.turnId, delta: params.delta }, { turnId: first, delta: "late\n" });
  const end = await client.find(({ method, params }) => method === "item/completed" && params.item.exitCode === 4);
  assert.equal(end.params.turnId, first);
  gate.resolve();
  await client.find(({ method, params }) => method === "turn/completed" && params.turn.id === second);
  assert.equal(commandItems(client).length, 2);
  await historyHasItOnce(ready, [first, second]);
});

/** The first turn's command is stored in the midst of the second turn. */
async function historyHasItOnce({ client, threadId }: Begun, [first, second]: [string, string]): Promise<void> {
  const { thread } = await client.request("thread/read", { threadId, includeTurns: true });
  assert.deepEqual(
    thread.turns.map(({ id, items }: Json) => [id, items.map(({ type }: Json) => type)]),
    [
      [first, ["userMessage", "agentMessage", "commandExecution"]],
      [second, ["userMessage", "agentMessage"]],
    ],
  );
  const paged = [];
  for (let cursor: string | undefined; cursor !== null; ) {
    const page: Json = await client.request("thread/items/list", { threadId, limit: 1, cursor });
    paged.push(...page.data);
    cursor = page.nextCursor;
  }
  const places = [
    [first, "userMessage"],
    [first, "agentMessage"],
    [second, "userMessage"],
    [first, "commandExecution"],
    [second, "agentMessage"],
  ];
  const placed = (rows: Json) => rows.map(({ turnId, item }: Json) => [turnId, item.type]);
  assert.deepEqual(placed(paged), places);
  const { data } = await client.request("thread/timeline/list", { threadId });
  assert.deepEqual(placed(data.filter(({ item }: Json) => item !== undefined)), places);
}

test("thread/shellCommand: a turn of its own, an item of the user's", async (t) => {
  const ready = await begun(t, ["heard"]);
  const { client, threadId, cwd } = ready;
  const from = client.log.length;
  assert.deepEqual(await client.request("thread/shellCommand", { threadId, command: "echo hi; exit 2" }), {});
  const { params } = await client.next("turn/completed");
  assert.deepEqual(
    client.log.slice(from).map(({ method, id }) => method ?? `answer ${id}`),
    [
      client.log[from]?.method ?? `answer ${client.log[from]?.id}`,
      "thread/status/changed",
      "turn/started",
      "item/started",
      "item/commandExecution/outputDelta",
      "item/completed",
      "thread/status/changed",
      "turn/completed",
    ],
  );
  assert.equal(client.log[from]?.method, undefined, "the answer comes first");
  assert.deepEqual([params.turn.status, params.turn.items], ["completed", []]);
  const [, ended] = commandItems(client).at(-1) ?? [];
  const { startedAtMs, completedAtMs, durationMs, id, ...item } = ended.item;
  assert.deepEqual(item, {
    type: "commandExecution",
    pluginId: null,
    scriptPath: null,
    command: "/bin/bash -lc 'echo hi; exit 2'",
    cwd,
    processId: null,
    source: "userShell",
    status: "failed",
    commandActions: [{ type: "unknown", command: "echo hi; exit 2" }],
    aggregatedOutput: "hi\n",
    exitCode: 2,
  });
  const { thread } = await client.request("thread/read", { threadId, includeTurns: true });
  assert.deepEqual(
    thread.turns.map((turn: Json) => [turn.status, turn.items.map((each: Json) => [each.type, each.id])]),
    [["completed", [["commandExecution", id]]]],
  );
});

test("thread/shellCommand beside a turn is an item of that turn; an interrupt ends it", async (t) => {
  const ready = await begun(t, [[wait(new Promise(() => undefined))]]);
  const { client, threadId } = ready;
  const turnId = await start(ready, "go");
  assert.deepEqual(await client.request("thread/shellCommand", { threadId, command: "echo up; sleep 100" }), {});
  await client.next("item/commandExecution/outputDelta");
  assert.deepEqual(await client.request("turn/interrupt", { threadId, turnId }), {});
  await client.next("turn/completed");
  assert.deepEqual(
    commandItems(client).map(([method, params]) => [
      method,
      params.turnId,
      params.item.status,
      params.item.aggregatedOutput,
    ]),
    [
      ["item/started", turnId, "inProgress", null],
      ["item/completed", turnId, "failed", "command aborted by user"],
    ],
  );
  assert.equal(client.log.filter(({ method }) => method === "turn/started").length, 1);
});

test("thread/shellCommand refuses what is no command, or of no thread", async (t) => {
  const { client, threadId } = await begun(t, []);
  const missing = "01999999-1111-7222-8333-444455556666";
  const refused = (params: Json) => refusal(client, "thread/shellCommand", params);
  assert.deepEqual(await refused({ threadId, command: "  " }), [-32600, "command must not be empty"]);
  assert.deepEqual(await refused({ threadId: missing, command: "x" }), [-32600, `thread not found: ${missing}`]);
  assert.deepEqual(await refused({ threadId }), [-32600, "Invalid request: missing field `command`"]);
  const negative = [-32602, "thread/shellCommand timeoutMs must be non-negative, got -1"];
  assert.deepEqual(await refused({ threadId, command: "x", timeoutMs: -1 }), negative);
});

test("thread/shellCommand ends with its own timeout", async (t) => {
  const { client, threadId } = await begun(t, []);
  await client.request("thread/shellCommand", { threadId, command: "echo up; sleep 100", timeoutMs: 1 });
  await client.next("turn/completed");
  const [, ended] = commandItems(client).at(-1) ?? [];
  assert.deepEqual([ended.item.status, ended.item.exitCode], ["failed", 124]);
});
