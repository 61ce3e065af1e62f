import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { toSubmissionId } from "../../src/protocol/ids.ts";
import { Approvals } from "../../src/turn/approvals.ts";
import { observe, settled } from "../kernel/settled.ts";

const request = (callId: string) => ({
  turn: toSubmissionId("7"),
  callId,
  msg: { type: "warning" as const, message: callId },
});

suite("approvals", () => {
  test("each is answered once, by its call's id or its turn's, the oldest first", async () => {
    const counts: number[] = [];
    const approvals = new Approvals({ onChange: (pending) => counts.push(pending) });
    const { signal } = new AbortController();
    const [a, b] = ["a", "b"].map((id) => observe(approvals.ask(request(id), signal)));
    assert.deepEqual(
      approvals.pending.map(({ callId }) => callId),
      ["a", "b"],
    );
    assert.equal(approvals.answer("b", "denied"), true);
    assert.equal(approvals.answer("b", "approved"), false);
    assert.equal(approvals.answer("7", "approved"), true);
    assert.equal(approvals.answer("7", "approved"), false);
    await settled();
    assert.deepEqual([a?.outcome, b?.outcome], [{ value: "approved" }, { value: "denied" }]);
    assert.deepEqual([approvals.pending, counts], [[], [1, 2, 1, 0]]);
  });

  test("an abort withdraws the request, and leaves nothing", async () => {
    const approvals = new Approvals();
    const controller = new AbortController();
    const asked = observe(approvals.ask(request("a"), controller.signal));
    controller.abort("enough");
    await settled();
    assert.deepEqual(
      [asked.outcome, approvals.pending, approvals.answer("a", "approved")],
      [{ reason: "enough" }, [], false],
    );
    await assert.rejects(approvals.ask(request("b"), controller.signal), (error) => error === "enough");
  });
});
