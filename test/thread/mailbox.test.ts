/** Whether an op finds room in its thread's mailbox, by what waits there and whether the thread is in memory. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { Mailbox } from "../../src/thread/mailbox.ts";

const destination = (waitingOps: number, isGone: boolean) => ({
  id: "t",
  incarnation: {
    waitingOps,
    hasEnded: isGone,
    ended: isGone ? { reason: "unloaded" } : undefined,
    env: { mailboxCapacity: 2 },
    life: {},
  },
});

for (const [waitingOps, isGone, hasRoom] of [
  [0, false, true],
  [1, false, true],
  [2, false, false],
  [3, false, false],
  [2, true, true],
] as const) {
  test(`of two, ${waitingOps} are taken${isGone ? " by a life that has ended" : ""}: ${hasRoom ? "room" : "no room"}`, () => {
    assert.equal(new Mailbox(destination(waitingOps, isGone) as never).hasRoom, hasRoom);
  });
}
