import assert from "node:assert/strict";
import { test } from "node:test";
import { chatBody } from "../../src/model/chat-body.ts";
import { chatClient } from "../../src/model/chat-client.ts";
import type { ModelEvent } from "../../src/model/model-client.ts";
import { ModelError } from "../../src/protocol/model-error.ts";
import type { ResponseItem } from "../../src/protocol/response-item.ts";
import {
  assistantMessage,
  developerMessage,
  functionCallOutput,
  userMessage,
} from "../../src/protocol/response-item.ts";
import { answering, ModelServer, sse, streaming } from "./model-server.ts";
import { answer, asking, textDeltas } from "./requests.ts";

const IMAGE = { type: "input_image" as const, image_url: "data:image/png;base64,AA==" };

type Delta = Record<string, unknown>;
const chunk = (delta: Delta, finish: string | null = null) => ({
  id: "chatcmpl-1",
  choices: [{ index: 0, delta, finish_reason: finish }],
  usage: null,
});
const usageChunk = {
  id: "chatcmpl-1",
  choices: [],
  usage: {
    prompt_tokens: 9,
    completion_tokens: 4,
    total_tokens: 13,
    prompt_tokens_details: { cached_tokens: 3 },
    completion_tokens_details: { reasoning_tokens: 2 },
  },
};
const DONE = "data: [DONE]\n\n";
const USAGE = {
  input_tokens: 9,
  cached_input_tokens: 3,
  output_tokens: 4,
  reasoning_output_tokens: 2,
  total_tokens: 13,
};

async function answerTo(text: string): Promise<ModelEvent[]> {
  await using server = await ModelServer.start(streaming(text));
  const client = chatClient({ baseUrl: server.baseUrl, requestMaxRetries: 0 });
  try {
    return withoutIds(await answer(client));
  } finally {
    await client.close();
  }
}

/** Ids of items are made up; each is replaced by its number. */
function withoutIds(events: ModelEvent[]): ModelEvent[] {
  const numbers = new Map<string, string>();
  const text = JSON.stringify(events).replace(/[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f-]{21}/g, (id) => {
    numbers.set(id, numbers.get(id) ?? `#${numbers.size + 1}`);
    return numbers.get(id) ?? "";
  });
  return JSON.parse(text) as ModelEvent[];
}

test("reasoning, text and calls become items", async () => {
  const events = await answerTo(
    sse(
      chunk({ role: "assistant", content: "" }),
      chunk({ reasoning_content: "let " }),
      chunk({ reasoning_content: "me see" }),
      chunk({ content: "It " }),
      chunk({ content: "is." }),
      chunk({ tool_calls: [{ index: 0, id: "c0", type: "function", function: { name: "ls", arguments: "" } }] }),
      chunk({ tool_calls: [{ index: 1, id: "c1", function: { name: "cat", arguments: '{"f"' } }] }),
      chunk({ tool_calls: [{ index: 1, function: { arguments: ":1}" } }] }),
      chunk({}, "tool_calls"),
      usageChunk,
    ) + DONE,
  );
  assert.deepEqual(events.slice(1), [
    { type: "created", responseId: "chatcmpl-1" },
    { type: "item_added", item: { type: "reasoning", id: "#1", summary: [] } },
    { type: "reasoning_text_delta", delta: "let ", contentIndex: 0, itemId: "#1" },
    { type: "reasoning_text_delta", delta: "me see", contentIndex: 0, itemId: "#1" },
    {
      type: "item_done",
      item: { type: "reasoning", id: "#1", summary: [], content: [{ type: "reasoning_text", text: "let me see" }] },
    },
    { type: "item_added", item: { type: "message", role: "assistant", id: "#2", content: [] } },
    { type: "text_delta", delta: "It ", itemId: "#2" },
    { type: "text_delta", delta: "is.", itemId: "#2" },
    {
      type: "item_done",
      item: { type: "message", role: "assistant", id: "#2", content: [{ type: "output_text", text: "It is." }] },
    },
    { type: "item_done", item: { type: "function_call", id: "#3", call_id: "c0", name: "ls", arguments: "{}" } },
    { type: "item_done", item: { type: "function_call", id: "#4", call_id: "c1", name: "cat", arguments: '{"f":1}' } },
    { type: "completed", responseId: "chatcmpl-1", usage: USAGE },
  ]);
});

const ends: Record<string, [text: string, usage: boolean]> = {
  "[DONE] without usage": [sse(chunk({ content: "ok" }), chunk({}, "stop")) + DONE, false],
  "the end of the stream": [sse(chunk({ content: "ok" }, "stop")), false],
  "usage in the last chunk": [sse(chunk({ content: "ok" }), { ...chunk({}, "stop"), usage: usageChunk.usage }), true],
  "usage in every chunk": [
    sse({ ...chunk({ content: "o" }), usage: usageChunk.usage }, chunk({ content: "k" }), chunk({}, "stop")) + DONE,
    true,
  ],
};
for (const [name, [text, hasUsage]] of Object.entries(ends)) {
  test(`an answer may end with ${name}`, async () => {
    const events = await answerTo(text);
    assert.equal(textDeltas(events).join(""), "ok");
    assert.deepEqual(events.at(-1), {
      type: "completed",
      responseId: "chatcmpl-1",
      ...(hasUsage && { usage: USAGE }),
    });
  });
}

test("servers differ: calls without index or id, arguments as an object, content in parts", async () => {
  const events = await answerTo(
    sse(
      chunk({ content: [{ type: "text", text: "hi" }] }),
      chunk({ tool_calls: [{ function: { name: "a", arguments: { x: 1 } } }] }),
      chunk({ tool_calls: [{ id: "c2", function: { name: "b", arguments: "{}" } }, null, {}] }, "stop"),
    ),
  );
  assert.deepEqual(textDeltas(events), ["hi"]);
  const calls = events.flatMap((event) =>
    event.type === "item_done" && event.item.type === "function_call" ? [event.item] : [],
  );
  assert.deepEqual(
    calls.map(({ call_id, name, arguments: args }) => [call_id.replace(/#\d+/, "#"), name, args]).slice(0, 2),
    [
      ["call_#", "a", '{"x":1}'],
      ["c2", "b", "{}"],
    ],
  );
});

const failures: Record<string, [text: string, message: string, retryable: boolean]> = {
  "a stream without a finish reason": [
    sse(chunk({ content: "ha" })) + DONE,
    "stream disconnected before completion: stream closed before response.completed",
    true,
  ],
  "an error chunk": [
    sse({ error: { message: "engine died" } }),
    "stream disconnected before completion: engine died",
    true,
  ],
};
for (const [name, [text, messageText, retryable]] of Object.entries(failures)) {
  test(`${name} is an error`, async () => {
    await assert.rejects(answerTo(text), (error) => {
      assert.ok(error instanceof ModelError);
      assert.deepEqual([error.message, error.retryable], [messageText, retryable]);
      return true;
    });
  });
}

for (const [finish, text, retryable] of [
  ["length", "Incomplete response returned, reason: max_output_tokens", false],
  [
    "content_filter",
    "stream disconnected before completion: Incomplete response returned, reason: content_filter",
    true,
  ],
] as const) {
  for (const usage of [undefined, { prompt_tokens: 3, completion_tokens: 4 }]) {
    test(`an answer that ends by ${finish} keeps what it said, but no call, and tells why and ${usage ? "what it cost" : "no cost"}`, async () => {
      const half = { tool_calls: [{ index: 0, id: "c", function: { name: "a", arguments: '{"x' } }] };
      const chunks = [
        chunk({ content: "ha" }),
        chunk(half),
        chunk({}, finish),
        ...(usage ? [{ choices: [], usage }] : []),
      ];
      await using server = await ModelServer.start(streaming(sse(...chunks) + DONE));
      const client = chatClient({ baseUrl: server.baseUrl, requestMaxRetries: 0 });
      const events: ModelEvent[] = [];
      const reading = async () => {
        for await (const event of client.stream(asking("x"), { signal: new AbortController().signal })) {
          events.push(event);
        }
      };
      await assert.rejects(reading(), (error) => {
        assert.ok(error instanceof ModelError);
        assert.deepEqual([error.message, error.retryable, error.usage?.total_tokens], [text, retryable, usage && 7]);
        return true;
      });
      assert.deepEqual(
        events.flatMap((event) => (event.type === "item_done" ? [event.item.type] : [])),
        ["message"],
      );
      await client.close();
    });
  }
}

test("HTTP errors are those of the Responses client", async () => {
  await using server = await ModelServer.start(answering(400, { error: { code: "context_length_exceeded" } }));
  const client = chatClient({ baseUrl: server.baseUrl });
  await assert.rejects(answer(client), { info: "context_window_exceeded" });
  await client.close();
});

test("the history becomes messages", async () => {
  await using server = await ModelServer.start(streaming(sse(chunk({ content: "ok" }, "stop"))));
  const client = chatClient({ baseUrl: server.baseUrl, apiKey: "k-123456" });
  const reasoning = (text: string): ResponseItem => ({
    type: "reasoning",
    summary: [],
    content: [{ type: "reasoning_text", text }],
  });
  const functionCall = (id: string, name: string): ResponseItem => ({
    type: "function_call",
    call_id: id,
    name,
    arguments: "{}",
  });
  const input: ResponseItem[] = [
    developerMessage("rules"),
    userMessage("old question"),
    reasoning("old thought"),
    assistantMessage("old answer"),
    developerMessage("new rule"),
    userMessage([{ type: "input_text", text: "look" }, IMAGE]),
    reasoning("thought"),
    assistantMessage("I look."),
    functionCall("c1", "ls"),
    functionCall("c2", "view"),
    functionCallOutput("c1", "a.txt"),
    functionCallOutput("c2", [{ type: "input_text", text: "here" }, IMAGE]),
    { type: "custom_tool_call", call_id: "c3", name: "apply_patch", input: "*** Begin" },
    { type: "custom_tool_call_output", call_id: "c3", output: "Done" },
    { type: "ghost_snapshot" },
    { type: "reasoning", summary: [{ type: "summary_text", text: "only a summary" }], encrypted_content: "x" },
  ];
  const tool = { type: "function" as const, name: "ls", description: "Lists.", strict: false, parameters: {} };
  const schema = { type: "object" };
  const reasoningEffort = { effort: "low", summary: "auto" };
  await answer(client, asking("", { input, tools: [tool], reasoning: reasoningEffort, outputSchema: schema }));
  const [received] = server.requests;
  assert.equal(received?.url, "/v1/chat/completions");
  assert.equal(received?.headers.authorization, "Bearer k-123456");
  const named = (id: string, name: string, args = "{}") => ({
    id,
    type: "function",
    function: { name, arguments: args },
  });
  assert.deepEqual(JSON.parse(received?.body ?? ""), {
    model: "test-model",
    messages: [
      { role: "system", content: "Be brief.\n\nrules" },
      { role: "user", content: "old question" },
      { role: "assistant", content: "old answer" },
      { role: "system", content: "new rule" },
      {
        role: "user",
        content: [
          { type: "text", text: "look" },
          { type: "image_url", image_url: { url: IMAGE.image_url } },
        ],
      },
      {
        role: "assistant",
        content: "I look.",
        reasoning_content: "thought",
        tool_calls: [named("c1", "ls"), named("c2", "view")],
      },
      { role: "tool", tool_call_id: "c1", content: "a.txt" },
      { role: "tool", tool_call_id: "c2", content: "here" },
      { role: "user", content: [{ type: "image_url", image_url: { url: IMAGE.image_url } }] },
      { role: "assistant", content: null, tool_calls: [named("c3", "apply_patch", '{"input":"*** Begin"}')] },
      { role: "tool", tool_call_id: "c3", content: "Done" },
    ],
    stream: true,
    stream_options: { include_usage: true },
    tools: [{ type: "function", function: { name: "ls", description: "Lists.", parameters: {}, strict: false } }],
    parallel_tool_calls: false,
    reasoning_effort: "low",
    response_format: { type: "json_schema", json_schema: { name: "codex_output_schema", strict: true, schema } },
  });
  await client.close();
});

test("what a model got wrong once is no request that servers refuse for ever", async () => {
  const call = (name: string, args: string, call_id: string): ResponseItem[] => [
    { type: "function_call", name, arguments: args, call_id },
    functionCallOutput(call_id, "no"),
  ];
  const input: ResponseItem[] = [
    userMessage("go"),
    ...call("functions.exec command", "{bad", "1"),
    ...call("", "", "2"),
    ...call("a".repeat(80), "[1]", "3"),
    assistantMessage(""),
    userMessage(""),
    userMessage("on"),
  ];
  const { messages } = chatBody(asking("", { input })) as { messages: Record<string, unknown>[] };
  const calls = messages.flatMap(({ tool_calls }) => (tool_calls ?? []) as { function: Record<string, string> }[]);
  assert.deepEqual(
    calls.map(({ function: { name, arguments: args } }) => [name, args]),
    [
      ["functions_exec_command", '{"arguments":"{bad"}'],
      ["unnamed", "{}"],
      ["a".repeat(64), '{"arguments":"[1]"}'],
    ],
  );
  assert.deepEqual(
    messages.filter(({ role, content }) => role !== "tool" && content === "").map(({ role }) => role),
    [],
  );
});

test("what a tool came to that no call asked for is told as the user's words and pictures", () => {
  const output = [
    { type: "input_text" as const, text: "seen" },
    { type: "input_image" as const, image_url: "data:image/png;base64,AAAA" },
  ];
  const input: ResponseItem[] = [{ type: "function_call_output", name: "its_tool", output }];
  const { messages } = chatBody(asking("", { input })) as { messages: Record<string, unknown>[] };
  assert.deepEqual(
    messages.map(({ role }) => role),
    ["system", "user"],
  );
  assert.match(JSON.stringify(messages), /seen.*data:image\/png;base64,AAAA/);
});
