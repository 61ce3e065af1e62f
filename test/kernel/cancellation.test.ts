import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import fc from "fast-check";
import { onceAborted } from "../../src/kernel/abort-listeners.ts";
import { linkSignals, raceAbort, withDeadline } from "../../src/kernel/cancellation.ts";
import { ManualClock } from "../../src/kernel/clock.ts";
import { DeadlineExceededError } from "../../src/protocol/errors.ts";
import { observe, settled } from "./settled.ts";

const listeners = (...signals: AbortSignal[]) =>
  signals.reduce((sum, signal) => sum + getEventListeners(signal, "abort").length, 0);

const neverSettles = new Promise<never>(() => {});

test("a child aborts with the reason of the first parent that aborts, and lets go of all of them", () => {
  const parents = [new AbortController(), new AbortController(), new AbortController()] as const;
  const signals = parents.map(({ signal }) => signal);
  const child = linkSignals(signals[0], undefined, signals[1], signals[2], signals[1]);
  assert.equal(listeners(...signals), 3);
  const reason = { why: "closing" };
  parents[1].abort(reason);
  parents[0].abort("later");
  assert.equal(child.signal.reason, reason);
  assert.equal(listeners(...signals), 0);
});

test("a child of an aborted parent is aborted from the start and listens to nobody", () => {
  const live = new AbortController();
  const reason = new Error("gone");
  const child = linkSignals(live.signal, AbortSignal.abort(reason));
  assert.equal(child.signal.reason, reason);
  assert.equal(listeners(live.signal), 0);
});

test("a child's own abort stays its own", () => {
  const parent = new AbortController();
  const child = linkSignals(parent.signal);
  child.abort("mine");
  parent.abort("parent's");
  assert.equal(child.signal.reason, "mine");
  assert.equal(listeners(parent.signal), 0);
  const orphan = linkSignals();
  orphan.abort();
  assert.equal(orphan.signal.reason.name, "AbortError");
});

test("disposing cuts the child off without aborting it", () => {
  const parent = new AbortController();
  const child = linkSignals(parent.signal);
  child[Symbol.dispose]();
  child[Symbol.dispose]();
  parent.abort();
  assert.equal(child.signal.aborted, false);
  assert.equal(listeners(parent.signal), 0);
});

test("whatever becomes of ten thousand children, a long-lived parent keeps no listener", () => {
  const parent = new AbortController();
  const warnings: Error[] = [];
  const onWarning = (warning: Error) => warnings.push(warning);
  process.on("warning", onWarning);
  const children = Array.from({ length: 10_000 }, () => linkSignals(parent.signal));
  assert.equal(listeners(parent.signal), 1);
  children.forEach((child, index) => {
    if (index % 2 === 0) child.abort(index);
    else child[Symbol.dispose]();
  });
  assert.equal(listeners(parent.signal), 0);
  process.off("warning", onWarning);
  assert.deepEqual(warnings, []);
});

test("an abort goes down a tree of any shape, to every descendant and to nobody else", () => {
  const shape = fc.array(fc.nat(), { minLength: 1, maxLength: 30 });
  fc.assert(
    fc.property(shape, fc.nat(), (parentPicks, pick) => {
      const root = linkSignals();
      const nodes = [{ link: root, ancestors: new Set([0]) }];
      for (const parentPick of parentPicks) {
        const parent = nodes[parentPick % nodes.length];
        assert.ok(parent);
        const link = linkSignals(parent.link.signal);
        nodes.push({ link, ancestors: new Set([...parent.ancestors, nodes.length]) });
      }
      const target = pick % nodes.length;
      nodes[target]?.link.abort("cut");
      assert.deepEqual(
        nodes.map(({ link }) => link.signal.aborted),
        nodes.map(({ ancestors }) => ancestors.has(target)),
      );
      root.abort("end");
      assert.equal(listeners(...nodes.map(({ link }) => link.signal)), 0);
    }),
  );
});

test("raceAbort gives the promise's outcome and stops listening", async () => {
  const { signal } = new AbortController();
  const error = new Error("failed");
  const good = raceAbort(Promise.resolve(7), signal);
  const bad = observe(raceAbort(Promise.reject(error), signal));
  assert.equal(listeners(signal), 1);
  assert.equal(await good, 7);
  await settled();
  assert.deepEqual(bad.outcome, { reason: error });
  assert.equal(listeners(signal), 0);
  assert.equal(await raceAbort(Promise.resolve(8), undefined), 8);
});

test("raceAbort rejects with the reason itself, and the loser's rejection is not unhandled", async () => {
  const controller = new AbortController();
  const reason = { why: "interrupted" };
  let failLate: (error: Error) => void = () => {};
  const loser = new Promise<never>((_, reject) => {
    failLate = reject;
  });
  const race = observe(raceAbort(loser, controller.signal));
  controller.abort(reason);
  const lateRace = observe(raceAbort(Promise.reject(new Error("loses too")), controller.signal));
  failLate(new Error("too late"));
  await settled();
  for (const { outcome } of [race, lateRace]) {
    assert.ok(typeof outcome === "object" && "reason" in outcome);
    assert.equal(outcome.reason, reason);
  }
  assert.equal(listeners(controller.signal), 0);
});

test("work that is done in time leaves no timer and no listener", async () => {
  const clock = new ManualClock();
  const { signal } = new AbortController();
  let finish: (value: string) => void = () => {};
  let given: AbortSignal | undefined;
  const work = withDeadline(
    "the work",
    (childSignal) => {
      given = childSignal;
      return new Promise<string>((resolve) => {
        finish = resolve;
      });
    },
    { deadlineMs: 10, signal, clock },
  );
  assert.deepEqual({ timers: clock.pending, listeners: listeners(signal) }, { timers: 1, listeners: 1 });
  clock.advance(9);
  finish("done");
  assert.equal(await work, "done");
  assert.deepEqual({ timers: clock.pending, listeners: listeners(signal) }, { timers: 0, listeners: 0 });
  clock.advance(10);
  assert.equal(given?.aborted, false);
});

test("work that fails in time fails with its own error, also when it throws at once", async () => {
  const clock = new ManualClock();
  const error = new Error("failed");
  const rejecting = observe(withDeadline("it", Promise.reject(error), { deadlineMs: 10, clock }));
  const throwing = observe(
    withDeadline(
      "it",
      () => {
        throw error;
      },
      { deadlineMs: 10, clock },
    ),
  );
  await settled();
  assert.deepEqual([rejecting.outcome, throwing.outcome], [{ reason: error }, { reason: error }]);
  assert.equal(clock.pending, 0);
});

test("SEMANTICS 3.1: the deadline aborts the work's signal with the error that the caller gets", async () => {
  const clock = new ManualClock();
  const { signal } = new AbortController();
  let seen: unknown;
  const call = observe(
    withDeadline(
      "closing thread 1",
      (childSignal) =>
        new Promise<never>((_, reject) => {
          childSignal.addEventListener("abort", () => {
            seen = childSignal.reason;
            reject(new Error("the work's own complaint"));
          });
        }),
      { deadlineMs: 10, signal, clock },
    ),
  );
  await clock.advanceAsync(10);
  assert.ok(typeof call.outcome === "object" && "reason" in call.outcome);
  assert.ok(call.outcome.reason instanceof DeadlineExceededError);
  assert.equal(call.outcome.reason.message, "closing thread 1 did not finish within 10 ms");
  assert.equal(call.outcome.reason.deadlineMs, 10);
  assert.equal(seen, call.outcome.reason);
  assert.deepEqual({ timers: clock.pending, listeners: listeners(signal) }, { timers: 0, listeners: 0 });
});

test("a promise that misses its deadline may fail later unobserved", async () => {
  const clock = new ManualClock();
  let failLate: (error: Error) => void = () => {};
  const slow = new Promise<never>((_, reject) => {
    failLate = reject;
  });
  const call = observe(withDeadline("it", slow, { deadlineMs: 0, clock }));
  await clock.advanceAsync(0);
  failLate(new Error("late"));
  await settled();
  assert.ok(typeof call.outcome === "object" && "reason" in call.outcome);
  assert.ok(call.outcome.reason instanceof DeadlineExceededError);
});

test("SEMANTICS 3.1: an abort comes out unwrapped, and work is not begun under an aborted signal", async () => {
  const clock = new ManualClock();
  const controller = new AbortController();
  const reason = { why: "closing" };
  const options = { deadlineMs: 10, signal: controller.signal, clock };
  const during = observe(withDeadline("it", neverSettles, options));
  controller.abort(reason);
  let begun = false;
  const after = observe(
    withDeadline(
      "it",
      () => {
        begun = true;
        return neverSettles;
      },
      options,
    ),
  );
  const lateFailure = observe(withDeadline("it", Promise.reject(new Error("loses")), options));
  await settled();
  for (const { outcome } of [during, after, lateFailure]) {
    assert.ok(typeof outcome === "object" && "reason" in outcome);
    assert.equal(outcome.reason, reason);
  }
  assert.deepEqual(
    { begun, timers: clock.pending, listeners: listeners(controller.signal) },
    { begun: false, timers: 0, listeners: 0 },
  );
});

test("those who hear of one abort are called once each, in order, and not if they stopped before or meanwhile", () => {
  const controller = new AbortController();
  const heard: number[] = [];
  const stops = [0, 1, 2, 3].map((n) =>
    onceAborted(controller.signal, () => {
      heard.push(n);
      stops[2]?.();
    }),
  );
  stops[1]?.();
  assert.equal(listeners(controller.signal), 1);
  controller.abort();
  assert.deepEqual([heard, listeners(controller.signal)], [[0, 3], 0]);
});
