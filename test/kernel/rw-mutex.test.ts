import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { ManualClock } from "../../src/kernel/clock.ts";
import { type Guard, RwMutex } from "../../src/kernel/rw-mutex.ts";
import { DeadlineExceededError, InternalDefect } from "../../src/protocol/errors.ts";
import { observe, settled } from "./settled.ts";

const FREE = { readers: 0, writer: false, waiting: 0 };

test("a free lock is used synchronously, and what the function throws comes directly", async () => {
  const lock = new RwMutex();
  assert.equal(
    lock.read(() => lock.state.readers),
    1,
  );
  assert.equal(
    lock.write(() => lock.state.writer),
    true,
  );
  for (const run of [() => lock.read(fail), () => lock.write(fail)]) assert.throws(run, /failed/);
  assert.deepEqual(lock.state, FREE);
  const guard = await lock.acquireRead();
  assert.equal(
    lock.read(() => "beside a reader"),
    "beside a reader",
  );
  guard.release();
});

const fail = (): number => {
  throw new Error("failed");
};

test("readers hold together, a writer holds alone", async () => {
  const lock = new RwMutex();
  const readers = await Promise.all([lock.acquireRead(), lock.acquireRead()]);
  const writer = observe(lock.acquireWrite());
  await settled();
  assert.equal(writer.outcome, "pending");
  assert.deepEqual(lock.state, { readers: 2, writer: false, waiting: 1 });
  for (const reader of readers) reader.release();
  await settled();
  assert.deepEqual(lock.state, { readers: 0, writer: true, waiting: 0 });
  const reader = observe(lock.acquireRead());
  const secondWriter = observe(lock.acquireWrite());
  await settled();
  assert.deepEqual([reader.outcome, secondWriter.outcome], ["pending", "pending"]);
});

test("a waiting writer keeps later readers waiting, synchronous ones too", async () => {
  const lock = new RwMutex();
  const order: string[] = [];
  const first = await lock.acquireRead();
  const writing = lock.write(() => order.push("write"));
  const reading = lock.read(() => order.push("read"));
  assert.ok(writing instanceof Promise && reading instanceof Promise);
  await settled();
  assert.deepEqual(order, []);
  first.release();
  await Promise.all([writing, reading]);
  assert.deepEqual(order, ["write", "read"]);
  assert.deepEqual(lock.state, FREE);
});

test("a queued function that throws rejects and lets the lock go", async () => {
  const lock = new RwMutex();
  const guard = await lock.acquireWrite();
  const reading = observe(Promise.resolve(lock.read(fail)));
  const writing = observe(Promise.resolve(lock.write(fail)));
  guard.release();
  await settled();
  for (const { outcome } of [reading, writing]) assert.ok(typeof outcome === "object" && "reason" in outcome);
  assert.deepEqual(lock.state, FREE);
});

test("what a function under the lock asks of the lock comes after it, but for a reader in a reader", async () => {
  const lock = new RwMutex();
  const order: string[] = [];
  const nested: unknown[] = [];
  lock.read(() => {
    order.push("read {");
    nested.push(lock.read(() => order.push("read in read")));
    nested.push(lock.write(() => order.push("write in read")));
    nested.push(lock.read(() => order.push("read behind that write")));
    order.push("}");
  });
  await settled();
  lock.write(() => {
    order.push("write {");
    nested.push(lock.read(() => order.push("read in write")));
    nested.push(lock.write(() => order.push("write in write")));
    order.push("}");
  });
  await settled();
  assert.deepEqual(order, [
    ...["read {", "read in read", "}", "write in read", "read behind that write"],
    ...["write {", "}", "read in write", "write in write"],
  ]);
  assert.deepEqual(
    nested.map((each) => each instanceof Promise),
    [false, true, true, true, true],
  );
  assert.deepEqual(lock.state, FREE);
});

test("a function that returns a promise is a defect, and the lock is let go", () => {
  const lock = new RwMutex();
  // biome-ignore lint/suspicious/noThenProperty: the point
  const thenable: unknown = { then: () => {} };
  assert.throws(() => lock.read(() => thenable), InternalDefect);
  assert.throws(() => lock.write((): unknown => Promise.resolve()), InternalDefect);
  assert.deepEqual(lock.state, FREE);
});

test("a guard lets go once, however it is let go", async () => {
  const lock = new RwMutex();
  const first = await lock.acquireWrite();
  first.release();
  const second = await lock.acquireWrite();
  first.release();
  first[Symbol.dispose]();
  assert.deepEqual(lock.state, { readers: 0, writer: true, waiting: 0 });
  const third = observe(lock.acquireWrite());
  await settled();
  assert.equal(third.outcome, "pending");
  second[Symbol.dispose]();
  await settled();
  assert.notEqual(third.outcome, "pending");
});

test("when a waiting writer gives up, the readers behind it go in at once", async () => {
  const lock = new RwMutex();
  const holder = await lock.acquireRead();
  const controller = new AbortController();
  const reason = { why: "closing" };
  const writer = observe(lock.acquireWrite({ signal: controller.signal }));
  const reader = observe(lock.acquireRead());
  const read = observe(Promise.resolve(lock.read(() => "read")));
  controller.abort(reason);
  await settled();
  assert.ok(typeof writer.outcome === "object" && "reason" in writer.outcome);
  assert.equal(writer.outcome.reason, reason);
  assert.notEqual(reader.outcome, "pending");
  assert.deepEqual(read.outcome, { value: "read" });
  assert.deepEqual(lock.state, { readers: 2, writer: false, waiting: 0 });
  holder.release();
});

test("a waiter that gives up between its grant and its wake-up gives the permit back", async () => {
  const lock = new RwMutex();
  const holder = await lock.acquireWrite();
  const controller = new AbortController();
  const writer = observe(lock.acquireWrite({ signal: controller.signal }));
  const next = observe(lock.acquireWrite());
  holder.release();
  controller.abort("too late for the semaphore, not for us");
  await settled();
  assert.ok(typeof writer.outcome === "object" && "reason" in writer.outcome);
  assert.ok(typeof next.outcome === "object" && "value" in next.outcome);
  next.outcome.value.release();
  assert.deepEqual(lock.state, FREE);
  await lock.acquireWrite();
});

test("an already aborted signal gets its reason and takes no place", async () => {
  const lock = new RwMutex();
  const options = { signal: AbortSignal.abort("gone") };
  for (const sync of [() => lock.read(() => 1, options), () => lock.write(() => 1, options)]) {
    assert.throws(sync, (reason) => reason === "gone");
  }
  for (const acquired of [lock.acquireRead(options), lock.acquireWrite(options)]) {
    assert.deepEqual(await acquired.catch((reason: unknown) => ({ reason })), { reason: "gone" });
  }
  assert.deepEqual(lock.state, FREE);
});

test("a deadline ends the wait with its error; an admitted waiter has no timer and no listener", async () => {
  const lock = new RwMutex();
  const clock = new ManualClock();
  const { signal } = new AbortController();
  const holder = await lock.acquireRead();
  const late = observe(lock.acquireWrite({ deadlineMs: 10, clock, signal }));
  const lateFunction = observe(Promise.resolve(lock.read(() => 1, { deadlineMs: 10, clock, signal })));
  const inTime = observe(lock.acquireWrite({ deadlineMs: 20, clock, signal }));
  assert.deepEqual([clock.pending, getEventListeners(signal, "abort").length], [3, 1]);
  await clock.advanceAsync(10);
  assert.ok(typeof late.outcome === "object" && "reason" in late.outcome);
  assert.ok(late.outcome.reason instanceof DeadlineExceededError);
  assert.equal(late.outcome.reason.message, "acquiring the write lock did not finish within 10 ms");
  // Freed by the writer's end in the same moment, before its own timer: it got the lock.
  assert.deepEqual(lateFunction.outcome, { value: 1 });
  holder.release();
  await settled();
  assert.notEqual(inTime.outcome, "pending");
  assert.deepEqual([clock.pending, getEventListeners(signal, "abort").length], [0, 0]);
});

test("ten thousand waiters that give up cost no more than their number", async () => {
  const lock = new RwMutex();
  const holder = await lock.acquireWrite();
  const controllers = Array.from({ length: 10_000 }, () => new AbortController());
  const waiters = controllers.map(({ signal }, index) =>
    observe(index % 2 === 0 ? lock.acquireRead({ signal }) : lock.acquireWrite({ signal })),
  );
  const last = observe(lock.acquireRead());
  for (const controller of controllers) controller.abort("enough");
  await settled();
  assert.ok(waiters.every(({ outcome }) => typeof outcome === "object" && "reason" in outcome));
  assert.equal(lock.state.waiting, 1);
  holder.release();
  await settled();
  assert.ok(typeof last.outcome === "object" && "value" in last.outcome);
  last.outcome.value.release();
  assert.deepEqual(lock.state, FREE);
});

test("the 65th reader waits for one of the 64, and a synchronous one does not", async () => {
  const lock = new RwMutex();
  const guards: Guard[] = [];
  for (let n = 0; n < 64; n += 1) guards.push(await lock.acquireRead());
  const extra = observe(lock.acquireRead());
  await settled();
  assert.equal(extra.outcome, "pending");
  assert.equal(
    lock.read(() => "now"),
    "now",
  );
  guards[0]?.release();
  await settled();
  assert.notEqual(extra.outcome, "pending");
});
