/** A message in plan mode, as it is told while it streams. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { EventMsg } from "../../src/protocol/event.ts";
import type { ThreadId } from "../../src/protocol/ids.ts";
import type { MessageItem } from "../../src/protocol/response-item.ts";
import { PlanMessage } from "../../src/turn/plan-message.ts";

const place = { thread_id: "t" as ThreadId, turn_id: "u" };

/** What is told, each with its text. */
function told(deltas: readonly string[]) {
  const events: EventMsg[] = [];
  const message = (text: string): MessageItem => ({
    ...{ type: "message", role: "assistant" },
    content: [{ type: "output_text", text }],
  });
  const plan = new PlanMessage(message(""), { id: "m", place, publish: (msg) => events.push(msg) });
  for (const delta of deltas) plan.take(delta);
  const left = plan.finish(message(deltas.join("")));
  const shown = events.map((msg) => {
    if ("delta" in msg) return [msg.type, msg.delta];
    return "item" in msg ? [msg.type, (msg.item as { type: string }).type] : [msg.type];
  });
  return { shown, left: left?.content };
}

test("what is said beside a plan is told twice as a delta, the plan once, and each begins with its first text", () => {
  const { shown, left } = told(["\n", "Before", ".\n<proposed_plan>\n- one\n", "</proposed_plan>\nAfter."]);
  assert.deepEqual(shown, [
    ["item_started", "AgentMessage"],
    ["agent_message_content_delta", "\nBefore"],
    ["agent_message_delta", "\nBefore"],
    ["agent_message_content_delta", ".\n"],
    ["agent_message_delta", ".\n"],
    ["item_started", "Plan"],
    ["plan_delta", "- one\n"],
    ["agent_message_content_delta", "After."],
    ["agent_message_delta", "After."],
    ["item_completed", "Plan"],
  ]);
  assert.deepEqual(left, [{ type: "Text", text: "\nBefore.\nAfter." }]);
});

test("beside a plan alone there is no message", () => {
  const { shown, left } = told(["\n\n<proposed_plan>\n- one\n</proposed_plan>\n"]);
  assert.deepEqual(
    shown.map(([type]) => type),
    ["item_started", "plan_delta", "item_completed"],
  );
  assert.equal(left, undefined);
});
