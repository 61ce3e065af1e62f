import assert from "node:assert/strict";
import { test } from "node:test";
import { responsesClient } from "../../src/model/responses-client.ts";
import type { ResponseItem } from "../../src/protocol/response-item.ts";
import { developerMessage, functionCallOutput, userMessage } from "../../src/protocol/response-item.ts";
import { unknownKind } from "../../src/protocol/unknown-kind.ts";
import { EagerClock } from "./eager-clock.ts";
import { latch } from "./latch.ts";
import { completed, created, ModelServer, message, sse, streaming, wholeAnswer } from "./model-server.ts";
import { answer, asking, THREAD_ID, textDeltas, typesOf } from "./requests.ts";

const NO_LIMITS = { primary: null, secondary: null, credits: null, plan_type: null };

test("an answer arrives as events", async () => {
  await using server = await ModelServer.start(streaming(wholeAnswer("Hel", "lo")));
  const client = responsesClient({ baseUrl: server.baseUrl });
  assert.deepEqual(await answer(client), [
    { type: "rate_limits", snapshot: NO_LIMITS },
    { type: "created", responseId: "resp_1" },
    { type: "item_added", item: { type: "message", role: "assistant", id: "msg_1", content: [] } },
    { type: "text_delta", delta: "Hel", itemId: "msg_1" },
    { type: "text_delta", delta: "lo", itemId: "msg_1" },
    {
      type: "item_done",
      item: { type: "message", role: "assistant", id: "msg_1", content: [{ type: "output_text", text: "Hello" }] },
    },
    {
      type: "completed",
      responseId: "resp_1",
      usage: {
        input_tokens: 10,
        cached_input_tokens: 4,
        output_tokens: 5,
        reasoning_output_tokens: 2,
        total_tokens: 15,
      },
    },
  ]);
  await client.close();
});

test("reasoning and calls arrive as events", async () => {
  const reasoning = { type: "reasoning", id: "rs_1", summary: [{ type: "summary_text", text: "Look" }] };
  const functionCall = { type: "function_call", id: "fc_1", call_id: "c1", name: "ls", arguments: "{}" };
  const events = [
    { type: "response.reasoning_summary_part.added", item_id: "rs_1", summary_index: 0 },
    { type: "response.reasoning_summary_text.delta", item_id: "rs_1", summary_index: 0, delta: "Look" },
    { type: "response.reasoning_text.delta", item_id: "rs_1", content_index: 1, delta: "raw" },
    { type: "response.output_item.done", item: reasoning },
    { type: "response.output_item.done", item: functionCall },
    completed,
  ];
  await using server = await ModelServer.start(streaming(sse(...events)));
  const client = responsesClient({ baseUrl: server.baseUrl });
  assert.deepEqual((await answer(client)).slice(1, -1), [
    { type: "reasoning_summary_part", summaryIndex: 0, itemId: "rs_1" },
    { type: "reasoning_summary_delta", delta: "Look", summaryIndex: 0, itemId: "rs_1" },
    { type: "reasoning_text_delta", delta: "raw", contentIndex: 1, itemId: "rs_1" },
    { type: "item_done", item: reasoning },
    { type: "item_done", item: functionCall },
  ]);
  await client.close();
});

test("the request has Codex's shape: items without ids, and nothing that only answers have", async () => {
  await using server = await ModelServer.start(streaming(wholeAnswer()));
  const client = responsesClient({
    baseUrl: `${server.baseUrl}/`,
    apiKey: "sk-test-key\n",
    headers: { "X-Org": "acme" },
    queryParams: { "api-version": "7" },
    originator: "tester",
  });
  const image = { type: "input_image" as const, image_url: "data:image/png;base64,AA==" };
  const input: ResponseItem[] = [
    developerMessage("rules"),
    userMessage([{ type: "input_text", text: "look" }, image]),
    { type: "reasoning", id: "rs_1", summary: [{ type: "summary_text", text: "hm" }], encrypted_content: "bW9jaw==" },
    { type: "function_call", id: "fc_1", name: "ls", arguments: "{}", call_id: "c1" },
    functionCallOutput("c1", "a.txt"),
    { type: "custom_tool_call", id: "ctc_1", status: "completed", call_id: "c2", name: "apply_patch", input: "*" },
    { type: "custom_tool_call_output", call_id: "c2", output: "ok" },
    { type: "local_shell_call", id: "l", call_id: "c3", status: "completed", action: { type: "exec" } },
    { type: "web_search_call", id: "ws", status: "completed", action: { type: "search" } },
    { type: "ghost_snapshot", ghost_commit: { id: "abc" } },
    { type: "compaction", encrypted_content: "xyz" },
    {
      type: "message",
      id: "msg_1",
      role: "assistant",
      content: [Object.assign({ type: "output_text" as const, text: "done" }, { annotations: [] })],
    },
    unknownKind("novelty", { id: "n1" }),
  ];
  const tool = {
    type: "function" as const,
    name: "ls",
    description: "Lists.",
    strict: false,
    parameters: { type: "object", properties: {} },
  };
  const schema = { type: "object", properties: { n: { type: "number" } } };
  const request = asking("", {
    input,
    tools: [tool],
    parallelToolCalls: true,
    reasoning: { effort: "high", summary: "auto" },
    outputSchema: schema,
    subagent: "review",
  });
  await answer(client, request);
  const [received] = server.requests;
  assert.ok(received);
  assert.equal(received.method, "POST");
  assert.equal(received.url, "/v1/responses?api-version=7");
  const { headers } = received;
  assert.deepEqual(
    {
      authorization: headers.authorization,
      accept: headers.accept,
      "content-type": headers["content-type"],
      session_id: headers.session_id,
      originator: headers.originator,
      "x-org": headers["x-org"],
      "x-openai-subagent": headers["x-openai-subagent"],
      agent: headers["user-agent"],
    },
    {
      authorization: "Bearer sk-test-key",
      accept: "text/event-stream",
      "content-type": "application/json",
      session_id: THREAD_ID,
      originator: "tester",
      "x-org": "acme",
      "x-openai-subagent": "review",
      agent: `tester (${process.platform}; ${process.arch})`,
    },
  );
  assert.deepEqual(JSON.parse(received.body), {
    model: "test-model",
    instructions: "Be brief.",
    input: [
      { type: "message", role: "developer", content: [{ type: "input_text", text: "rules" }] },
      { type: "message", role: "user", content: [{ type: "input_text", text: "look" }, image] },
      {
        type: "reasoning",
        summary: [{ type: "summary_text", text: "hm" }],
        content: null,
        encrypted_content: "bW9jaw==",
      },
      { type: "function_call", name: "ls", arguments: "{}", call_id: "c1" },
      { type: "function_call_output", call_id: "c1", output: "a.txt" },
      { type: "custom_tool_call", status: "completed", call_id: "c2", name: "apply_patch", input: "*" },
      { type: "custom_tool_call_output", call_id: "c2", output: "ok" },
      { type: "local_shell_call", call_id: "c3", status: "completed", action: { type: "exec" } },
      { type: "web_search_call", status: "completed", action: { type: "search" } },
      { type: "compaction", encrypted_content: "xyz" },
      { type: "message", role: "assistant", content: [{ type: "output_text", text: "done" }] },
      { type: "novelty", id: "n1" },
    ],
    tools: [tool],
    tool_choice: "auto",
    parallel_tool_calls: true,
    reasoning: { effort: "high", summary: "auto" },
    store: false,
    stream: true,
    include: ["reasoning.encrypted_content"],
    prompt_cache_key: THREAD_ID,
    text: { format: { type: "json_schema", strict: true, schema, name: "codex_output_schema" } },
  });
  await client.close();
});

test("a model that does not reason is not asked for its reasoning", async () => {
  await using server = await ModelServer.start(streaming(wholeAnswer()));
  const client = responsesClient({ baseUrl: server.baseUrl });
  await answer(client);
  const { reasoning, include, text } = JSON.parse(server.requests[0]?.body ?? "") as Record<string, unknown>;
  assert.deepEqual({ reasoning, include, text }, { reasoning: null, include: [], text: undefined });
  await client.close();
});

test("the answer ends at response.completed, though the stream stays open", async () => {
  const closed = latch();
  await using server = await ModelServer.start((response) => {
    response.on("close", () => closed.open());
    response.writeHead(200, { "content-type": "text/event-stream" }).write(wholeAnswer("ok"));
  });
  const client = responsesClient({ baseUrl: server.baseUrl, clock: new EagerClock() });
  assert.equal(typesOf(await answer(client)).at(-1), "completed");
  await closed.opened;
  await client.close();
});

test("what follows response.completed is thrown away, and the connection serves again", async () => {
  await using server = await ModelServer.start(streaming(`${wholeAnswer("ok")}${sse(...message("more"))}`));
  const client = responsesClient({ baseUrl: server.baseUrl });
  for (let n = 0; n < 5; n++) assert.deepEqual(textDeltas(await answer(client)), ["ok"]);
  // A request that follows in the same tick may come before the pool has its connection back.
  assert.ok(server.connections <= 2, `${server.connections} connections`);
  await client.close();
  await server.disconnected();
});

test("rate limits are read from the headers", async () => {
  const headers = {
    "x-codex-primary-used-percent": "12.5",
    "x-codex-primary-window-minutes": "300",
    "x-codex-primary-reset-at": "1700000000",
    "x-codex-secondary-used-percent": "0",
    "x-codex-secondary-window-minutes": "0",
    "x-codex-credits-has-credits": "true",
    "x-codex-credits-unlimited": "0",
    "x-codex-credits-balance": " 9.99 ",
  };
  await using server = await ModelServer.start(streaming(wholeAnswer(), headers));
  const client = responsesClient({ baseUrl: server.baseUrl });
  assert.deepEqual((await answer(client))[0], {
    type: "rate_limits",
    snapshot: {
      primary: { used_percent: 12.5, window_minutes: 300, resets_at: 1700000000 },
      secondary: null,
      credits: { has_credits: true, unlimited: false, balance: "9.99" },
      plan_type: null,
    },
  });
  await client.close();
});

test("numbers that no client could read are told as none: tokens, and the windows of limits", async () => {
  const odd = [1.6, -5, 1e30, "7", null].map((tokens) => ({
    type: "response.completed",
    response: { id: "r", usage: { input_tokens: tokens, output_tokens: 2, total_tokens: tokens } },
  }));
  const told: unknown[] = [];
  for (const [index, event] of odd.entries()) {
    const minutes = ["1.5", "1e30", "soon", "NaN", "300"][index] ?? "";
    const headers = { "x-codex-primary-used-percent": "5", "x-codex-primary-window-minutes": minutes };
    await using server = await ModelServer.start(streaming(sse(event), headers));
    const client = responsesClient({ baseUrl: server.baseUrl });
    for (const each of await answer(client)) {
      if (each.type === "completed") told.push([each.usage?.input_tokens, each.usage?.total_tokens]);
      else if (each.type === "rate_limits") told.push(each.snapshot.primary?.window_minutes);
    }
    await client.close();
  }
  assert.deepEqual(told, [null, [2, 2], null, [0, 2], null, [0, 2], null, [0, 2], 300, [0, 2]]);
});

test("what is unknown, cut or out of place is passed over", async () => {
  const text = [
    ": a comment\n\n",
    "data: [DONE]\n\n",
    'data: {"type":"response.output_text.delta","delta":\n\n',
    "data: null\n\ndata: []\n\ndata: 7\n\n",
    "nonsense\n\nid: 3\nretry: 10\n\n",
    sse({ type: "response.invented" }, {}, created),
    sse({ type: "response.output_text.delta" }, { type: "response.output_item.done" }),
    'data: {"type":"response.output_item.done","item":{"type":"function_call","name":7}}\n\n',
    'data: {"type":"response.output_text.delta",\r\ndata: "delta":"two lines"}\r\n\r\n',
    sse(completed, ...message("late")),
  ].join("");
  await using server = await ModelServer.start(streaming(text));
  const client = responsesClient({ baseUrl: server.baseUrl });
  assert.deepEqual((await answer(client)).slice(1, -1), [
    { type: "created", responseId: "resp_1" },
    { type: "text_delta", delta: "two lines" },
  ]);
  await client.close();
});

test("an optional field that is null is one that is not there", async () => {
  const items = [
    { type: "message", role: "assistant", id: null, phase: null, content: [{ type: "output_text", text: "hi" }] },
    { type: "web_search_call", id: "ws_1", status: null, action: null },
    { type: "function_call", id: null, namespace: null, name: "f", arguments: "{}", call_id: "c1" },
    { type: "custom_tool_call", status: null, name: "g", input: "", call_id: "c2" },
  ];
  const events = items.map((done) => ({ type: "response.output_item.done", item: done }));
  await using server = await ModelServer.start(streaming(sse(...events, { type: "response.completed" })));
  const client = responsesClient({ baseUrl: server.baseUrl });
  const came = (await answer(client)).flatMap((event) => (event.type === "item_done" ? [event.item] : []));
  const present = (item: object) => Object.fromEntries(Object.entries(item).filter(([, value]) => value !== null));
  assert.deepEqual(came, items.map(present));
  await client.close();
});

test("items and parts of unknown kinds arrive as they are", async () => {
  const item = { type: "image_generation_call", id: "ig_1", result: "AA==" };
  const refusal = { type: "message", role: "assistant", content: [{ type: "refusal", refusal: "no" }] };
  const events = [item, refusal].map((done) => ({ type: "response.output_item.done", item: done }));
  await using server = await ModelServer.start(streaming(sse(...events, { type: "response.completed" })));
  const client = responsesClient({ baseUrl: server.baseUrl });
  assert.deepEqual((await answer(client)).slice(1), [
    { type: "item_done", item },
    { type: "item_done", item: refusal },
    { type: "completed" },
  ]);
  await client.close();
});

test("a key may be asked for at each request", async () => {
  await using server = await ModelServer.start(streaming(wholeAnswer()));
  const keys = ["first-key", undefined];
  const client = responsesClient({ baseUrl: server.baseUrl, apiKey: async () => keys.shift() });
  await answer(client);
  await answer(client);
  assert.deepEqual(
    server.requests.map((request) => request.headers.authorization),
    ["Bearer first-key", undefined],
  );
  await client.close();
});

test("credentials in the base URL are sent as such", async () => {
  await using server = await ModelServer.start(streaming(wholeAnswer()));
  const client = responsesClient({ baseUrl: server.baseUrl.replace("//", "//me:p%40ss@") });
  await answer(client);
  assert.equal(server.requests[0]?.headers.authorization, `Basic ${Buffer.from("me:p@ss").toString("base64")}`);
  await client.close();
});

test("the list of models is fetched, or said to hold still", async () => {
  const list = { models: [{ slug: "m" }] };
  await using server = await ModelServer.start(
    (response) => void response.writeHead(200, { etag: '"1"' }).end(JSON.stringify(list)),
    (response) => void response.writeHead(304).end(),
  );
  const client = responsesClient({ baseUrl: server.baseUrl });
  const { signal } = new AbortController();
  assert.deepEqual(await client.fetchModels({ signal }), { notModified: false, etag: '"1"', body: list });
  assert.deepEqual(await client.fetchModels({ etag: '"1"', signal }), { notModified: true });
  assert.deepEqual(
    server.requests.map(({ method, url, headers }) => [method, url, headers["if-none-match"]]),
    [
      ["GET", "/v1/models", undefined],
      ["GET", "/v1/models", '"1"'],
    ],
  );
  await client.close();
});

test("a base URL that is none is refused when the client is made", () => {
  for (const baseUrl of ["", "nonsense", "ftp://x/v1"]) {
    assert.throws(() => responsesClient({ baseUrl }), { code: "invalid_request" });
  }
  assert.throws(() => responsesClient({ baseUrl: "http://x", requestMaxRetries: -1 }), { code: "invalid_request" });
});
