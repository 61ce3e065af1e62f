/** What of a model's answer reaches the thread's events, its history and the next request. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { call, fail, raw, say } from "../../src/model/script.ts";
import { ModelError } from "../../src/protocol/model-error.ts";
import type { ContentItem, ResponseItem } from "../../src/protocol/response-item.ts";
import { zeroUsage } from "../../src/protocol/token-usage.ts";
import { agentMessageText, type TurnItem } from "../../src/protocol/turn-item.ts";
import { tool } from "../../src/turn/tool.ts";
import { bench } from "./tools/tool-turn.ts";

const message = (text: string, phase?: string): ResponseItem => ({
  type: "message",
  role: "assistant",
  id: `msg_${text}`,
  content: [{ type: "output_text", text }],
  ...(phase !== undefined && { phase }),
});
const said = (item: ResponseItem) => [
  raw({ type: "item_added", item: item.type === "message" ? { ...item, content: [] } : item }),
  raw({ type: "item_done", item }),
];
const shown = (item: TurnItem) => (item.type === "AgentMessage" ? [agentMessageText(item as never), item.phase] : []);

test("a message's phase is in its items and events, in the history and in what goes back to the model", async (t) => {
  const items = [message("looking", "commentary"), message("it is 4", "final_answer"), message("bye", "commentary")];
  const { thread, ofType, model } = await bench(t, [items.flatMap(said), "next"]);
  assert.equal((await thread.run("go")).lastAgentMessage, "it is 4");
  const expected = [
    ["looking", "commentary"],
    ["it is 4", "final_answer"],
    ["bye", "commentary"],
  ];
  assert.deepEqual(
    ofType("item_completed")
      .map(({ item }) => shown(item))
      .filter((pair) => pair.length > 0),
    expected,
  );
  assert.deepEqual(
    ofType("item_started").flatMap(({ item }) => (item.type === "AgentMessage" ? [item.phase] : [])),
    expected.map(([, phase]) => phase),
  );
  assert.deepEqual(
    ofType("agent_message").map(({ message: text, phase }) => [text, phase]),
    expected,
  );
  await thread.run("again");
  const back = (model.requests[1]?.input ?? []).flatMap((item) =>
    item.type === "message" && item.role === "assistant" ? [item.phase] : [],
  );
  assert.deepEqual(back, ["commentary", "final_answer", "commentary"]);
});

test("items that stream beside each other begin once each, in whatever order they end", async (t) => {
  const search = (id: string, query: string): ResponseItem => ({
    type: "web_search_call",
    id,
    action: { type: "search", query },
  });
  const added = (item: ResponseItem) => raw({ type: "item_added", item });
  const done = (item: ResponseItem) => raw({ type: "item_done", item });
  const text = (delta: string) => raw({ type: "text_delta", delta, itemId: "msg_hi" });
  const [one, two, hi] = [search("w1", "a"), search("w2", "b"), message("hi")];
  const { thread, ofType } = await bench(t, [
    [
      added(one),
      added(two),
      added({ ...hi, content: [] } as ResponseItem),
      text("h"),
      done(two),
      text("i"),
      done(one),
      done(hi),
    ],
  ]);
  await thread.run("go");
  const ids = (type: "item_started" | "item_completed") =>
    ofType(type).flatMap(({ item }) => (item.type === "UserMessage" ? [] : [item.id]));
  assert.deepEqual(ids("item_started"), ["w1", "w2", "msg_hi"]);
  assert.deepEqual(ids("item_completed"), ["w2", "w1", "msg_hi"]);
});

test("commentary alone is no answer; a phase that nobody knows hides nothing", async (t) => {
  const { thread } = await bench(t, [said(message("hm", "commentary")), said(message("yes", "epilogue"))]);
  assert.equal((await thread.run("one")).lastAgentMessage, null);
  assert.equal((await thread.run("two")).lastAgentMessage, "yes");
});

test("a call of a tool that is not there is answered by what kind of call it is", async (t) => {
  const custom: ResponseItem = { type: "custom_tool_call", call_id: "c", name: "nobody", input: "x" };
  const { thread, model } = await bench(t, [said(custom), "ok"]);
  await thread.run("go");
  assert.deepEqual(model.requests[1]?.input.at(-1), {
    type: "custom_tool_call_output",
    call_id: "c",
    output: "unsupported custom tool call: nobody",
  });
});

test("a refusal is what the model has said", async (t) => {
  const refusal = { type: "refusal", refusal: "I will not." } as unknown as ContentItem;
  const item: ResponseItem = { type: "message", role: "assistant", id: "m", content: [refusal] };
  const { thread } = await bench(t, [said(item)]);
  assert.equal((await thread.run("go")).lastAgentMessage, "I will not.");
});

const SEARCHES: [string, Record<string, unknown> & { type: string }, string][] = [
  ["a search", { type: "search", query: "rain", queries: ["rain"] }, "rain"],
  ["an opened page", { type: "open_page", url: "https://a.test" }, "https://a.test"],
  ["a look into a page", { type: "find_in_page", url: "https://a.test", pattern: "rain" }, "'rain' in https://a.test"],
  ["a look into a page that is not named", { type: "find_in_page", pattern: "rain" }, "'rain'"],
  ["a look into a page for nothing", { type: "find_in_page", url: "https://a.test" }, "https://a.test"],
  ["several searches", { type: "search", queries: ["rain", "snow"] }, "rain ..."],
  ["one search in a list", { type: "search", queries: ["rain"] }, "rain"],
  ["an empty search", { type: "search", query: "", queries: [] }, ""],
  ["what nobody knows", { type: "dream" }, ""],
];
for (const [name, action, query] of SEARCHES) {
  test(`a web search is an item from its start to its end: ${name}`, async (t) => {
    const item: ResponseItem = { type: "web_search_call", id: "ws_1", status: "completed", action };
    const added = raw({ type: "item_added", item: { type: "web_search_call", id: "ws_1", status: "in_progress" } });
    const { thread, ofType, model } = await bench(t, [
      [added, raw({ type: "item_done", item }), say("found")],
      [raw({ type: "item_done", item: { ...item, id: "ws_2" } })],
    ]);
    await thread.run("go");
    const [started] = ofType("item_started").filter(({ item: { type } }) => type === "WebSearch");
    assert.deepEqual(started?.item, { type: "WebSearch", id: "ws_1", query: "", action: { type: "other" } });
    const [ended] = ofType("item_completed").filter(({ item: { type } }) => type === "WebSearch");
    assert.deepEqual(ended?.item, { type: "WebSearch", id: "ws_1", query, action });
    assert.equal(ofType("web_search_begin")[0]?.call_id, "ws_1");
    assert.equal(ofType("web_search_end")[0]?.query, query);
    assert.equal(model.requests.length, 1, "a search is the server's own work");
    await thread.run("again");
    assert.ok(model.requests[1]?.input.some((sent) => sent.type === "web_search_call"));
    const begun = ofType("item_started").filter(({ item: { id } }) => id === "ws_2");
    assert.deepEqual(
      begun.map(({ item: shownItem }) => shownItem),
      [{ type: "WebSearch", id: "ws_2", query, action }],
      "one that is told at its end alone begins as what it is",
    );
  });
}

test("a search for tools is answered, as every call is: there are none but those offered", async (t) => {
  const search = (id: string, execution: string): ResponseItem => ({
    ...{ type: "tool_search_call", call_id: id, execution, status: "completed", arguments: { query: "mail" } },
  });
  const found: ResponseItem = {
    type: "tool_search_output",
    call_id: "s",
    status: "completed",
    execution: "server",
    tools: [],
  };
  const { thread, model } = await bench(t, [
    [search("c", "client"), search("s", "server"), found].map((item) => raw({ type: "item_done", item })),
    "done",
    "next",
  ]);
  assert.equal((await thread.run("go")).lastAgentMessage, "done");
  const sent = (model.requests[1]?.input ?? []).filter(({ type }) => type.startsWith("tool_search"));
  const ours = { ...found, call_id: "c", execution: "client" };
  assert.deepEqual(sent, [search("c", "client"), search("s", "server"), found, ours]);
});

test("an answer that stops short ends the turn, tells why, and what it had finished stays", async (t) => {
  const usage = { ...zeroUsage, input_tokens: 5, output_tokens: 2, total_tokens: 7 };
  const incomplete = new ModelError("Incomplete response returned, reason: max_output_tokens", { usage });
  let release: (value: string) => void = () => undefined;
  const slow = tool({
    name: "slow",
    description: "",
    input: z.object({}),
    execute: () =>
      new Promise((r) => {
        release = r;
      }),
  });
  const plays = [[say("half"), call("slow", {}, { callId: "c" }), fail(incomplete)], "next"];
  const { thread, ofType, model, outputs } = await bench(t, plays, { tools: [slow] });
  const turn = thread.run("go");
  while (ofType("item_started").every(({ item }) => item.type !== "DynamicToolCall")) await new Promise(setImmediate);
  release("worked");
  const result = await turn;
  assert.equal(result.status, "failed");
  assert.equal(result.error?.message, incomplete.message);
  assert.deepEqual(outputs(), ["worked"], "a call that the answer had made is run");
  assert.equal(model.requests.length, 1, "it is not asked again");
  assert.deepEqual(ofType("token_count").at(-1)?.info?.last_token_usage, usage, "what it cost counts");
  await thread.run("go on");
  const sent = model.requests[1]?.input.map((item) => item.type) ?? [];
  assert.ok(sent.includes("function_call") && sent.includes("function_call_output"));
});
