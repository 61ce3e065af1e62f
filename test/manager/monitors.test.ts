/** Who is told of whose end, and who ends with whom. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { fromCallback, fromPromise } from "xstate";
import { type Down, InvalidRequestError, ManagerClosedError, newThreadId, ThreadClosedError } from "../../src/index.ts";
import { settled } from "../kernel/settled.ts";
import { latch, rig, until } from "../rig.ts";

type Message = { type: string; op?: { type: string }; msg?: object };

/** Crashes on `compact`; ends on `shutdown`. */
const crashing = fromCallback<Message>(({ receive, emit }) => {
  const say = emit as (event: object) => void;
  receive(({ type, op, msg }) => {
    if (type === "session.configure") say({ type: "session_configured", id: "", msg });
    if (op?.type === "compact") throw new Error("disk on fire");
    if (op?.type === "shutdown") say({ type: "shutdown_complete", id: "", msg: { type: "shutdown_complete" } });
  });
});

const supervision = { maxRestarts: 1, periodMs: 60_000, backoffMs: 100, random: () => 0 };
const facts = ({ reason, epoch, error }: Down) => [reason, epoch, error instanceof Error ? error.message : error];

suite("monitors", () => {
  test("SEMANTICS 6.1: one down for each monitor, of the end for good and not of a restart, a reload or a failed turn", async () => {
    await using r = await rig({ threadLogic: crashing, supervision });
    const [watcher, watched] = [(await r.manager.startThread()).thread, (await r.manager.startThread()).thread];
    const told: Down[] = [];
    const monitors = [watcher.monitor(watched), watcher.monitor(watched.id, { onDown: (down) => told.push(down) })];
    await watched.submit({ type: "compact" });
    await r.clock.advanceAsync(200);
    assert.equal(watched.epoch, 2);
    assert.deepEqual(told, []);
    await watched.submit({ type: "compact" }).catch(() => undefined);
    await r.clock.advanceAsync(200);
    const downs = await Promise.all(monitors.map(({ down }) => down));
    assert.deepEqual(downs.map(facts), Array(2).fill(["gaveUp", 2, "disk on fire"]));
    assert.deepEqual(told, [downs[1]]);
    assert.deepEqual(
      downs.map(({ ref }) => ref),
      monitors.map(({ ref }) => ref),
    );
  });

  test("SEMANTICS 6.1: both may leave memory meanwhile", async () => {
    await using r = await rig({ residency: { unloadAfterMs: 1_000 } });
    const [watcher, watched] = [(await r.manager.startThread()).thread, (await r.manager.startThread()).thread];
    const { down } = watcher.monitor(watched);
    await r.clock.advanceAsync(5_000);
    assert.equal(r.manager.capacity().unloadedThreads, 2);
    let isTold = false;
    void down.then(() => {
      isTold = true;
    });
    await watched.run("hello");
    await settled();
    assert.equal(isTold, false);
    await watched.shutdown();
    assert.deepEqual(facts(await down), ["shutdown", 2, undefined]);
  });

  test("each end has its reason", async () => {
    const end = latch();
    const ending = fromPromise<void, { sessionConfigured: object }>(({ input, emit }) => {
      (emit as (event: object) => void)({ type: "session_configured", id: "", msg: input.sessionConfigured });
      return end.opened;
    });
    await using r = await rig({ threadLogic: ending, supervision: { restart: "temporary" } });
    const watcher = (await r.manager.startThread({ logic: "built-in" })).thread;
    const monitored = async (config?: { logic: string }) => {
      const { thread } = await r.manager.startThread(config);
      return { thread, ...watcher.monitor(thread) };
    };
    const own = await monitored();
    end.open();
    assert.equal((await own.down).reason, "normal");
    const asked = await monitored({ logic: "built-in" });
    await asked.thread.submit({ type: "shutdown" });
    assert.equal((await asked.down).reason, "shutdown");
    const disposed = await monitored({ logic: "built-in" });
    await disposed.thread[Symbol.asyncDispose]();
    assert.equal((await disposed.down).reason, "shutdown");
    const removed = await monitored({ logic: "built-in" });
    await r.manager.removeThread(removed.threadId);
    await settled();
    const late = watcher.monitor(removed.threadId);
    await removed.thread.shutdown();
    assert.deepEqual([(await removed.down).reason, (await late.down).reason], ["shutdown", "shutdown"]);
  });

  test("SEMANTICS 6.2: of one that is not there it is told at once", async () => {
    await using r = await rig();
    const [watcher, gone] = [(await r.manager.startThread()).thread, (await r.manager.startThread()).thread];
    await gone.shutdown();
    for (const other of [gone, gone.id, newThreadId()]) {
      const { down, threadId } = watcher.monitor(other);
      const told = await down;
      assert.deepEqual([told.type, told.threadId, ...facts(told)], ["down", threadId, "not_found", null, undefined]);
    }
  });

  test("SEMANTICS 1.3, 6.3: the last event comes before", async () => {
    await using r = await rig();
    const [watcher, watched] = [(await r.manager.startThread()).thread, (await r.manager.startThread()).thread];
    const order: string[] = [];
    watched.events$.subscribe({ next: ({ msg }) => order.push(msg.type), complete: () => order.push("complete") });
    watcher.monitor(watched, { onDown: ({ type }) => order.push(type) });
    await watched.shutdown();
    await settled();
    assert.deepEqual(order, ["shutdown_complete", "complete", "down"]);
  });

  test("SEMANTICS 6.4: once it is given up, nothing is told", async () => {
    await using r = await rig();
    const [watcher, watched] = [(await r.manager.startThread()).thread, (await r.manager.startThread()).thread];
    const told: Down[] = [];
    const onDown = (down: Down) => void told.push(down);
    const abort = new AbortController();
    const bySignal = watcher.monitor(watched, { onDown, signal: abort.signal });
    const byHand = watcher.monitor(watched, { onDown });
    const disposed = watcher.monitor(watched, { onDown });
    abort.abort(new Error("enough"));
    assert.deepEqual([byHand.demonitor(), byHand.demonitor()], [true, false]);
    disposed[Symbol.dispose]();
    await assert.rejects(bySignal.down, /enough/);
    await assert.rejects(byHand.down, { name: "AbortError" });
    await watched.shutdown();
    await settled();
    assert.deepEqual(told, []);
    const other = (await r.manager.startThread()).thread;
    const byEnd = watcher.monitor(other);
    await watcher.shutdown();
    await assert.rejects(byEnd.down, ThreadClosedError);
    assert.throws(() => watcher.monitor(other), ThreadClosedError);
    assert.throws(() => other.monitor(other), InvalidRequestError);
    const last = (await r.manager.startThread()).thread;
    const byManager = last.monitor(other);
    await r.manager.shutdown();
    await byManager.down.catch((error: unknown) =>
      assert.ok(error instanceof ThreadClosedError || error instanceof ManagerClosedError),
    );
  });
});

suite("links", () => {
  const pair = async (r: Awaited<ReturnType<typeof rig>>) =>
    [(await r.manager.startThread()).thread, (await r.manager.startThread()).thread] as const;
  const closedOf = (r: Awaited<ReturnType<typeof rig>>) => {
    const closed: string[] = [];
    r.manager.threadClosed$.subscribe(({ threadId }) => closed.push(threadId));
    return closed;
  };

  for (const first of [0, 1] as const) {
    test(`SEMANTICS 6.5: two end together, whichever ends first (${first})`, async () => {
      await using r = await rig();
      const threads = await pair(r);
      const closed = closedOf(r);
      threads[0].link(threads[1]);
      await threads[first].shutdown();
      await until(() => closed.length === 2);
      assert.deepEqual([...closed].sort(), threads.map(({ id }) => id).sort());
    });
  }

  test("SEMANTICS 6.5: one that traps is told and lives; the other end still takes the first along", async () => {
    await using r = await rig();
    const [a, b] = await pair(r);
    const { down } = a.link(b, { trap: true });
    await b.shutdown();
    assert.equal((await down).reason, "shutdown");
    await settled();
    assert.equal((await a.run("still there")).status, "completed");
    const [c, d] = await pair(r);
    const closed = closedOf(r);
    c.link(d, { trap: true });
    await c.shutdown();
    await until(() => closed.length === 2);
  });

  test("SEMANTICS 6.5: linked twice it is one link, and one unlink ends it; to nobody it ends the linker", async () => {
    await using r = await rig();
    const [a, b] = await pair(r);
    const [first, second] = [a.link(b), b.link(a.id)];
    assert.deepEqual([second.unlink(), first.unlink()], [true, false]);
    await a.shutdown();
    await settled();
    assert.equal((await b.run("alone")).status, "completed");
    const closed = closedOf(r);
    b.link(a);
    await until(() => closed.includes(b.id));
  });

  test("SEMANTICS 6.6: a crash that is restarted ends nobody; one that is given up does, and its partner is not restarted", async () => {
    await using r = await rig({ threadLogic: crashing, supervision: { ...supervision, restart: "permanent" } });
    const [a, b] = await pair(r);
    const closed = closedOf(r);
    a.link(b);
    await a.submit({ type: "compact" });
    await r.clock.advanceAsync(200);
    assert.deepEqual(closed, []);
    await a.submit({ type: "compact" });
    await r.clock.advanceAsync(5_000);
    await until(() => closed.length === 2);
    assert.deepEqual(closed, [a.id, b.id]);
  });
});
