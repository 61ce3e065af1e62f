/** Restart intensity holds whatever asks for the thread, by a clock that nobody sets (S7). */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { fromCallback } from "xstate";
import type { ThreadManagerOptions } from "../../src/index.ts";
import { ManualClock } from "../../src/kernel/clock.ts";
import { silentLog } from "../../src/kernel/log.ts";
import { ThreadBusyError } from "../../src/protocol/errors.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import type { ThreadStore } from "../../src/store/thread-store.ts";
import { settled } from "../kernel/settled.ts";
import { overlaid, rig, until } from "../rig.ts";

type Message = { type: string; op?: { type: string }; msg?: object };

/** Crashes on `compact`. */
const crashing = fromCallback<Message>(({ receive, emit }) =>
  receive(({ type, op, msg }) => {
    if (type === "session.configure") (emit as (event: object) => void)({ type: "session_configured", id: "", msg });
    if (op?.type === "compact") throw new Error("disk on fire");
  }),
);

const supervision: ThreadManagerOptions["supervision"] = {
  maxRestarts: 2,
  periodMs: 60_000,
  backoffMs: 100,
  maxBackoffMs: 10_000,
  random: () => 0,
};

suite("restarts", () => {
  test("SEMANTICS 2.3, 4.3: messages, resumes and lookups wait for the restart, and none of them makes a life more than the intensity allows", async () => {
    await using r = await rig({ threadLogic: crashing, supervision });
    const { thread, threadId } = await r.manager.startThread();
    const crashed: number[] = [];
    const closed: unknown[] = [];
    r.manager.threadCrashed$.subscribe(({ epoch }) => crashed.push(epoch));
    r.manager.threadClosed$.subscribe((end) => closed.push(end));
    const ask = () => [
      thread.submit({ type: "compact" }),
      r.manager.resumeThread(threadId),
      r.manager.getThread(threadId),
      r.manager.sendOp(threadId, { type: "compact" }),
    ];
    const asked = Array.from({ length: 10 }, ask).flat();
    const outcomes = Promise.allSettled(asked);
    for (let n = 0; n < 20; n += 1) await r.clock.advanceAsync(100);
    await until(() => closed.length === 1);
    assert.deepEqual(crashed, [1, 2, 3]);
    const [end] = closed as { threadId: string; epoch: number; reason: string; error: Error }[];
    assert.deepEqual(
      [end?.threadId, end?.epoch, end?.reason, end?.error.message],
      [threadId, 3, "gaveUp", "disk on fire"],
    );
    for (let n = 0; n < 40; n += 1) await r.clock.advanceAsync(100);
    await outcomes;
  });

  test("how a thread stands with its restarts can be asked: back-off, what is left, and what it failed by", async () => {
    await using r = await rig({ threadLogic: crashing, supervision });
    const { threadId } = await r.manager.startThread();
    const standing = () => r.manager.restartsOf(threadId);
    assert.deepEqual(standing(), {
      ...{ state: "up", strategy: "transient", crashes: 0, left: 2, maxRestarts: 2, periodMs: 60_000 },
      ...{ dueInMs: null, error: null, group: null },
    });
    await r.manager.sendOp(threadId, { type: "compact" });
    await until(() => standing().state === "backingOff");
    assert.deepEqual(
      [standing().crashes, standing().left, standing().dueInMs, standing().error],
      [1, 1, 100, "disk on fire"],
    );
    await r.clock.advanceAsync(40);
    assert.equal(standing().dueInMs, 60);
    await r.clock.advanceAsync(60);
    await until(() => r.manager.loadedThread(threadId) !== undefined);
    assert.deepEqual([standing().state, standing().crashes, standing().error], ["up", 1, null]);
    for (const _ of [1, 2]) {
      await r.manager.sendOp(threadId, { type: "compact" });
      await until(() => r.manager.loadedThread(threadId) === undefined);
      await r.clock.advanceAsync(200);
    }
    await until(() => standing().state === "gaveUp");
    assert.deepEqual([standing().left, standing().dueInMs], [0, null]);
    await r.clock.advanceAsync(60_000);
    assert.equal(standing().crashes, 0, "what is older than the period does not count");
  });

  test("after it was given up, resuming it by hand neither counts nor begins the count anew, until the period is over", async () => {
    await using r = await rig({ threadLogic: crashing, supervision: { ...supervision, maxRestarts: 1 } });
    const { threadId } = await r.manager.startThread();
    const closed: string[] = [];
    r.manager.threadClosed$.subscribe(({ reason }) => closed.push(reason));
    const crash = async () => {
      await r.manager.sendOp(threadId, { type: "compact" });
      await until(() => r.manager.loadedThread(threadId) === undefined);
      await r.clock.advanceAsync(100);
    };
    await crash();
    await crash();
    assert.deepEqual(closed, ["gaveUp"]);
    await r.manager.resumeThread(threadId);
    await crash();
    assert.deepEqual(closed, ["gaveUp", "gaveUp"]);
    await r.manager.resumeThread(threadId);
    await r.clock.advanceAsync(60_000);
    await crash();
    assert.deepEqual([closed.length, r.manager.loadedThread(threadId)?.epoch], [2, 5]);
  });

  test("a crash counts for its period and no longer, whenever the thread was closed and resumed meanwhile", async () => {
    await using r = await rig({ threadLogic: crashing, supervision });
    const { threadId } = await r.manager.startThread();
    const crashes = () => r.manager.restartsOf(threadId).crashes;
    for (const counted of [1, 2]) {
      await r.manager.sendOp(threadId, { type: "compact" });
      await until(() => r.manager.loadedThread(threadId) === undefined);
      await r.clock.advanceAsync(200);
      await until(() => r.manager.loadedThread(threadId) !== undefined);
      assert.equal(crashes(), counted);
      const ended = r.manager.loadedThread(threadId)?.shutdown({ deadlineMs: 100 });
      await r.clock.advanceAsync(40_000);
      await ended;
      if (counted === 1) await r.manager.resumeThread(threadId);
    }
    assert.equal(crashes(), 1, "the newer one still counts");
    await r.manager.resumeThread(threadId);
    assert.equal(crashes(), 1);
    await r.clock.advanceAsync(40_000);
    assert.equal(crashes(), 0);
  });

  test("a thread that stays down is told in the log, with what it crashed of and how often", async () => {
    const told: unknown[][] = [];
    const logger = { ...silentLog, error: (...words: unknown[]) => void told.push(words) };
    await using r = await rig({ threadLogic: crashing, supervision: { ...supervision, maxRestarts: 0 }, logger });
    const { threadId } = await r.manager.startThread();
    await r.manager.sendOp(threadId, { type: "compact" });
    await until(() => r.manager.loadedThread(threadId) === undefined);
    await settled();
    const [details] = told.find(([, message]) => String(message).includes("stays down")) ?? [];
    assert.partialDeepStrictEqual(details, { threadId, crashes: 1 });
    assert.match(String(Object(details).err), /disk on fire/);
  });

  test("SEMANTICS 4.3: the time of day that is set back or forward changes nothing", async () => {
    const clock = new ManualClock({ startMs: 10_000_000 });
    let set = 0;
    const shifted = overlaid(clock, { now: () => clock.now() + set, monotonic: () => clock.monotonic() });
    await using r = await rig({
      threadLogic: crashing,
      supervision: { ...supervision, maxRestarts: 1 },
      clock: shifted,
    });
    const { threadId } = await r.manager.startThread();
    const crash = async () => {
      await r.manager.sendOp(threadId, { type: "compact" });
      await until(() => r.manager.loadedThread(threadId) === undefined);
      await clock.advanceAsync(100);
    };
    await crash();
    await clock.advanceAsync(120_000);
    set = -120_000;
    await crash();
    assert.equal(r.manager.loadedThread(threadId)?.epoch, 3);
    set = 10_000_000;
    await crash();
    await assert.rejects(r.manager.getThread(threadId), { code: "thread_not_found" });
  });

  test("a thread leaves memory when it has had nothing to do for long, whatever the time of day is set to", async () => {
    const clock = new ManualClock({ startMs: 10_000_000 });
    let set = 0;
    const shifted = overlaid(clock, { now: () => clock.now() + set });
    await using r = await rig({ clock: shifted, residency: { unloadAfterMs: 60_000, trimAfterMs: 10_000 } });
    const { threadId } = await r.manager.startThread();
    const isLoaded = () => r.manager.loadedThread(threadId) !== undefined;
    set = 3_600_000;
    await clock.advanceAsync(30_000);
    assert.equal(isLoaded(), true);
    set = -3_600_000;
    await clock.advanceAsync(60_000);
    assert.equal(isLoaded(), false);
  });

  test("threads that crash together come back apart, as the seed says", async () => {
    let n = 0;
    const random = () => (n++ % 10) / 10;
    await using r = await rig({ threadLogic: crashing, supervision: { ...supervision, backoffMs: 1_000, random } });
    const threads = await Promise.all(Array.from({ length: 10 }, async () => (await r.manager.startThread()).thread));
    for (const thread of threads) await thread.submit({ type: "compact" });
    await until(() => threads.every(({ actor }) => actor === undefined));
    const back: number[] = [];
    for (let at = 0; at <= 1_000; at += 50) {
      back.push(threads.filter(({ actor }) => actor !== undefined).length);
      await r.clock.advanceAsync(50);
    }
    assert.equal(back.at(-1), 10);
    assert.ok(new Set(back).size >= 10, `they came back in ${new Set(back).size - 1} steps`);
  });

  test("SEMANTICS 4.4: a thread that is down keeps its place: no newcomer takes it, and its restart is never refused for want of room", async () => {
    await using r = await rig({
      threadLogic: crashing,
      supervision,
      limits: { residentThreads: 2, roomDeadlineMs: 20 },
    });
    const { thread, threadId } = await r.manager.startThread();
    await thread.submit({ type: "compact" });
    await until(() => thread.actor === undefined);
    await r.manager.startThread();
    const third = await r.manager.startThread();
    assert.notEqual(third.thread.actor, undefined);
    await r.clock.advanceAsync(100);
    assert.deepEqual([r.manager.loadedThread(threadId)?.epoch, r.manager.capacity().residentThreads.used], [2, 2]);
  });

  test("SEMANTICS 4.4: a restart that another process's lease refuses is tried again, uncounted, for the period at most", async () => {
    const inner = memoryStore();
    let isBusy = false;
    let tries = 0;
    const store = overlaid<ThreadStore>(inner, {
      open: (...args) => {
        tries += isBusy ? 1 : 0;
        if (isBusy) return Promise.reject(new ThreadBusyError("busy"));
        return inner.open(...args);
      },
    });
    await using r = await rig({ store, threadLogic: crashing, supervision: { ...supervision, maxRestarts: 1 } });
    const { thread, threadId } = await r.manager.startThread();
    isBusy = true;
    await thread.submit({ type: "compact" });
    for (let n = 0; n < 20; n += 1) await r.clock.advanceAsync(100);
    assert.ok(tries > 5, `${tries} tries`);
    isBusy = false;
    await r.clock.advanceAsync(100);
    assert.equal(r.manager.loadedThread(threadId)?.epoch, 2);
    isBusy = true;
    await r.clock.advanceAsync(60_000);
    await thread.submit({ type: "compact" });
    for (let n = 0; n < 70; n += 1) await r.clock.advanceAsync(1_000);
    await assert.rejects(r.manager.getThread(threadId), { code: "thread_not_found" });
  });

  test("a logic that throws lets go of what it holds, and nothing of it outlives the manager", async () => {
    const alive = new Set<object>();
    const holding = fromCallback<Message>(({ receive, emit }) => {
      const held = {};
      alive.add(held);
      receive(({ type, op, msg }) => {
        if (type === "session.configure")
          (emit as (event: object) => void)({ type: "session_configured", id: "", msg });
        if (op?.type === "compact") throw new Error("crash");
      });
      return () => alive.delete(held);
    });
    await using r = await rig({ threadLogic: holding, supervision });
    const { thread } = await r.manager.startThread();
    await thread.submit({ type: "compact" });
    await settled();
    assert.equal(alive.size, 0);
    await r.clock.advanceAsync(100);
    assert.equal(alive.size, 1);
    const down = r.manager.shutdown({ deadlineMs: 100 });
    await r.clock.advanceAsync(5_000);
    await down;
    assert.equal(alive.size, 0);
  });
});
