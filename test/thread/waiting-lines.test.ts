/** Which ops wait, by the lines of all lives of a thread. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { SubmissionItem } from "../../src/protocol/rollout.ts";
import { WaitingLines } from "../../src/thread/waiting-lines.ts";

const line = (id: string, turn: string | null, wait?: string): SubmissionItem => ({
  ...{ thread_id: "t", id, turn_id: turn },
  ...(wait !== undefined && { wait }),
});

test("of ops that wait under one id, the one that was taken is no more; said again, in any order, with a turn or without", () => {
  const op = fc.record({
    id: fc.constantFrom("0", "1"),
    turn: fc.constantFrom("x", "y", null),
    wait: fc.constantFrom("m", "n"),
  });
  const step = fc.record({ op, does: fc.constantFrom("waits", "taken") });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
      const lines = new WaitingLines();
      const waiting = new Map<string, SubmissionItem>();
      for (const {
        op: { id, turn, wait },
        does,
      } of steps) {
        const item = line(id, turn, turn === null ? wait : undefined);
        if (does === "waits") {
          lines.add({ ...item, op: { type: "user_input", items: [] } });
          waiting.set(JSON.stringify(item), item);
        } else {
          lines.add({ ...item, taken: true });
          waiting.delete(JSON.stringify(item));
        }
      }
      const left = lines.all().map(({ op: _, ...item }) => JSON.stringify(item));
      assert.deepEqual(left.toSorted(), [...waiting.keys()].toSorted());
    }),
  );
});

test("a line of an earlier version, which does not say what was taken, takes the oldest of its id", () => {
  const lines = new WaitingLines();
  for (const turn of ["x", "y"]) lines.add({ ...line("0", turn), op: {} });
  lines.add({ thread_id: "t", id: "0", taken: true });
  assert.deepEqual(
    lines.all().map(({ turn_id }) => turn_id),
    ["y"],
  );
});
