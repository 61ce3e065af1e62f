import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import {
  APICallError,
  type LanguageModelV2,
  type LanguageModelV3,
  type LanguageModelV4,
  type LanguageModelV4CallOptions,
  type LanguageModelV4StreamPart,
} from "@ai-sdk/provider";
import { aiSdkClient } from "../../src/model/ai-sdk.ts";
import type { ModelEvent } from "../../src/model/model-client.ts";
import { ModelError } from "../../src/protocol/model-error.ts";
import type { ResponseItem } from "../../src/protocol/response-item.ts";
import { functionCallOutput, textOf, userMessage } from "../../src/protocol/response-item.ts";
import { latch } from "./latch.ts";
import { answer, asking, textDeltas } from "./requests.ts";

const IMAGE = { type: "input_image" as const, image_url: "data:image/png;base64,AA==" };
const unused = () => Promise.reject(new Error("not used"));

const usage = (input: number, output: number) => ({
  inputTokens: { total: input, noCache: input - 1, cacheRead: 1, cacheWrite: 0 },
  outputTokens: { total: output, text: output - 2, reasoning: 2 },
});
const finish = (unified: "stop" | "tool-calls" | "length" | "content-filter" | "error" | "interrupted" | "other") =>
  ({ type: "finish", usage: usage(10, 5), finishReason: { unified, raw: undefined } }) as const;

function model(
  stream: (options: LanguageModelV4CallOptions) => ReadableStream<LanguageModelV4StreamPart>,
): LanguageModelV4 {
  return {
    specificationVersion: "v4",
    provider: "fake",
    modelId: "fake-1",
    supportedUrls: {},
    doGenerate: unused,
    doStream: async (options) => ({ stream: stream(options) }),
  };
}

function parts<T>(...chunks: T[]): ReadableStream<T> {
  return new ReadableStream({
    start(controller) {
      for (const chunk of chunks) controller.enqueue(chunk);
      controller.close();
    },
  });
}

const itemsOf = (events: readonly ModelEvent[]): ResponseItem[] =>
  events.flatMap((event) => (event.type === "item_done" ? [event.item] : []));

/** Without the ids, which are made up. */
const bare = (item: ResponseItem) => {
  const { id, ...rest } = item as { id?: string };
  assert.equal(typeof id, "string");
  return rest;
};

test("text, reasoning and calls become items, and keep what their provider wants back", async () => {
  const client = aiSdkClient(
    model(() =>
      parts<LanguageModelV4StreamPart>(
        { type: "stream-start", warnings: [] },
        { type: "response-metadata", id: "r1" },
        { type: "reasoning-start", id: "0" },
        { type: "reasoning-delta", id: "0", delta: "hm" },
        { type: "reasoning-delta", id: "0", delta: "", providerMetadata: { acme: { signature: "s" } } },
        { type: "reasoning-end", id: "0" },
        { type: "text-start", id: "1" },
        { type: "text-delta", id: "1", delta: "Hel" },
        { type: "text-delta", id: "1", delta: "lo" },
        { type: "text-end", id: "1" },
        { type: "tool-input-start", id: "c1", toolName: "ls" },
        { type: "tool-call", toolCallId: "c1", toolName: "ls", input: '{"a":1}', providerMetadata: { acme: { t: 1 } } },
        { type: "tool-call", toolCallId: "c2", toolName: "search", input: "{}", providerExecuted: true },
        finish("tool-calls"),
      ),
    ),
  );
  const events = await answer(client);
  assert.deepEqual(events[0], { type: "created", responseId: "r1" });
  assert.deepEqual(textDeltas(events), ["Hel", "lo"]);
  assert.deepEqual(itemsOf(events).map(bare), [
    {
      type: "reasoning",
      summary: [],
      content: [{ type: "reasoning_text", text: "hm" }],
      provider_metadata: { acme: { signature: "s" } },
    },
    { type: "message", role: "assistant", content: [{ type: "output_text", text: "Hello" }] },
    {
      type: "function_call",
      call_id: "c1",
      name: "ls",
      arguments: '{"a":1}',
      provider_metadata: { acme: { t: 1 } },
    },
  ]);
  assert.deepEqual(events.at(-1), {
    type: "completed",
    responseId: "r1",
    usage: {
      input_tokens: 10,
      cached_input_tokens: 1,
      output_tokens: 5,
      reasoning_output_tokens: 2,
      total_tokens: 15,
    },
  });
  assert.equal(client.providerId, "fake");
});

test("texts that the provider tells apart are items of their own", async () => {
  const metadata = (itemId: string) => ({ providerMetadata: { acme: { itemId } } });
  const client = aiSdkClient(
    model(() =>
      parts<LanguageModelV4StreamPart>(
        { type: "text-start", id: "1", ...metadata("m1") },
        { type: "text-delta", id: "1", delta: "one" },
        { type: "text-end", id: "1", ...metadata("m1") },
        { type: "text-start", id: "2", ...metadata("m2") },
        { type: "text-delta", id: "2", delta: "two" },
        { type: "text-end", id: "2" },
        finish("stop"),
      ),
    ),
  );
  assert.deepEqual(
    itemsOf(await answer(client)).map((item) => (item as { provider_metadata?: unknown }).provider_metadata),
    [{ acme: { itemId: "m1" } }, { acme: { itemId: "m2" } }],
  );
});

test("the request becomes call options", async () => {
  let seen: LanguageModelV4CallOptions | undefined;
  const fake = model((options) => {
    seen = options;
    return parts<LanguageModelV4StreamPart>(finish("stop"));
  });
  const asked: string[] = [];
  const client = aiSdkClient(
    (modelId) => {
      asked.push(modelId);
      return fake;
    },
    { callOptions: () => ({ temperature: 0 }) },
  );
  const functionCall = Object.assign(
    { type: "function_call" as const, call_id: "c1", name: "ls", arguments: '{"a":1}' },
    { provider_metadata: { acme: { t: 1 } } },
  );
  const signed = Object.assign(
    { type: "reasoning" as const, summary: [], content: [{ type: "reasoning_text", text: "hm" }] },
    { provider_metadata: { acme: { signature: "s" } } },
  );
  const input: ResponseItem[] = [
    userMessage([
      { type: "input_text", text: "look" },
      IMAGE,
      { type: "input_image", image_url: "https://x.test/a.png" },
    ]),
    { type: "reasoning", summary: [{ type: "summary_text", text: "another provider's" }] },
    signed,
    functionCall,
    functionCallOutput("c1", "a.txt"),
  ];
  const tool = {
    type: "function" as const,
    name: "ls",
    description: "Lists.",
    strict: true,
    parameters: { type: "object" },
  };
  const { signal } = new AbortController();
  const outputSchema = { type: "object" };
  const reasoning = { effort: "high", summary: null };
  await answer(client, asking("", { input, tools: [tool], reasoning, outputSchema }), signal);
  assert.deepEqual(asked, ["test-model"]);
  assert.equal(client.providerId, "ai-sdk");
  assert.deepEqual(seen, {
    prompt: [
      { role: "system", content: "Be brief." },
      {
        role: "user",
        content: [
          { type: "text", text: "look" },
          { type: "file", mediaType: "image/png", data: { type: "data", data: "AA==" } },
          { type: "file", mediaType: "image/*", data: { type: "url", url: new URL("https://x.test/a.png") } },
        ],
      },
      {
        role: "assistant",
        content: [
          { type: "reasoning", text: "hm", providerOptions: { acme: { signature: "s" } } },
          {
            type: "tool-call",
            toolCallId: "c1",
            toolName: "ls",
            input: { a: 1 },
            providerOptions: { acme: { t: 1 } },
          },
        ],
      },
      {
        role: "tool",
        content: [{ type: "tool-result", toolCallId: "c1", toolName: "ls", output: { type: "text", value: "a.txt" } }],
      },
    ],
    tools: [{ type: "function", name: "ls", description: "Lists.", inputSchema: { type: "object" }, strict: true }],
    toolChoice: { type: "auto" },
    responseFormat: { type: "json", schema: outputSchema, name: "codex_output_schema" },
    reasoning: "high",
    abortSignal: signal,
    temperature: 0,
  });
});

test("models of the older versions fit too", async () => {
  let prompt: unknown;
  const v2: LanguageModelV2 = {
    specificationVersion: "v2",
    provider: "old",
    modelId: "m",
    supportedUrls: {},
    doGenerate: unused,
    doStream: async (options) => {
      prompt = options.prompt.at(-1);
      return {
        stream: parts(
          { type: "text-start", id: "1" },
          { type: "text-delta", id: "1", delta: "ok" },
          {
            type: "finish",
            finishReason: "stop",
            usage: {
              inputTokens: 3,
              outputTokens: 2,
              totalTokens: 6,
              cachedInputTokens: 1,
              reasoningTokens: undefined,
            },
          },
        ),
      };
    },
  };
  const v3: LanguageModelV3 = {
    specificationVersion: "v3",
    provider: "old",
    modelId: "m",
    supportedUrls: {},
    doGenerate: unused,
    doStream: async () => ({
      stream: parts({ type: "finish", finishReason: { unified: "stop", raw: "end" }, usage: usage(1, 2) }),
    }),
  };
  const events = await answer(aiSdkClient(v2), asking("", { input: [userMessage([IMAGE])] }));
  assert.deepEqual(prompt, { role: "user", content: [{ type: "file", mediaType: "image/png", data: "AA==" }] });
  assert.deepEqual(textDeltas(events), ["ok"]);
  assert.deepEqual(events.at(-1), {
    type: "completed",
    usage: { input_tokens: 3, cached_input_tokens: 1, output_tokens: 2, reasoning_output_tokens: 0, total_tokens: 6 },
  });
  assert.equal((await answer(aiSdkClient(v3))).at(-1)?.type, "completed");
});

const call = (options: Partial<ConstructorParameters<typeof APICallError>[0]>) =>
  new APICallError({ message: "failed", url: "http://x", requestBodyValues: {}, ...options });

const failures: Record<string, [error: unknown, expected: Partial<ModelError>]> = {
  "a status": [
    call({ statusCode: 503, responseBody: "later", responseHeaders: { "retry-after": "3" } }),
    {
      message: "unexpected status 503 Service Unavailable: later",
      retryable: true,
      retryAfterMs: 3000,
      httpStatus: 503,
    },
  ],
  "a full context": [
    call({ statusCode: 400, responseBody: '{"error":{"code":"context_length_exceeded"}}' }),
    { info: "context_window_exceeded", retryable: false },
  ],
  "a lost connection": [
    call({ message: "socket hang up", isRetryable: true }),
    { message: "stream disconnected before completion: socket hang up", retryable: true },
  ],
  "anything else": [new TypeError("no key"), { message: "no key", retryable: false }],
};
for (const [name, [error, expected]] of Object.entries(failures)) {
  test(`${name} is a ModelError, thrown or in the stream`, async () => {
    const thrown = { ...model(() => parts()), doStream: () => Promise.reject(error) };
    const streamed = model(() => parts<LanguageModelV4StreamPart>({ type: "error", error }));
    const broken = model(() => new ReadableStream({ pull: (controller) => controller.error(error) }));
    for (const fake of [thrown, streamed, broken]) {
      await assert.rejects(answer(aiSdkClient(fake)), (seen) => {
        assert.ok(seen instanceof ModelError, String(seen));
        for (const [field, value] of Object.entries(expected)) assert.deepEqual(Reflect.get(seen, field), value);
        return true;
      });
    }
  });
}

const ends: Record<string, [part: LanguageModelV4StreamPart[], expected: object]> = {
  "no finish": [[{ type: "text-start", id: "1" }], { retryable: true, info: "other" }],
  "a length limit": [[finish("length")], { message: /reason: max_output_tokens$/, retryable: false }],
  "a content filter": [[finish("content-filter")], { message: /reason: content_filter$/, retryable: true }],
  "an error as its finish": [[finish("error")], { retryable: true }],
};
for (const [name, [stream, expected]] of Object.entries(ends)) {
  test(`an answer with ${name} is an error`, async () => {
    await assert.rejects(answer(aiSdkClient(model(() => parts(...stream)))), expected);
  });
}

test("an answer that is cut short keeps what it said, and tells what it cost", async () => {
  const said: LanguageModelV4StreamPart[] = [
    { type: "text-start", id: "1" },
    { type: "text-delta", id: "1", delta: "half" },
    finish("length"),
  ];
  const events: ModelEvent[] = [];
  const asked = async () => {
    const client = aiSdkClient(model(() => parts(...said)));
    for await (const event of client.stream(asking("x"), { signal: new AbortController().signal })) events.push(event);
  };
  await assert.rejects(asked(), (error) => error instanceof ModelError && (error.usage?.total_tokens ?? 0) > 0);
  assert.deepEqual(
    events.flatMap((event) => (event.type === "item_done" ? [textOf(event.item)] : [])),
    ["half"],
  );
});

test("an abort rejects at once, though the model ignores it, and cancels its stream", async () => {
  const started = latch();
  const cancelled = latch();
  const deaf = model(
    () =>
      new ReadableStream({
        pull() {
          started.open();
          return new Promise(() => {});
        },
        cancel: () => cancelled.open(),
      }),
  );
  const controller = new AbortController();
  const reading = answer(aiSdkClient(deaf), asking("x"), controller.signal);
  await started.opened;
  controller.abort("enough");
  await assert.rejects(reading, (reason) => reason === "enough");
  await cancelled.opened;
  assert.equal(getEventListeners(controller.signal, "abort").length, 0);
});

test("a stream that comes after the abort is cancelled", async () => {
  const asked = latch();
  const opening = latch<{ stream: ReadableStream<LanguageModelV4StreamPart> }>();
  const cancelled = latch();
  const slow: LanguageModelV4 = {
    ...model(() => parts()),
    doStream: () => {
      asked.open();
      return opening.opened;
    },
  };
  const controller = new AbortController();
  const reading = answer(aiSdkClient(slow), asking("x"), controller.signal);
  await asked.opened;
  controller.abort("enough");
  await assert.rejects(reading, (reason) => reason === "enough");
  opening.open({ stream: new ReadableStream({ cancel: () => cancelled.open() }) });
  await cancelled.opened;
});

test("a consumer that leaves early cancels the stream", async () => {
  const cancelled = latch();
  const endless = model(
    () =>
      new ReadableStream({
        pull: (controller) => controller.enqueue({ type: "text-delta", id: "1", delta: "x" }),
        cancel: () => cancelled.open(),
      }),
  );
  for await (const event of aiSdkClient(endless).stream(asking("x"), new AbortController())) {
    if (event.type === "text_delta") break;
  }
  await cancelled.opened;
});
