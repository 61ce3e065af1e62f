/** The clients against a double of the APIs that others wrote. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { LLMock } from "@copilotkit/aimock";
import { chatClient } from "../../src/model/chat-client.ts";
import type { ModelClient, ModelEvent } from "../../src/model/model-client.ts";
import { responsesClient } from "../../src/model/responses-client.ts";
import type { FunctionCallItem } from "../../src/protocol/response-item.ts";
import { functionCallOutput, userMessage } from "../../src/protocol/response-item.ts";
import { EagerClock } from "./eager-clock.ts";
import { answer, asking, textDeltas } from "./requests.ts";

const double = new LLMock({ port: 0 });
const weather = {
  type: "function" as const,
  name: "get_weather",
  description: "Tells the weather.",
  strict: false,
  parameters: { type: "object", properties: { city: { type: "string" } } },
};

before(async () => {
  double.onToolResult("call_w", { content: "It is sunny in Paris." });
  double.onMessage("weather", { toolCalls: [{ name: "get_weather", arguments: '{"city":"Paris"}', id: "call_w" }] });
  double.onMessage("hello", { content: "Hi there, naïve 世界!" });
  double.onMessage("think", { content: "Done.", reasoning: "Let me think." });
  await double.start();
});
after(() => double.stop());

const clients: Record<string, () => ModelClient> = {
  "the Responses client": () =>
    responsesClient({ baseUrl: `${double.url}/v1`, apiKey: "test-key", clock: new EagerClock() }),
  "the chat client": () => chatClient({ baseUrl: `${double.url}/v1`, apiKey: "test-key", clock: new EagerClock() }),
};

const callsOf = (events: readonly ModelEvent[]): FunctionCallItem[] =>
  events.flatMap((event) => (event.type === "item_done" && event.item.type === "function_call" ? [event.item] : []));

for (const [name, make] of Object.entries(clients)) {
  test(`${name}: a text`, async () => {
    const client = make();
    const events = await answer(client, asking("hello"));
    assert.equal(textDeltas(events).join(""), "Hi there, naïve 世界!");
    const last = events.at(-1);
    assert.ok(last?.type === "completed" && last.usage !== undefined);
    await client.close?.();
  });

  test(`${name}: a call, and the answer to its output`, async () => {
    const client = make();
    const question = userMessage("weather in Paris?");
    const [call] = callsOf(await answer(client, asking("", { input: [question], tools: [weather] })));
    assert.ok(call);
    assert.deepEqual(
      [call.name, call.call_id, JSON.parse(call.arguments)],
      ["get_weather", "call_w", { city: "Paris" }],
    );
    const input = [question, call, functionCallOutput(call.call_id, "sunny")];
    const events = await answer(client, asking("", { input, tools: [weather] }));
    assert.equal(textDeltas(events).join(""), "It is sunny in Paris.");
    await client.close?.();
  });

  test(`${name}: reasoning`, async () => {
    const client = make();
    const events = await answer(client, asking("think"));
    const items = events.flatMap((event) => (event.type === "item_done" ? [event.item.type] : []));
    assert.deepEqual(items, ["reasoning", "message"]);
    await client.close?.();
  });

  test(`${name}: an error, got over silently`, async () => {
    const client = make();
    double.nextRequestError(503, { message: "overloaded" });
    const events = await answer(client, asking("hello"));
    assert.equal(events.at(-1)?.type, "completed");
    await client.close?.();
  });
}
