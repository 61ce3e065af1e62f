import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import fc from "fast-check";
import { type Release, Slots } from "../../src/kernel/slots.ts";
import { InvalidRequestError } from "../../src/protocol/errors.ts";
import { observe, settled } from "./settled.ts";

const directly = (acquired: Release | Promise<Release>): Release => {
  assert.ok(typeof acquired === "function", "a free permit comes directly");
  return acquired;
};

test("permits come directly while there are any, then in order of asking", async () => {
  const slots = new Slots(2);
  const first = directly(slots.acquire());
  const second = directly(slots.acquire({}));
  const third = observe(Promise.resolve(slots.acquire()));
  const fourth = observe(Promise.resolve(slots.acquire()));
  assert.deepEqual([slots.limit, slots.inUse, slots.waiting], [2, 2, 2]);
  first();
  first();
  await settled();
  assert.notEqual(third.outcome, "pending");
  assert.equal(fourth.outcome, "pending");
  second();
  await settled();
  assert.notEqual(fourth.outcome, "pending");
  assert.deepEqual([slots.inUse, slots.waiting], [2, 0]);
});

test("a released permit goes to the waiter, not to somebody who asks in between", async () => {
  const slots = new Slots(1);
  const release = directly(slots.acquire());
  const waiting = observe(Promise.resolve(slots.acquire()));
  release();
  assert.equal(slots.tryAcquire(), undefined);
  assert.ok(slots.acquire() instanceof Promise);
  await settled();
  assert.notEqual(waiting.outcome, "pending");
});

test("whoever gives up gets the reason itself, and its place and listener are gone", async () => {
  const slots = new Slots(1);
  const release = directly(slots.acquire());
  const controller = new AbortController();
  const reason = { why: "interrupted" };
  const quitter = observe(Promise.resolve(slots.acquire({ signal: controller.signal })));
  const steady = new AbortController();
  const next = observe(Promise.resolve(slots.acquire({ signal: steady.signal })));
  controller.abort(reason);
  assert.equal(slots.waiting, 1);
  release();
  await settled();
  assert.ok(typeof quitter.outcome === "object" && "reason" in quitter.outcome);
  assert.equal(quitter.outcome.reason, reason);
  assert.notEqual(next.outcome, "pending");
  assert.equal(getEventListeners(controller.signal, "abort").length, 0);
  assert.equal(getEventListeners(steady.signal, "abort").length, 0);
  assert.throws(
    () => slots.acquire({ signal: controller.signal }),
    (thrown) => thrown === reason,
  );
});

test("without a limit nobody waits", () => {
  const slots = new Slots(Number.POSITIVE_INFINITY);
  const releases = Array.from({ length: 1000 }, () => directly(slots.acquire()));
  assert.equal(slots.inUse, 1000);
  for (const release of releases) release();
  assert.equal(slots.inUse, 0);
});

test("a limit that would let nobody in is refused", () => {
  for (const limit of [0, -1, 1.5, Number.NaN]) assert.throws(() => new Slots(limit), InvalidRequestError);
});

test("never more than the limit, never a free permit while somebody waits, nobody passed, none lost", async () => {
  const step = fc.oneof(
    { weight: 4, arbitrary: fc.constant({ do: "acquire" as const, pick: 0 }) },
    { weight: 1, arbitrary: fc.constant({ do: "try" as const, pick: 0 }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant("release" as const), pick: fc.nat() }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("releaseAgain" as const), pick: fc.nat() }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("abort" as const), pick: fc.nat() }) },
    { weight: 3, arbitrary: fc.constant({ do: "settle" as const, pick: 0 }) },
  );
  await fc.assert(
    fc.asyncProperty(
      fc.integer({ min: 1, max: 4 }),
      fc.array(step, { maxLength: 60, size: "max" }),
      async (limit, steps) => {
        const slots = new Slots(limit);
        const admitted: number[] = [];
        /** Those of them that had waited; one that waits hears of its permit a microtask after it has it. */
        const inTurn: number[] = [];
        const gaveUp: number[] = [];
        const asked: { abort: AbortController; release?: Release; released?: boolean }[] = [];
        const holding = () => asked.filter(({ release, released }) => release !== undefined && released !== true);
        const admit = (number: number, release: Release) => {
          admitted.push(number);
          const ask = asked[number];
          assert.ok(ask);
          ask.release = release;
        };
        const ask = () => asked.push({ abort: new AbortController() }) - 1;
        for (const { do: what, pick } of steps) {
          if (what === "acquire") {
            const number = ask();
            const signal = asked[number]?.abort.signal;
            const free = slots.inUse < limit;
            const acquired = slots.acquire({ signal });
            assert.equal(acquired instanceof Promise, !free);
            if (acquired instanceof Promise) {
              acquired.then(
                (release) => {
                  inTurn.push(number);
                  admit(number, release);
                },
                () => gaveUp.push(number),
              );
            } else admit(number, acquired);
          } else if (what === "try") {
            const free = slots.inUse < limit;
            const release = slots.tryAcquire();
            assert.equal(release !== undefined, free);
            if (release !== undefined) admit(ask(), release);
          } else if (what === "release") {
            const held = holding();
            const one = held[pick % held.length];
            if (one !== undefined) {
              one.released = true;
              one.release?.();
            }
          } else if (what === "releaseAgain") asked.find(({ released }) => released)?.release?.();
          else if (what === "abort") asked[pick % Math.max(1, asked.length)]?.abort.abort();
          else {
            await settled();
            assert.equal(slots.inUse, holding().length);
            assert.equal(slots.waiting, asked.length - admitted.length - gaveUp.length);
          }
          assert.ok(slots.inUse <= limit && holding().length <= limit);
          assert.ok(slots.waiting === 0 || slots.inUse === limit);
        }
        for (let round = 0; round <= asked.length; round += 1) {
          await settled();
          const one = holding()[0];
          if (one === undefined) continue;
          one.released = true;
          one.release?.();
        }
        assert.deepEqual([slots.inUse, slots.waiting], [0, 0]);
        assert.deepEqual(
          inTurn,
          [...inTurn].sort((a, b) => a - b),
        );
        assert.equal(admitted.length + gaveUp.length, asked.length);
        assert.ok(asked.every(({ abort }) => getEventListeners(abort.signal, "abort").length === 0));
      },
    ),
    { numRuns: 200 },
  );
});
