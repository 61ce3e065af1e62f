import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import fc from "fast-check";
import { createActor, setup } from "xstate";
import { type Clock, elapsedBy, ManualClock, sleep, systemClock } from "../../src/kernel/clock.ts";
import { InvalidRequestError } from "../../src/protocol/errors.ts";
import { overlaid } from "../rig.ts";
import { observe, settled } from "./settled.ts";

test("timers run in order of due time, then of arming, whatever the steps of the clock", () => {
  const delay = fc.integer({ min: -5, max: 50 });
  fc.assert(
    fc.property(
      fc.array(fc.record({ delay, cancelled: fc.boolean() }), { maxLength: 40, size: "max" }),
      fc.array(fc.nat({ max: 30 }), { maxLength: 10 }),
      (timers, steps) => {
        const clock = new ManualClock({ startMs: 1000 });
        const ran: { index: number; at: number }[] = [];
        const handles = timers.map(({ delay }, index) =>
          clock.setTimeout(() => ran.push({ index, at: clock.now() }), delay),
        );
        timers.forEach(({ cancelled }, index) => {
          if (cancelled) clock.clearTimeout(handles[index]);
        });
        for (const step of steps) clock.advance(step);
        const endAt = 1000 + steps.reduce((sum, step) => sum + step, 0);
        const live = timers
          .map(({ delay, cancelled }, index) => ({ index, at: 1000 + Math.max(0, delay), cancelled }))
          .filter(({ cancelled }) => !cancelled)
          .map(({ index, at }) => ({ index, at }))
          .sort((a, b) => a.at - b.at || a.index - b.index);
        const due = steps.length === 0 ? [] : live.filter(({ at }) => at <= endAt);
        assert.deepEqual(ran, due);
        assert.equal(clock.pending, live.length - due.length);
        assert.equal(clock.nextDueAt, live[due.length]?.at);
        assert.equal(clock.now(), endAt);
      },
    ),
  );
});

test("a timer armed by a timer runs in the same advance when it falls due, and sees its own time", () => {
  const clock = new ManualClock();
  const ran: [string, number][] = [];
  clock.setTimeout(() => {
    ran.push(["first", clock.now()]);
    clock.setTimeout(() => ran.push(["nested", clock.now()]), 10);
    clock.setTimeout(() => ran.push(["too late", clock.now()]), 11);
  }, 10);
  clock.setTimeout(() => ran.push(["second", clock.now()]), 15);
  clock.advance(20);
  assert.deepEqual(ran, [
    ["first", 10],
    ["second", 15],
    ["nested", 20],
  ]);
  assert.equal(clock.pending, 1);
});

test("clearing is harmless for timers that have fired, are cleared already, or never were", () => {
  const clock = new ManualClock();
  let runs = 0;
  const fired = clock.setTimeout(() => runs++, 1);
  const cleared = clock.setTimeout(() => runs++, 2);
  clock.setTimeout(() => runs++, 2);
  clock.advance(1);
  for (const handle of [fired, cleared, cleared, undefined]) clock.clearTimeout(handle);
  clock.advance(1);
  assert.equal(runs, 2);
  assert.equal(clock.pending, 0);
});

test("when a timer throws, the rest still waits", () => {
  const clock = new ManualClock();
  let ran = false;
  clock.setTimeout(() => {
    throw new Error("boom");
  }, 5);
  clock.setTimeout(() => {
    ran = true;
  }, 5);
  assert.throws(() => clock.advance(10), /boom/);
  assert.deepEqual({ ran, now: clock.now(), pending: clock.pending }, { ran: false, now: 5, pending: 1 });
  clock.advance(0);
  assert.equal(ran, true);
});

test("a clock does not go back", () => {
  for (const ms of [-1, Number.NaN]) assert.throws(() => new ManualClock().advance(ms), InvalidRequestError);
});

test("advanceAsync lets promises run before, between and after the timers", async () => {
  const clock = new ManualClock();
  const trace: string[] = [];
  const chain = async () => {
    await null; // armed only after a microtask: `before`
    await sleep(clock, 10);
    trace.push(`a ${clock.now()}`);
    await sleep(clock, 10);
    trace.push(`b ${clock.now()}`);
  };
  void chain();
  clock.setTimeout(() => trace.push(`timer ${clock.now()}`), 15);
  await clock.advanceAsync(20);
  assert.deepEqual(trace, ["a 10", "timer 15", "b 20"]);
  assert.equal(clock.now(), 20);
});

test("sleep resolves in its time and leaves no listener", async () => {
  const clock = new ManualClock();
  const { signal } = new AbortController();
  const nap = observe(sleep(clock, 10, signal));
  clock.advance(9);
  await settled();
  assert.equal(nap.outcome, "pending");
  assert.equal(getEventListeners(signal, "abort").length, 1);
  await clock.advanceAsync(1);
  assert.deepEqual(nap.outcome, { value: undefined });
  assert.equal(getEventListeners(signal, "abort").length, 0);
});

test("an aborted sleep rejects with the reason itself and leaves no timer", async () => {
  const clock = new ManualClock();
  const controller = new AbortController();
  const reason = { why: "interrupted" };
  const during = observe(sleep(clock, 10, controller.signal));
  controller.abort(reason);
  const after = observe(sleep(clock, 10, controller.signal));
  await settled();
  for (const { outcome } of [during, after]) {
    assert.ok(typeof outcome === "object" && "reason" in outcome);
    assert.equal(outcome.reason, reason);
  }
  assert.equal(clock.pending, 0);
  assert.equal(getEventListeners(controller.signal, "abort").length, 0);
});

test("an XState actor takes the clock for its delays", () => {
  const clock = new ManualClock();
  const logic = setup({ delays: { nap: 50 } }).createMachine({
    initial: "asleep",
    states: { asleep: { after: { nap: "awake" } }, awake: {} },
  });
  const actor = createActor(logic, { clock }).start();
  clock.advance(49);
  assert.equal(actor.getSnapshot().value, "asleep");
  clock.advance(1);
  assert.equal(actor.getSnapshot().value, "awake");
  actor.stop();
  const clocks: Clock[] = [systemClock, clock];
  for (const each of clocks) createActor(logic, { clock: each }).start().stop();
  assert.equal(clock.pending, 0);
});

test("the system clock's background timers do not keep the process alive, the others do", () => {
  for (const ms of [1000, 2 ** 31]) {
    const before = process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length;
    const background = systemClock.background(() => {}, ms);
    assert.equal(process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length, before);
    const normal = systemClock.setTimeout(() => {}, ms);
    assert.equal(process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length, before + 1);
    systemClock.clearTimeout(background);
    systemClock.clearTimeout(normal);
    assert.equal(process.getActiveResourcesInfo().filter((kind) => kind === "Timeout").length, before);
  }
});

test("the system clock keeps delays that are longer than Node's longest", (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const days = (n: number) => n * 86_400_000;
  let fired = 0;
  systemClock.setTimeout(() => fired++, days(60));
  systemClock.setTimeout(() => fired++, Number.POSITIVE_INFINITY);
  const cleared = systemClock.setTimeout(() => fired++, days(60));
  t.mock.timers.tick(2 ** 31 - 1);
  t.mock.timers.tick(2 ** 31 - 1);
  assert.equal(fired, 0);
  systemClock.clearTimeout(cleared);
  t.mock.timers.tick(days(60) - 2 * (2 ** 31 - 1));
  assert.equal(fired, 1);
});

test("the system clock tells unix time and clears what it set", (t) => {
  const before = Date.now();
  const now = systemClock.now();
  assert.ok(now >= before && now <= Date.now());
  t.mock.timers.enable({ apis: ["setTimeout"] });
  let fired = 0;
  const cleared = systemClock.setTimeout(() => fired++, 5);
  systemClock.setTimeout(() => fired++, 5);
  systemClock.clearTimeout(cleared);
  systemClock.clearTimeout(undefined);
  t.mock.timers.tick(5);
  assert.equal(fired, 1);
});

test("what has passed is told by the clock that nobody sets where there is one, and by the system's in whole milliseconds", () => {
  const clock = new ManualClock({ startMs: 7 });
  assert.equal(elapsedBy(overlaid<Clock>(clock, { monotonic: () => 1.5 })), 1.5);
  const { setTimeout, clearTimeout, background } = systemClock;
  assert.equal(elapsedBy({ now: () => 7.5, setTimeout, clearTimeout, background }), 7.5);
  assert.ok(Number.isInteger(elapsedBy(systemClock)));
});
