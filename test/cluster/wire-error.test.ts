/** Each error of the registry goes over to a client and is the same class there, with the same words and details. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { fromWire, toWire } from "../../src/cluster/wire-error.ts";
import * as skein from "../../src/index.ts";

const THREAD = "01936b2e-0000-7000-8000-000000000001";
const SAMPLES: { readonly [K in skein.ErrorCode]: skein.SkeinError } = {
  thread_not_found: new skein.ThreadNotFoundError(THREAD),
  session_configured_not_first_event: new skein.SessionConfiguredNotFirstEventError({ received: "warning" }),
  thread_closed: new skein.ThreadClosedError(THREAD),
  thread_busy: new skein.ThreadBusyError(THREAD, { pid: 7, host: "one", since: "2026-01-01T00:00:00Z" }),
  duplicate_thread: new skein.DuplicateThreadError(THREAD),
  limit_reached: new skein.LimitReachedError("treeSize", 5, { used: 5, whose: THREAD, retryAfterMs: 3 }),
  budget_exceeded: new skein.BudgetExceededError([
    { which: "tokens", used: 3, max: 2, whose: THREAD, scope: "tree" },
    { which: "cost", used: 9, max: 8, whose: THREAD, scope: "thread" },
  ]),
  no_active_turn: new skein.NoActiveTurnError("expected active turn id a but found b"),
  turn_given_up: new skein.TurnGivenUpError("turn-1", 3),
  invalid_fork_point: new skein.InvalidForkPointError("no such turn"),
  rollout_not_found: new skein.RolloutNotFoundError("no rollout"),
  rollout_corrupt: new skein.RolloutCorruptError("/a/b.jsonl", "headless"),
  store_io: new skein.StoreIoError("the disk is full"),
  deadline_exceeded: new skein.DeadlineExceededError("the turn", 50),
  overloaded: new skein.OverloadedError("full"),
  invalid_request: new skein.InvalidRequestError("config: model: wrong"),
  model_error: new skein.ModelError("the model is gone"),
  sandbox_unavailable: new skein.SandboxUnavailableError("no bubblewrap"),
  fan_out_failed: new skein.FanOutError("map: task 2 failed", { index: 2 }),
  turn_failed: new skein.TurnFailedError("the turn was interrupted"),
  step_failed: new skein.StepFailedError("step failed", { stepId: "a", attempts: 2, reason: "cut" }),
  message_refused: new skein.MessageRefusedError("no such request", {
    reason: "lost",
    threadId: THREAD,
    messageType: "sum",
  }),
  request_failed: new skein.RequestFailedError("it threw", { reason: "threw", threadId: THREAD }),
  approval_denied: new skein.ApprovalDeniedError("denied"),
  manager_closed: new skein.ManagerClosedError(),
  cluster_unavailable: new skein.ClusterUnavailableError("away"),
  cluster_mismatch: new skein.ClusterMismatchError("another version"),
  internal_defect: new skein.InternalDefect("a mistake"),
};

suite("errors on their way from a worker to a client", () => {
  for (const [code, error] of Object.entries(SAMPLES)) {
    test(`${code} comes over as what it was`, () => {
      const over = fromWire(JSON.parse(JSON.stringify(toWire(error))));
      assert.equal(over.constructor, error.constructor);
      assert.deepEqual(over.toJSON(), error.toJSON());
    });
  }

  test("details come over as they are, whatever the words of the message look like", () => {
    const over = (error: skein.SkeinError) => fromWire(JSON.parse(JSON.stringify(toWire(error))));
    const corrupt = over(new skein.RolloutCorruptError("/a/empty session file: b\n.jsonl", "headless"));
    assert.ok(corrupt instanceof skein.RolloutCorruptError);
    assert.deepEqual([corrupt.path, corrupt.problem], ["/a/empty session file: b\n.jsonl", "headless"]);
    const late = over(new skein.DeadlineExceededError("a turn that did not finish within 5 ms", 50));
    assert.ok(late instanceof skein.DeadlineExceededError);
    assert.deepEqual([late.what, late.deadlineMs], ["a turn that did not finish within 5 ms", 50]);
    const silent = over(new skein.SessionConfiguredNotFirstEventError({ detail: "it (the logic) ended" }));
    assert.match(silent.message, /\(it \(the logic\) ended\)$/);
  });

  test("what is no error of ours is an InternalDefect, without its stack", () => {
    const over = fromWire(toWire(new TypeError("x is undefined")));
    assert.ok(over instanceof skein.InternalDefect);
    assert.match(over.message, /TypeError: x is undefined/);
  });

  test("a code that this version doesn't know, and what is unreadable, are told as such", () => {
    assert.match(fromWire({ code: "from_the_future", message: "new" }).message, /from_the_future/);
    for (const value of [undefined, null, 5, {}, { code: 1 }, { code: "constructor", message: "x" }])
      assert.ok(fromWire(value) instanceof skein.InternalDefect);
  });
});
