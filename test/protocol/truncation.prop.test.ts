import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { assistantMessage, userMessage } from "../../src/protocol/response-item.ts";
import type { RolloutItem } from "../../src/protocol/rollout.ts";
import { truncateBeforeNth, userMessagePositions } from "../../src/protocol/truncation.ts";

const item = fc.oneof<fc.Arbitrary<RolloutItem>[]>(
  fc.string().map((text): RolloutItem => ({ type: "response_item", payload: userMessage(`u ${text}`) })),
  fc.string().map((text): RolloutItem => ({ type: "response_item", payload: assistantMessage(text) })),
  fc.nat(3).map((n): RolloutItem => ({ type: "event_msg", payload: { type: "thread_rolled_back", num_turns: n } })),
  fc.constant<RolloutItem>({ type: "compacted", payload: { message: "summary" } }),
);
const items = fc.array(item, { maxLength: 40 });

/** The rule told in another way: a stack of the messages that are still there. */
function standing(all: readonly RolloutItem[]): RolloutItem[] {
  let stack: RolloutItem[] = [];
  for (const each of all) {
    if (each.type === "response_item" && each.payload.type === "message" && each.payload.role === "user") {
      stack = [...stack, each];
    } else if (each.type === "event_msg" && each.payload.type === "thread_rolled_back") {
      stack = stack.slice(0, Math.max(0, stack.length - each.payload.num_turns));
    }
  }
  return stack;
}

test("positions point at the messages that no rollback took, in order", () => {
  fc.assert(
    fc.property(items, (all) => {
      assert.deepEqual(
        userMessagePositions(all).map((index) => all[index]),
        standing(all),
      );
    }),
  );
});

test("a cut is the prefix strictly before the nth standing message, or empty when there is none", () => {
  fc.assert(
    fc.property(items, fc.nat(45), (all, n) => {
      const before = structuredClone(all);
      const cut = truncateBeforeNth(all, n);
      const message = standing(all)[n];
      assert.deepEqual(cut, message === undefined ? [] : all.slice(0, all.indexOf(message)));
      assert.deepEqual(all, before);
    }),
  );
});

test("appending never moves an earlier cut, unless it rolls back", () => {
  fc.assert(
    fc.property(items, fc.string(), fc.nat(20), (all, text, n) => {
      const cut = truncateBeforeNth(all, n);
      fc.pre(cut.length > 0);
      const more: RolloutItem[] = [...all, { type: "response_item", payload: userMessage(`u ${text}`) }];
      assert.deepEqual(truncateBeforeNth(more, n), cut);
    }),
  );
});
