import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { ManualClock } from "../../src/kernel/clock.ts";
import { call, cut, fail, hang, raw, type Step, say, think, usage, wait, words } from "../../src/model/script.ts";
import { scriptedClient } from "../../src/model/scripted-client.ts";
import { ModelError } from "../../src/protocol/model-error.ts";
import { assistantMessage, userMessage } from "../../src/protocol/response-item.ts";
import { observe, settled } from "../kernel/settled.ts";
import { latch } from "./latch.ts";
import { answer, asking, textDeltas, typesOf } from "./requests.ts";

const NONE = { primary: null, secondary: null, credits: null, plan_type: null };
const DEFAULT_USAGE = {
  input_tokens: 100,
  cached_input_tokens: 0,
  output_tokens: 20,
  reasoning_output_tokens: 0,
  total_tokens: 120,
};

test("without a script, the last user message is acknowledged word by word", async () => {
  const client = scriptedClient();
  const input = [userMessage("first"), assistantMessage("ack: first"), userMessage("hello there")];
  assert.deepEqual(await answer(client, asking("", { input })), [
    { type: "created", responseId: "resp_1" },
    { type: "rate_limits", snapshot: NONE },
    { type: "item_added", item: { type: "message", role: "assistant", id: "msg_1", content: [] } },
    { type: "text_delta", delta: "ack: ", itemId: "msg_1" },
    { type: "text_delta", delta: "hello ", itemId: "msg_1" },
    { type: "text_delta", delta: "there", itemId: "msg_1" },
    {
      type: "item_done",
      item: {
        type: "message",
        role: "assistant",
        id: "msg_1",
        content: [{ type: "output_text", text: "ack: hello there" }],
      },
    },
    { type: "completed", responseId: "resp_1", usage: DEFAULT_USAGE },
  ]);
  assert.equal(client.providerId, "scripted");
  assert.deepEqual([client.asked, client.requests], [1, []]);
});

test("a conversation without a user message is acknowledged too", async () => {
  assert.deepEqual(textDeltas(await answer(scriptedClient(), asking("", { input: [] }))), ["ack: "]);
});

test("plays are played one after another, then the default", async () => {
  const client = scriptedClient(["one", [say("two words", { deltas: ["two", " words"] })]]);
  const texts = [];
  for (const text of ["a", "b", "c"]) texts.push(textDeltas(await answer(client, asking(text))));
  assert.deepEqual(texts, [["one"], ["two", " words"], ["ack: ", "c"]]);
});

test("a function chooses the play by request and number", async () => {
  const client = scriptedClient((request, n) => `${n} ${request.model}`);
  assert.deepEqual(textDeltas(await answer(client)), ["0 ", "test-model"]);
  assert.deepEqual(textDeltas(await answer(client)), ["1 ", "test-model"]);
});

test("a function that throws rejects the stream, not the call", async () => {
  const oops = new Error("oops");
  const client = scriptedClient(() => {
    throw oops;
  });
  const events = client.stream(asking("x"), { signal: new AbortController().signal })[Symbol.asyncIterator]();
  await assert.rejects(events.next(), oops);
  assert.deepEqual(await events.next(), { done: true, value: undefined });
});

test("reasoning, calls, usage and raw events", async () => {
  const play = [
    think("look first"),
    call("shell", { command: "ls" }),
    call("shell", "not json", { callId: "mine" }),
    raw({ type: "reasoning_text_delta", delta: "hm", contentIndex: 0 }),
    usage({ input_tokens: 7, output_tokens: 3 }),
  ];
  const events = await answer(scriptedClient([play]));
  assert.deepEqual(events.slice(2), [
    { type: "item_added", item: { type: "reasoning", id: "rs_1", summary: [] } },
    { type: "reasoning_summary_part", summaryIndex: 0, itemId: "rs_1" },
    { type: "reasoning_summary_delta", delta: "look ", summaryIndex: 0, itemId: "rs_1" },
    { type: "reasoning_summary_delta", delta: "first", summaryIndex: 0, itemId: "rs_1" },
    {
      type: "item_done",
      item: {
        type: "reasoning",
        id: "rs_1",
        summary: [{ type: "summary_text", text: "look first" }],
        encrypted_content: "c2NyaXB0",
      },
    },
    {
      type: "item_done",
      item: { type: "function_call", id: "fc_1", call_id: "call_1", name: "shell", arguments: '{"command":"ls"}' },
    },
    {
      type: "item_done",
      item: { type: "function_call", id: "fc_2", call_id: "mine", name: "shell", arguments: "not json" },
    },
    { type: "reasoning_text_delta", delta: "hm", contentIndex: 0 },
    {
      type: "completed",
      responseId: "resp_1",
      usage: {
        input_tokens: 7,
        cached_input_tokens: 0,
        output_tokens: 3,
        reasoning_output_tokens: 0,
        total_tokens: 10,
      },
    },
  ]);
});

test("a raw completed event ends the play; a cut ends it without one", async () => {
  const early = scriptedClient([[raw({ type: "completed" }), say("never")]]);
  assert.deepEqual(typesOf(await answer(early)), ["created", "rate_limits", "completed"]);
  const lost = scriptedClient([[cut(), say("never")]]);
  assert.deepEqual(typesOf(await answer(lost)), ["created", "rate_limits"]);
});

test("a failure comes after what was said before it", async () => {
  const error = new ModelError("busy", { retryable: true });
  const client = scriptedClient([[say("half"), fail(error), say("never")], [fail("plain")]]);
  const seen: string[] = [];
  const reading = async () => {
    for await (const event of client.stream(asking("x"), { signal: new AbortController().signal }))
      seen.push(event.type);
  };
  await assert.rejects(reading(), error);
  assert.deepEqual(seen, ["created", "rate_limits", "item_added", "text_delta", "item_done"]);
  await assert.rejects(answer(client), { name: "ModelError", message: "plain", retryable: false });
});

test("waits for the clock, a promise, or work", async () => {
  const clock = new ManualClock();
  const gate = latch();
  const work = latch();
  const client = scriptedClient([[wait(50), wait(gate.opened), wait(() => work.opened), say("late")]], { clock });
  const reading = observe(answer(client));
  await settled();
  assert.equal(clock.nextDueAt, 50);
  await clock.advanceAsync(50);
  gate.open();
  await settled();
  assert.equal(reading.outcome, "pending");
  work.open();
  await settled();
  assert.notEqual(reading.outcome, "pending");
});

test("a rejected wait fails the play with that error", async () => {
  const error = new ModelError("gone");
  await assert.rejects(answer(scriptedClient([[wait(() => Promise.reject(error)), say("never")]])), error);
});

const waits: Record<string, () => Step> = {
  "wait(ms)": () => wait(1000),
  "wait(promise)": () => wait(new Promise(() => {})),
  "wait(work)": () => wait(() => new Promise(() => {})),
  hang,
};

for (const [name, step] of Object.entries(waits)) {
  test(`an abort ends ${name} at once, and nothing stays behind`, async () => {
    const clock = new ManualClock();
    const controller = new AbortController();
    const reason = new Error("enough");
    const reading = observe(answer(scriptedClient([[step()]], { clock }), asking("x"), controller.signal));
    await settled();
    assert.equal(reading.outcome, "pending");
    controller.abort(reason);
    await settled();
    assert.deepEqual(reading.outcome, { reason });
    assert.deepEqual([clock.pending, getEventListeners(controller.signal, "abort").length], [0, 0]);
  });
}

test("an abort rejects at any event, and the end stays the end", async () => {
  const total = (await answer(scriptedClient())).length;
  for (let events = 0; events <= total; events++) {
    const controller = new AbortController();
    const reading = scriptedClient().stream(asking("hello"), controller)[Symbol.asyncIterator]();
    for (let n = 0; n < events; n++) await reading.next();
    controller.abort("stop");
    if (events < total) await assert.rejects(reading.next(), (reason) => reason === "stop");
    assert.deepEqual(await reading.next(), { done: true, value: undefined });
  }
});

test("a consumer that leaves early ends the play", async () => {
  const reading = scriptedClient().stream(asking("x"), new AbortController())[Symbol.asyncIterator]();
  await reading.next();
  await reading.return?.();
  assert.deepEqual(await reading.next(), { done: true, value: undefined });
});

test("requests are kept only when asked for, and only the last ones", async () => {
  const client = scriptedClient(undefined, { recordRequests: 2 });
  for (const text of ["a", "b", "c"]) await answer(client, asking(text));
  assert.deepEqual(client.requests, [asking("b"), asking("c")]);
  assert.equal(client.asked, 3);
});

test("words keep every character", () => {
  for (const text of ["", " ", "a", "  a  b\n\nc ", "naïve 👩‍👩‍👧 ok"]) assert.equal(words(text).join(""), text);
});
