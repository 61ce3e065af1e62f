/** Timers of threads, by a manual clock: never early, once, over restarts, and gone when they are cancelled. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import {
  newThreadId,
  type Op,
  say,
  scriptedClient,
  type Thread,
  type ThreadEvent,
  ThreadManager,
  wait,
} from "../../src/index.ts";
import { type Clock, ManualClock } from "../../src/kernel/clock.ts";
import { silentLog } from "../../src/kernel/log.ts";
import { runtimeOf } from "../../src/manager/runtime-of.ts";
import { Timers } from "../../src/manager/timers.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import { MemoryNotes } from "../../src/store/standing-notes.ts";
import type { ThreadStore } from "../../src/store/thread-store.ts";
import type { LiveThread } from "../../src/thread/live-thread.ts";
import { settled } from "../kernel/settled.ts";
import { latch, overlaid, rig, until, watch } from "../rig.ts";

const input = (text: string): Op => ({ type: "user_input", items: [{ type: "text", text }] });

const fired = (events: readonly ThreadEvent[]) =>
  events.flatMap(({ msg }) =>
    msg.type === "timer_fired"
      ? [msg as { due_at: number; fired_at: number; late: boolean; missed: number; id: string }]
      : [],
  );

const ended = (events: readonly ThreadEvent[]) => events.filter(({ msg }) => msg.type === "task_complete").length;

const rest = async () => {
  for (let n = 0; n < 12; n += 1) await settled();
};

function warnings() {
  const lines: unknown[] = [];
  const warn = (...said: unknown[]) => void lines.push(said);
  return { lines, logger: { ...silentLog, warn } };
}

suite("timers", () => {
  test("SEMANTICS 10.1: after and at fire once, never early; set again under the same id, the first is replaced", async () => {
    await using r = await rig();
    const { thread } = await r.manager.startThread();
    const seen = watch(thread);
    const now = r.clock.now();
    await thread.schedule({ after: 1_000 }, input("a"), { id: "one" });
    const timer = await thread.schedule({ at: new Date(now + 2_000) }, input("b"), { id: "one" });
    assert.deepEqual([timer.id, timer.dueAt], ["one", now + 2_000]);
    assert.deepEqual(thread.timers, [{ id: "one", dueAt: now + 2_000 }]);
    await r.clock.advanceAsync(1_999);
    await rest();
    assert.equal(fired(seen).length, 0);
    await r.clock.advanceAsync(1);
    await until(() => ended(seen) === 1);
    assert.deepEqual(
      fired(seen).map(({ due_at, fired_at, late }) => [due_at - now, fired_at - now, late]),
      [[2_000, 2_000, false]],
    );
    await r.clock.advanceAsync(60_000);
    assert.deepEqual([r.model.requests.length, thread.timers], [1, []]);
    assert.deepEqual(await timer.cancel(), { cancelled: false, fired: 1 });
  });

  test("SEMANTICS 10.4: every counts from its first time: after a thousand periods it has not drifted", async () => {
    await using r = await rig();
    const { thread } = await r.manager.startThread();
    const seen = watch(thread);
    const begun = r.clock.now();
    const timer = await thread.schedule({ every: 1_000 }, { type: "inject_items", items: [] });
    for (let n = 0; n < 200; n += 1) await r.clock.advanceAsync(997 + (n % 7));
    await rest();
    const all = fired(seen);
    assert.ok(all.every(({ due_at }, n) => due_at === begun + (n + 1) * 1_000));
    assert.equal(all.length, Math.floor((r.clock.now() - begun) / 1_000));
    assert.deepEqual(await timer.cancel(), { cancelled: true, fired: all.length });
    await r.clock.advanceAsync(10_000);
    assert.equal(fired(seen).length, all.length);
    assert.deepEqual(await timer.cancel(), { cancelled: false, fired: 0 });
  });

  test("SEMANTICS 10.3: what came due while nobody was there fires at the next start, late; with `one` the last of the missed stands for all of them", async () => {
    const store = memoryStore();
    const at = 1_000_000;
    {
      await using r = await rig({ store });
      const { thread } = await r.manager.startThread();
      for (const missed of ["skip", "one", "all"] as const) {
        await thread.schedule({ every: 20_000, missed }, { type: "inject_items", items: [] }, { id: missed });
      }
      await thread.schedule({ after: 10_000 }, input("once"), { id: "once" });
    }
    const clock = new ManualClock({ startMs: at + 85_000 });
    const seen: ThreadEvent[] = [];
    const manager = await ThreadManager.create({ store, clock, model: scriptedClient(() => "ok", { clock }) });
    manager.events$.subscribe((event) => seen.push(event));
    for (let n = 0; n < 100 && fired(seen).length < 6; n += 1) await clock.advanceAsync(1);
    await rest();
    const all = fired(seen).map(({ id, due_at, late, missed }) => [id, due_at - at, late, missed]);
    assert.deepEqual(all.toSorted(), [
      ["all", 20_000, true, 0],
      ["all", 40_000, true, 0],
      ["all", 60_000, true, 0],
      ["all", 80_000, true, 0],
      ["once", 10_000, true, 0],
      ["one", 80_000, true, 3],
    ]);
    await clock.advanceAsync(15_000);
    await until(() => fired(seen).length >= 9);
    await rest();
    assert.deepEqual(
      fired(seen)
        .slice(all.length)
        .map(({ id, due_at, late }) => [id, due_at - at, late])
        .toSorted(),
      [
        ["all", 100_000, false],
        ["one", 100_000, false],
        ["skip", 100_000, false],
      ],
    );
    const down = manager.shutdown({ deadlineMs: 10 });
    await rest();
    await down;
  });

  test("SEMANTICS 10.4: while the op of its last firing is at work, a repeating timer skips", async () => {
    const open = latch();
    await using r = await rig({ script: () => [wait(open.opened), say("ok")] });
    const { thread } = await r.manager.startThread();
    const seen = watch(thread);
    await thread.schedule({ every: 1_000 }, input("tick"));
    await r.clock.advanceAsync(1_000);
    await until(() => r.model.requests.length === 1);
    for (let n = 0; n < 4; n += 1) await r.clock.advanceAsync(1_000);
    await rest();
    assert.deepEqual([fired(seen).length, r.model.requests.length], [1, 1]);
    open.open();
    await until(() => ended(seen) === 1);
    await r.clock.advanceAsync(1_000);
    await until(() => ended(seen) === 2);
  });

  test("SEMANTICS 10.6: an unloaded thread is loaded for its timer; one that has ended takes its timers along", async () => {
    await using r = await rig({ residency: { unloadAfterMs: 1_000 } });
    const { thread } = await r.manager.startThread();
    const { thread: gone } = await r.manager.startThread();
    for (const one of [thread, gone]) await one.schedule({ after: 60_000 }, input("wake"));
    await gone.shutdown();
    await r.clock.advanceAsync(30_000);
    assert.equal(thread.actor, undefined);
    await r.clock.advanceAsync(30_000);
    await until(() => r.model.requests.length === 1);
    await rest();
    assert.equal(r.model.requests.length, 1);
    assert.deepEqual(await r.store.notes?.threads("timers"), []);
    await assert.rejects(gone.schedule({ after: 1 }, input("x")), { code: "thread_closed" });
  });

  test("SEMANTICS 10.6: one that was taken out of its manager takes its timers along, and has no new ones", async () => {
    await using r = await rig({ residency: { unloadAfterMs: 1_000 } });
    for (const isLoaded of [true, false]) {
      const { thread } = await r.manager.startThread();
      await thread.schedule({ every: 20_000 }, input("wake"));
      if (!isLoaded) await r.clock.advanceAsync(5_000);
      assert.equal(thread.actor === undefined, !isLoaded);
      const held = (await r.manager.removeThread(thread.id)) ?? assert.fail();
      await rest();
      assert.deepEqual([held.timers, await r.store.notes?.threads("timers")], [[], []]);
      await assert.rejects(held.schedule({ after: 1 }, input("x")), { code: "thread_not_found" });
      await r.clock.advanceAsync(60_000);
      await rest();
      assert.equal(r.model.requests.length, 0);
      await held.shutdown();
    }
    assert.equal(runtimeOf(r.manager)?.leftBeside().timers, 0);
  });

  test("SEMANTICS 10.6: a thread that is given away while its timer fires keeps it for whoever has it now", async () => {
    const inner = memoryStore();
    const slow = latch();
    let waits = false;
    const notes = overlaid(inner.notes ?? assert.fail(), {
      write: async (...args) => {
        if (waits) await slow.opened;
        await inner.notes?.write(...args);
      },
    });
    const store: ThreadStore = overlaid(inner, { notes });
    await using r = await rig({ store });
    const { thread } = await r.manager.startThread();
    const { thread: other } = await r.manager.startThread();
    const injected: Op = { type: "inject_items", items: [] };
    await other.schedule({ every: 1_000 }, injected, { id: "firing" });
    for (const one of [thread, other]) await one.schedule({ after: 50_000 }, injected, { id: "later" });
    // Of the first, one write runs and another waits when it moves; the other moves while its timer gives its op.
    waits = true;
    const setting = ["a", "b"].map((id) => thread.schedule({ after: 40_000 }, injected, { id }));
    const moving = [thread, other].map(({ id }) => runtimeOf(r.manager)?.giveAway(id));
    await r.clock.advanceAsync(1_000);
    await Promise.all(moving);
    slow.open();
    await Promise.all(setting);
    await rest();
    for (const { id } of [thread, other])
      assert.match(
        JSON.stringify(await inner.notes?.read(id, "timers")),
        /"later"/,
        id === other.id ? "the other" : "the first",
      );
    assert.equal(runtimeOf(r.manager)?.leftBeside().timers, 0);
  });

  test("SEMANTICS 10.1: a time of day that is set forward is seen within a minute; one that is set back is waited for", async () => {
    const time = new ManualClock({ startMs: 1_000_000 });
    let ahead = 0;
    const clock: Clock = {
      now: () => time.now() + ahead,
      setTimeout: (fn, ms) => time.setTimeout(fn, ms),
      background: (fn, ms) => time.background(fn, ms),
      clearTimeout: (handle) => time.clearTimeout(handle),
    };
    await using r = await rig({ clock });
    const { thread } = await r.manager.startThread();
    const seen = watch(thread);
    const injected: Op = { type: "inject_items", items: [] };
    await thread.schedule({ after: 7_200_000 }, injected, { id: "forward" });
    await time.advanceAsync(1_000);
    assert.equal(fired(seen).length, 0);
    ahead = 7_200_000;
    await time.advanceAsync(60_000);
    await rest();
    assert.deepEqual(
      fired(seen).map(({ id }) => id),
      ["forward"],
    );
    await thread.schedule({ after: 30_000 }, injected, { id: "back" });
    ahead -= 3_600_000;
    await time.advanceAsync(3_600_000);
    await rest();
    assert.equal(fired(seen).length, 1);
    await time.advanceAsync(30_000);
    await rest();
    assert.deepEqual(
      fired(seen).map(({ id }) => id),
      ["forward", "back"],
    );
    const ending = r.manager.shutdown({ deadlineMs: 1_000 });
    await rest();
    await time.advanceAsync(5_000);
    await ending;
    assert.equal(time.pending, 0);
  });

  test("timers of a thread whose rollout is gone are dropped once, with a line in the log that names both", async () => {
    const store = memoryStore();
    const { lines, logger } = warnings();
    await using r = await rig({ store, logger, residency: { unloadAfterMs: 1_000 } });
    const { thread } = await r.manager.startThread();
    await thread.schedule({ every: 60_000 }, input("wake"), { id: "t" });
    await r.clock.advanceAsync(30_000);
    assert.equal(thread.actor, undefined);
    await store.delete(thread.id);
    await store.notes?.write(thread.id, "timers", []);
    await r.clock.advanceAsync(30_000);
    await until(() => lines.length > 0);
    await rest();
    assert.deepEqual(lines, [[{ threadId: thread.id, timer: "t" }, "a timer's thread is not there any more"]]);
    assert.deepEqual([await store.notes?.threads("timers"), thread.timers], [[], []]);
  });

  test("SEMANTICS 10.5: a process that dies between giving the op and noting that fires again under the same id: one turn", async () => {
    const inner = memoryStore();
    let isDead = false;
    const notes = overlaid(inner.notes ?? assert.fail(), {
      write: async (...args) => {
        if (!isDead) await inner.notes?.write(...args);
      },
    });
    const store: ThreadStore = overlaid(inner, { notes });
    let id = "";
    {
      await using r = await rig({ store });
      const { thread } = await r.manager.startThread();
      id = thread.id;
      const seen = watch(thread);
      await thread.schedule({ after: 1_000 }, input("pay"));
      isDead = true;
      await r.clock.advanceAsync(1_000);
      await until(() => ended(seen) === 1);
      assert.equal(r.model.requests.length, 1);
    }
    isDead = false;
    assert.deepEqual(await inner.notes?.threads("timers"), [id]);
    await using r = await rig({ store });
    await r.clock.advanceAsync(2_000);
    for (let n = 0; n < 60; n += 1) await settled();
    assert.equal(r.model.requests.length, 0);
    assert.deepEqual(await inner.notes?.threads("timers"), []);
  });

  test("wrong times are refused by name; a failed write sets nothing", async () => {
    const inner = memoryStore();
    let fails = false;
    const notes = overlaid(inner.notes ?? assert.fail(), {
      write: async (...args) => {
        if (fails) throw new Error("full");
        await inner.notes?.write(...args);
      },
    });
    await using r = await rig({ store: overlaid(inner, { notes }) });
    const { thread } = await r.manager.startThread();
    for (const when of [
      {},
      { after: -1 },
      { after: 1, at: 2 },
      { every: 0 },
      { at: Number.NaN },
      { at: 8.64e15 + 1 },
      { at: new Date(Number.NaN) },
      { after: Number.POSITIVE_INFINITY },
      { every: Number.NaN },
      { after: "5" },
      null,
      { every: 5, missed: "x" },
    ]) {
      await assert.rejects(thread.schedule(when as never, input("x")), {
        code: "invalid_request",
        message: /schedule/,
      });
    }
    await assert.rejects(thread.schedule({ after: 1 }, { type: "user_input" } as never), { code: "invalid_request" });
    // A note that holds one of these could not be read by the next process.
    for (const options of [{ id: "" }, { id: 5 }, { id: null }, { id: "x".repeat(257) }, { name: "x" }, "x"])
      await assert.rejects(thread.schedule({ after: 1 }, input("x"), options as never), { code: "invalid_request" });
    await (await thread.schedule({ after: 1 }, input("x"), { id: "x".repeat(256) })).cancel();
    fails = true;
    await assert.rejects(thread.schedule({ after: 1 }, input("x")), /full/);
    assert.deepEqual(thread.timers, []);
    fails = false;
  });

  test("SEMANTICS 10.2: any interleaving of setting, cancelling, time and restarts: each fires at its time, once, or is cancelled", async () => {
    const step = fc.oneof(
      fc.record({ do: fc.constant("set" as const), id: fc.nat(3), ms: fc.integer({ min: 1, max: 5_000 }) }),
      fc.record({ do: fc.constant("cancel" as const), id: fc.nat(3) }),
      fc.record({ do: fc.constant("pass" as const), ms: fc.nat(4_000) }),
      fc.record({ do: fc.constant("restart" as const) }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 20 }), async (steps) => {
        const store = memoryStore();
        const clock = new ManualClock({ startMs: 1_000_000 });
        const expected: number[] = [];
        const happened: number[] = [];
        const waiting = new Map<number, number>();
        const open = async () => {
          const manager = await ThreadManager.create({ store, clock, model: scriptedClient(() => "ok", { clock }) });
          manager.events$.subscribe((event) => happened.push(...fired([event]).map(({ due_at }) => due_at)));
          return manager;
        };
        let manager = await open();
        const { threadId } = await manager.startThread();
        const thread = (): Promise<Thread> => manager.resumeThread(threadId).then(({ thread: one }) => one);
        const op: Op = { type: "inject_items", items: [] };
        for (const one of steps) {
          if (one.do === "set") {
            await (await thread()).schedule({ after: one.ms }, op, { id: String(one.id) });
            waiting.set(one.id, clock.now() + one.ms);
          }
          if (one.do === "cancel") {
            const { cancelled } = await (await thread()).cancelTimer(String(one.id));
            assert.equal(cancelled, waiting.delete(one.id));
          }
          if (one.do === "restart") {
            const down = manager.shutdown({ deadlineMs: 10 });
            await rest();
            await down;
            manager = await open();
            await rest();
          }
          if (one.do === "pass") {
            await clock.advanceAsync(one.ms);
            await rest();
            for (const [id, at] of waiting) {
              if (at > clock.now()) continue;
              expected.push(at);
              waiting.delete(id);
            }
          }
          assert.deepEqual(happened.toSorted(), expected.toSorted());
          assert.deepEqual(
            (await thread()).timers.map(({ dueAt }) => dueAt),
            [...waiting.values()].toSorted((a, b) => a - b),
          );
        }
        await manager.shutdown({ deadlineMs: 10 });
      }),
      { numRuns: Number(process.env.SKEIN_WALKS ?? 40) },
    );
  });
});

test("SEMANTICS 10.7: however many are due at once, each fires once, and the event loop turns meanwhile", async () => {
  const clock = new ManualClock({ startMs: 1_000 });
  const notes = new MemoryNotes();
  const [threads, each] = [50, 100];
  for (let t = 0; t < threads; t += 1) {
    const timer = { op: { type: "interrupt" }, every: null, missed: "one", next: 0, fired: 0 };
    const rows = Array.from({ length: each }, (_, n) => ({
      ...timer,
      id: `t${n}`,
      set: newThreadId(),
      firstAt: 2_000 + n,
    }));
    await notes.write(newThreadId(), "timers", rows);
  }
  const firings = new Map<string, number>();
  const thread = {
    incarnation: { publish: () => undefined, ledger: { isWaiting: () => false } },
    submitWithId: async ({ id }: { id: string }) => void firings.set(id, (firings.get(id) ?? 0) + 1),
  } as unknown as LiveThread;
  const host = {
    ...{ clock, logger: silentLog, lasting: notes, notesOf: () => notes },
    ...{ isRemoved: () => false, bring: async () => thread },
  };
  const timers = new Timers(host);
  await timers.takeUp();
  clock.advance(5_000);
  const atTurns: number[] = [];
  while (timers.size > 0) {
    await new Promise((resolve) => setImmediate(resolve));
    atTurns.push(firings.size);
  }
  assert.ok((atTurns[0] ?? 0) < threads * each, "the loop has turned before all have fired");
  assert.deepEqual([firings.size, Math.max(...firings.values())], [threads * each, 1]);
  await timers.close();
  assert.equal(clock.pending, 0);
});
