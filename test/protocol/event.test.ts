import assert from "node:assert/strict";
import { test } from "node:test";
import { InvalidRequestError } from "../../src/protocol/errors.ts";
import type { EventMsg } from "../../src/protocol/event.ts";
import { parseEventMsg } from "../../src/protocol/event-schemas.ts";
import { legacyEventsOf } from "../../src/protocol/legacy-events.ts";
import { isPersisted } from "../../src/protocol/persistence.ts";
import type { TurnItem } from "../../src/protocol/turn-item.ts";
import { fixture, fixtureNames } from "./codex-fixtures.ts";

test("an event is given back as the same object", () => {
  const msg = { type: "agent_message", message: "m", future: 1 };
  assert.equal(parseEventMsg(msg), msg);
  const unknown = { type: "future_event", x: [1] };
  assert.equal(parseEventMsg(unknown), unknown);
});

test("turn_started and turn_complete are read as task_started and task_complete", () => {
  assert.deepEqual(parseEventMsg({ type: "turn_started", model_context_window: 5 }), {
    type: "task_started",
    model_context_window: 5,
  });
  assert.deepEqual(parseEventMsg({ type: "turn_complete", last_agent_message: null }), {
    type: "task_complete",
    last_agent_message: null,
  });
});

for (const [value, ...parts] of [
  [null, "type"],
  [{ type: 1 }, "type"],
  [{ type: "user_message" }, "user_message", "message"],
  [{ type: "agent_message", message: null }, "agent_message", "message"],
  [{ type: "token_count", info: {} }, "total_token_usage"],
  [{ type: "token_count", info: 7 }, "info"],
  [{ type: "thread_rolled_back", num_turns: 1.5 }, "num_turns"],
  [{ type: "turn_aborted" }, "reason"],
  [{ type: "turn_complete", last_agent_message: 7 }, "task_complete", "last_agent_message"],
  [{ type: "item_completed" }, "item"],
  [{ type: "item_completed", item: { type: "AgentMessage" } }, "item.content"],
  [{ type: "item_completed", item: { type: "Reasoning", summary_text: [1], raw_content: [] } }, "summary_text"],
] as [unknown, ...string[]][]) {
  test(`refused: ${JSON.stringify(value)}`, () => {
    assert.throws(
      () => parseEventMsg(value),
      (error) => error instanceof InvalidRequestError && parts.every((part) => error.message.includes(part)),
    );
  });
}

test("a user message's derived event joins texts, moves their elements by bytes, and lists images by kind", () => {
  const item: TurnItem = {
    type: "UserMessage",
    id: "i",
    content: [
      { type: "text", text: "é@a", text_elements: [{ byte_range: { start: 2, end: 4 }, placeholder: "@a" }] },
      { type: "image", image_url: "data:1" },
      { type: "text", text: "@b", text_elements: [{ byte_range: { start: 0, end: 2 } }] },
      { type: "local_image", path: "/i.png" },
      { type: "skill", name: "s", path: "/s" },
    ],
  };
  assert.deepEqual(legacyEventsOf(item), [
    {
      type: "user_message",
      message: "é@a@b",
      images: ["data:1"],
      local_images: ["/i.png"],
      text_elements: [{ byte_range: { start: 2, end: 4 }, placeholder: "@a" }, { byte_range: { start: 4, end: 6 } }],
    },
  ]);
});

test("the other items' derived events", () => {
  const text = (value: string) => ({ type: "Text" as const, text: value });
  assert.deepEqual(legacyEventsOf({ type: "AgentMessage", id: "i", content: [text("a"), text("b")] }), [
    { type: "agent_message", message: "a" },
    { type: "agent_message", message: "b" },
  ]);
  const reasoning: TurnItem = { type: "Reasoning", id: "i", summary_text: ["s", "t"], raw_content: ["r"] };
  const summary = [
    { type: "agent_reasoning", text: "s" },
    { type: "agent_reasoning", text: "t" },
  ];
  assert.deepEqual(legacyEventsOf(reasoning), summary);
  assert.deepEqual(legacyEventsOf(reasoning, { showRawReasoning: true }), [
    ...summary,
    { type: "agent_reasoning_raw_content", text: "r" },
  ]);
  assert.deepEqual(legacyEventsOf({ type: "WebSearch", id: "w", query: "q" }), [
    { type: "web_search_end", call_id: "w", query: "q" },
  ]);
  assert.deepEqual(legacyEventsOf({ type: "ContextCompaction", id: "c" }), [{ type: "context_compacted" }]);
  assert.deepEqual(legacyEventsOf({ type: "FileChange", id: "f", changes: {}, status: "completed" }), []);
});

test("every event that Codex stored is stored by us in the same mode", () => {
  for (const name of fixtureNames()) {
    const mode = name.includes("0.169") ? "paginated" : "legacy";
    for (const line of fixture(name)) {
      if (line.type !== "event_msg" || String(line.payload.type) === "unknown_event") continue;
      assert.ok(isPersisted(line.payload, mode), `${name}: ${line.payload.type}`);
    }
  }
});

test("a mode stores an item or its derived events, never both", () => {
  const item: TurnItem = { type: "AgentMessage", id: "i", content: [{ type: "Text", text: "a" }] };
  const completed = { type: "item_completed", thread_id: "t", turn_id: "u", item } as EventMsg;
  assert.deepEqual([isPersisted(completed, "legacy"), isPersisted(completed, "paginated")], [false, true]);
  for (const each of [
    "user_message",
    "agent_message",
    "agent_reasoning",
    "agent_reasoning_raw_content",
    "context_compacted",
  ]) {
    const msg = { type: each } as EventMsg;
    assert.deepEqual([isPersisted(msg, "legacy"), isPersisted(msg, "paginated")], [true, false], each);
  }
});

test("what is only shown is stored in neither mode", () => {
  const shown = ["error", "warning", "agent_message_delta", "exec_command_end", "item_started", "raw_response_item"];
  for (const each of [...shown, "session_configured", "shutdown_complete", "lagged", "future_event"]) {
    const msg = { type: each } as EventMsg;
    assert.deepEqual([isPersisted(msg, "legacy"), isPersisted(msg, "paginated")], [false, false], each);
  }
});
