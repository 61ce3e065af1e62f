/** Tools that a client brings to its thread: offered to the model, asked of the thread's clients, kept with the thread. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { call } from "../../src/model/script.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";
import { fileStore } from "../../src/store/file/file-store.ts";
import { input } from "./stories.ts";
import { type Json, type Message, serve, type TestClient } from "./test-client.ts";

const LOOKUP = {
  type: "function",
  name: "lookup",
  description: "Looks something up.",
  inputSchema: { type: "object", properties: { q: { type: "string" } } },
};
const PICTURE =
  "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg==";

/** The model looks up, and says what came of it. */
function looksUp(args: Json = { q: "x" }) {
  return scriptedClient(
    ({ input: items }) => (items.at(-1)?.type === "function_call_output" ? "done" : [call("lookup", args)]),
    { recordRequests: 20 },
  );
}

const begin = (client: TestClient, threadId: string): Promise<Json> =>
  client.request("turn/start", { threadId, input: input("go") });

const calls = ({ log }: TestClient): Message[] => log.filter(({ method }) => method === "item/tool/call");

const itemsOf = ({ log }: TestClient): Json[] =>
  log.flatMap(({ method, params }) =>
    method === "item/completed" && params.item.type === "dynamicToolCall" ? [params.item] : [],
  );

async function answered(client: TestClient, answer: Partial<Message>): Promise<Json> {
  const { id } = await client.next("item/tool/call");
  client.send({ ...(id === undefined ? {} : { id }), ...answer });
  await client.next("turn/completed");
  return itemsOf(client).at(-1);
}

test("the model's call is asked of the client, and its answer is the output, pictures with it", async () => {
  const model = looksUp();
  await using served = await serve({ manager: { model, config: { cwd: "/w" } } });
  const { client } = served;
  const { thread } = await client.request("thread/start", { dynamicTools: [LOOKUP] });
  const { turn } = await begin(client, thread.id);
  const contentItems = [
    { type: "inputText", text: "found" },
    { type: "inputImage", imageUrl: PICTURE },
  ];
  const item = await answered(client, { result: { success: true, contentItems } });
  const [asked] = calls(client);
  const { callId, ...rest } = asked?.params ?? {};
  assert.deepEqual(rest, {
    threadId: thread.id,
    turnId: turn.id,
    namespace: null,
    tool: "lookup",
    arguments: { q: "x" },
  });
  assert.deepEqual([item.id, item.status, item.success], [callId, "completed", true]);
  assert.deepEqual(item.contentItems, contentItems);
  const [first, second] = model.requests;
  assert.deepEqual(
    first?.tools.filter((spec) => spec.name === "lookup"),
    [
      {
        type: "function",
        name: "lookup",
        description: LOOKUP.description,
        parameters: LOOKUP.inputSchema,
        strict: false,
      },
    ],
  );
  assert.deepEqual((second as Json).input.at(-1).output, [
    { type: "input_text", text: "found" },
    { type: "input_image", image_url: PICTURE, detail: "high" },
  ]);
  const read = await client.request("thread/read", { threadId: thread.id, includeTurns: true });
  const stored = read.thread.turns[0].items.find(({ type }: Json) => type === "dynamicToolCall");
  assert.deepEqual(stored.contentItems, contentItems);
});

test("an error, no answer at all, and one that says so itself are failures; the turn goes on", async () => {
  await using served = await serve({ manager: { model: looksUp(), config: { cwd: "/w" } } });
  const { client } = served;
  const { thread } = await client.request("thread/start", { dynamicTools: [LOOKUP] });
  for (const [answer, text] of [
    [{ error: { code: 1, message: "no" } }, "dynamic tool request failed"],
    [{ result: { x: 1 } }, "dynamic tool response was invalid"],
    [{ result: { success: false, contentItems: [{ type: "inputText", text: "not there" }] } }, "not there"],
  ] as const) {
    await begin(client, thread.id);
    const item = await answered(client, answer);
    assert.deepEqual([item.status, item.contentItems], ["failed", [{ type: "inputText", text }]]);
  }
  assert.deepEqual(
    client.log.flatMap(({ method, params }) => (method === "turn/completed" ? params.turn.status : [])),
    ["completed", "completed", "completed"],
  );
});

test("a call that nobody has answered is asked of the next client; the first answer counts", async () => {
  await using served = await serve({ manager: { model: looksUp(), config: { cwd: "/w" } } });
  const { client, connect } = served;
  const { thread } = await client.request("thread/start", { dynamicTools: [LOOKUP] });
  await begin(client, thread.id);
  const { id } = await client.next("item/tool/call");
  client.close();
  const second = connect();
  await second.initialize();
  await second.request("thread/resume", { threadId: thread.id });
  const again = await second.next("item/tool/call");
  assert.equal(again.id, id);
  second.send({
    id: again.id as number,
    result: { success: true, contentItems: [{ type: "inputText", text: "late" }] },
  });
  second.send({ id: again.id as number, result: { success: true, contentItems: [] } });
  await second.next("turn/completed");
  assert.deepEqual(itemsOf(second).at(-1).contentItems, [{ type: "inputText", text: "late" }]);
});

test("an interrupt ends the call; an answer that comes later is nobody's", async () => {
  await using served = await serve({ manager: { model: looksUp(), config: { cwd: "/w" } } });
  const { client } = served;
  const { thread } = await client.request("thread/start", { dynamicTools: [LOOKUP] });
  const { turn } = await begin(client, thread.id);
  const { id } = await client.next("item/tool/call");
  await client.request("turn/interrupt", { threadId: thread.id, turnId: turn.id });
  assert.equal((await client.next("turn/completed")).params.turn.status, "interrupted");
  client.send({ id: id as number, result: { success: true, contentItems: [] } });
  assert.equal(itemsOf(client).at(-1).status, "failed");
  assert.deepEqual((await client.request("thread/loaded/list", {})).data, [thread.id]);
});

test("tools of a namespace are called by it", async () => {
  const model = scriptedClient(
    ({ input: items }) =>
      items.at(-1)?.type === "function_call_output"
        ? "done"
        : [{ ...call("inner", {}), namespace: "ns" } as ReturnType<typeof call>],
    { recordRequests: 5 },
  );
  await using served = await serve({ manager: { model, config: { cwd: "/w" } } });
  const { client } = served;
  const { type, ...inner } = { ...LOOKUP, name: "inner" };
  const space = { type: "namespace", name: "ns", description: "A group.", tools: [{ type, ...inner }] };
  const { thread } = await client.request("thread/start", { dynamicTools: [space] });
  await begin(client, thread.id);
  const item = await answered(client, { result: { success: true, contentItems: [] } });
  assert.deepEqual([item.namespace, item.tool, item.contentItems], ["ns", "inner", []]);
  assert.equal(model.requests[0]?.tools.find((spec) => spec.name === "ns")?.type, "namespace");
});

test("a thread keeps its tools in another process, and a fork has them too", async () => {
  const home = await mkdtemp(join(tmpdir(), "skein-tools-"));
  try {
    let threadId = "";
    const options = () => ({
      manager: { model: looksUp(), store: fileStore({ home }), config: { cwd: "/w" } },
      server: { home },
    });
    {
      await using first = await serve(options());
      const { thread } = await first.client.request("thread/start", { dynamicTools: [LOOKUP] });
      threadId = thread.id;
      await begin(first.client, threadId);
      await answered(first.client, { result: { success: true, contentItems: [] } });
    }
    await using second = await serve(options());
    const { client } = second;
    await client.request("thread/resume", { threadId });
    const { thread: fork } = await client.request("thread/fork", { threadId });
    for (const each of [threadId, fork.id]) {
      await begin(client, each);
      assert.equal((await answered(client, { result: { success: true, contentItems: [] } })).status, "completed");
    }
  } finally {
    await rm(home, { recursive: true, force: true });
  }
});

test("a thread that has left memory has its tools when it is back", async () => {
  const limits = { residentThreads: 1 };
  await using served = await serve({ manager: { model: looksUp(), config: { cwd: "/w" }, limits } });
  const { client, manager } = served;
  const { thread } = await client.request("thread/start", { dynamicTools: [LOOKUP] });
  for (const round of [1, 2]) {
    await begin(client, thread.id);
    const item = await answered(client, { result: { success: true, contentItems: [] } });
    assert.equal(item.status, "completed", `round ${round}`);
    await client.request("thread/unsubscribe", { threadId: thread.id });
    const { thread: other } = await client.request("thread/start", {});
    assert.notEqual(other.id, thread.id);
    if (round === 1) assert.equal(manager.loadedThread(thread.id), undefined);
    await client.request("thread/resume", { threadId: thread.id });
  }
});

test("names that no model may be given are refused, in stock's words", async () => {
  await using served = await serve({ manager: { model: scriptedClient(["ok"]) } });
  const refused = async (...dynamicTools: Json[]) =>
    (await served.client.failure("thread/start", { dynamicTools })).message;
  const { type: _, ...legacy } = LOOKUP;
  assert.equal(
    await refused(LOOKUP, legacy),
    "Invalid request: dynamic tools must use either canonical or legacy format consistently",
  );
  assert.equal(await refused(LOOKUP, LOOKUP), "duplicate dynamic tool name: lookup");
  assert.equal(await refused({ ...LOOKUP, name: "" }), "dynamic tool name must not be empty");
  assert.match(
    await refused({ ...LOOKUP, name: "a b" }),
    /must match \^\[a-zA-Z0-9_-\]\+\$ to match Responses API: a b$/,
  );
  assert.equal(await refused({ ...legacy, name: "mcp__x" }), "dynamic tool name is reserved: mcp__x");
  assert.equal(
    await refused({ ...LOOKUP, deferLoading: true }),
    "deferred dynamic tool must include a namespace: lookup",
  );
  const { inputSchema: __, ...bare } = legacy;
  assert.equal(await refused(bare), "Invalid request: missing field `inputSchema`");
});
