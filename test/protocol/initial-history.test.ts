import assert from "node:assert/strict";
import { test } from "node:test";
import { InvalidRequestError } from "../../src/protocol/errors.ts";
import { eventMsgsOf, parseInitialHistory, rolloutItemsOf } from "../../src/protocol/initial-history.ts";
import { userMessage } from "../../src/protocol/response-item.ts";
import type { RolloutItem } from "../../src/protocol/rollout.ts";
import { fixture } from "./codex-fixtures.ts";

const ID = "01a201ef-49cd-7223-901b-9ac1f7c10359";
const message: RolloutItem = { type: "response_item", payload: userMessage("hi") };

test("Codex's spelling and ours read alike", () => {
  assert.deepEqual(parseInitialHistory("New"), { type: "new" });
  assert.deepEqual(parseInitialHistory({ type: "new" }), { type: "new" });
  assert.deepEqual(parseInitialHistory({ Forked: [message] }), { type: "forked", items: [message] });
  const resumed = { conversation_id: ID, history: [message], rollout_path: "/r" };
  assert.deepEqual(parseInitialHistory({ Resumed: resumed }), { type: "resumed", ...resumed });
  assert.deepEqual(parseInitialHistory({ type: "resumed", conversation_id: ID.toUpperCase(), history: [] }), {
    type: "resumed",
    conversation_id: ID,
    history: [],
    rollout_path: null,
  });
});

test("items are passed on as the same objects", () => {
  const history = parseInitialHistory({ Forked: [message] });
  assert.equal(rolloutItemsOf(history)[0], message);
});

for (const [value, ...parts] of [
  [undefined, "initial history"],
  ["Old", "initial history"],
  [{}, "type"],
  [{ type: "resumed", conversation_id: "nope", history: [] }, "conversation_id", "invalid character"],
  [{ type: "resumed", conversation_id: ID, history: {} }, "history", "expected array"],
  [{ type: "forked", items: [message, { type: "compacted" }] }, "items[1]"],
  [{ Forked: null }, "items"],
] as [unknown, ...string[]][]) {
  test(`refused: ${JSON.stringify(value)}`, () => {
    assert.throws(
      () => parseInitialHistory(value),
      (error) => error instanceof InvalidRequestError && parts.every((part) => error.message.includes(part)),
    );
  });
}

test("the stored events: null for new, [] for a history without any, else those of the file in order", () => {
  assert.equal(eventMsgsOf({ type: "new" }), null);
  assert.deepEqual(eventMsgsOf({ type: "forked", items: [message] }), []);
  const items = fixture("tool-turn-0.80.jsonl");
  assert.deepEqual(
    eventMsgsOf({ type: "forked", items }),
    items.flatMap((line) => (line.type === "event_msg" ? [line.payload] : [])),
  );
});

test("a paginated history tells the derived events where its items stand", () => {
  const items = fixture("paginated-fork-0.169.jsonl");
  const kinds = (eventMsgsOf({ type: "forked", items }) ?? []).map((msg) => msg.type);
  assert.deepEqual(kinds, [
    "thread_settings_applied",
    "task_started",
    "user_message",
    "agent_message",
    "token_count",
    "task_complete",
  ]);
});

test("rollout items: none, the history, the items", () => {
  assert.deepEqual(rolloutItemsOf({ type: "new" }), []);
  const resumed = parseInitialHistory({ type: "resumed", conversation_id: ID, history: [message] });
  assert.deepEqual(rolloutItemsOf(resumed), [message]);
});
