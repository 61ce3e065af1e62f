/** The end of a manager: who ends before whom, within which time, and what is told of it. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { fromCallback } from "xstate";
import { type ThreadId, wait } from "../../src/index.ts";
import { ManualClock } from "../../src/kernel/clock.ts";
import { endInOrder, endOrder } from "../../src/manager/ordered-end.ts";
import { newThreadId } from "../../src/protocol/ids.ts";
import { rig, until } from "../rig.ts";

/** Takes up work, and never ends it. */
const deaf = fromCallback<{ type: string; msg?: object }>(({ receive, emit }) =>
  receive(({ type, msg }) => {
    const say = emit as (event: object) => void;
    if (type === "session.configure") say({ type: "session_configured", id: "", msg });
    else say({ type: "task_started", id: "1", msg: { type: "task_started", turn_id: "1" } });
  }),
);
const work = { type: "user_input" as const, items: [{ type: "text" as const, text: "work" }] };

function closedOf(r: Awaited<ReturnType<typeof rig>>): ThreadId[] {
  const closed: ThreadId[] = [];
  r.manager.threadClosed$.subscribe(({ threadId }) => closed.push(threadId));
  return closed;
}

suite("manager.shutdown", () => {
  test("SEMANTICS 7.9: agents end before whoever started them, through those that have gone, and all are reported", async () => {
    await using r = await rig();
    const start = async (parentThreadId?: ThreadId) =>
      (await r.manager.startThread(undefined, { parentThreadId })).threadId;
    const root = await start();
    const [a, b] = [await start(root), await start(root)];
    const [a1, b1] = [await start(a), await start(b)];
    const gone = await start(b1);
    const orphan = await start(gone);
    await (await r.manager.getThread(gone)).shutdown();
    const removed = await r.manager.removeThread(b);
    const closed = closedOf(r);
    const report = await r.manager.shutdown();
    await assert.rejects(async () => removed?.submit({ type: "compact" }), { code: "thread_closed" });
    assert.deepEqual([...report.completed].toSorted(), [root, a, b, a1, b1, orphan].toSorted());
    assert.deepEqual([report.failed, report.timedOut], [[], []]);
    for (const [first, second] of [
      [a1, a],
      [orphan, b1],
      [b1, b],
      [a, root],
      [b, root],
    ] as const)
      assert.ok(closed.indexOf(first) < closed.indexOf(second), `${closed.indexOf(first)} < ${closed.indexOf(second)}`);
  });

  test("SEMANTICS 7.9: groups end right to left, a group in a group in its place", async () => {
    await using r = await rig();
    const group = await r.manager.group({ strategy: "one_for_all" });
    const first = (await group.startThread()).threadId;
    const inner = await group.group();
    const [i1, i2] = [(await inner.startThread()).threadId, (await inner.startThread()).threadId];
    const last = (await group.startThread()).threadId;
    const under = (await r.manager.startThread(undefined, { parentThreadId: first })).threadId;
    const closed = closedOf(r);
    await r.manager.shutdown();
    assert.deepEqual(
      closed.filter((id) => id !== under),
      [last, i2, i1, first],
    );
    assert.ok(closed.indexOf(under) < closed.indexOf(first));
  });

  test("SEMANTICS 7.9: those that hang are ended by force, and leave time to the others; the deadline holds for all", async () => {
    await using r = await rig({ logics: { deaf } });
    const started = r.clock.now();
    let parent: ThreadId | undefined;
    const hung: ThreadId[] = [];
    for (let depth = 0; depth < 3; depth += 1) {
      const { threadId, thread } = await r.manager.startThread({ logic: "deaf" }, { parentThreadId: parent });
      await thread.submit(work);
      hung.unshift(threadId);
      parent = threadId;
    }
    const { threadId: well } = await r.manager.startThread();
    const ending = r.manager.shutdown({ deadlineMs: 1_000 });
    let at = 0;
    void ending.then(() => {
      at = r.clock.now();
    });
    await r.clock.advanceAsync(5_000);
    assert.deepEqual(await ending, { completed: [well], failed: [], timedOut: hung });
    assert.ok(at - started <= 1_000, `${at - started} ms`);
  });

  test("a turn that runs is interrupted before very many idle threads end", async () => {
    await using r = await rig({ script: () => [wait(60_000)] });
    for (let n = 0; n < 100; n += 1) await r.manager.startThread();
    const { thread } = await r.manager.startThread();
    await thread.submit(work);
    await until(() => r.model.asked === 1);
    const closed = closedOf(r);
    let before: number | undefined;
    thread.events$.subscribe(({ msg }) => {
      if (msg.type === "turn_aborted") before = closed.length;
    });
    await r.manager.shutdown();
    assert.ok(before !== undefined && before < 10, `${before} had ended before`);
  });

  test("a parent that joined its group after its own agent still ends after it", async () => {
    await using r = await rig();
    const { threadId: parent } = await r.manager.startThread();
    const { threadId: child } = await r.manager.startThread(undefined, { parentThreadId: parent });
    const group = await r.manager.group();
    await group.add(child);
    await group.add(parent);
    const closed = closedOf(r);
    assert.equal((await r.manager.shutdown()).completed.length, 2);
    assert.deepEqual(closed.toSorted(), [parent, child].toSorted());
  });
});

suite("an order of ends", () => {
  test("one that others wait for may take half of what is left, one that nobody waits for all of it", async () => {
    const clock = new ManualClock({ startMs: 0 });
    const [a, b, c, alone] = [newThreadId(), newThreadId(), newThreadId(), newThreadId()];
    const order = new Map<ThreadId, readonly ThreadId[]>([
      [a, []],
      [b, [a]],
      [c, [b]],
      [alone, []],
    ]);
    const given = new Map<ThreadId, number>();
    const ending = endInOrder(order, { clock, deadlineMs: 1_000 }, async (id, ownMs) => {
      given.set(id, ownMs);
      await new Promise<void>((resolve) => clock.setTimeout(resolve, ownMs));
      return "timedOut";
    });
    await clock.advanceAsync(1_000);
    await ending.report;
    assert.deepEqual(
      [a, b, c, alone].map((id) => given.get(id)),
      [500, 250, 250, 1_000],
    );
  });

  test("the end of one that fails is reported, and those that wait for it end all the same", async () => {
    const clock = new ManualClock({ startMs: 0 });
    const [a, b, gone] = [newThreadId(), newThreadId(), newThreadId()];
    const { report } = endInOrder(
      new Map([
        [a, []],
        [b, [a]],
        [gone, []],
      ]),
      { clock, deadlineMs: 10 },
      async (id) => {
        if (id === a) throw new Error("disk on fire");
        return id === gone ? undefined : "completed";
      },
    );
    assert.deepEqual(await report, { completed: [b], failed: [a], timedOut: [] });
    const none = endInOrder(new Map(), { clock, deadlineMs: 10 }, async () => "completed");
    assert.deepEqual(await none.report, { completed: [], failed: [], timedOut: [] });
    await none.over;
    assert.equal(clock.pending, 0);
  });

  test("the answer comes a second after the deadline, though ends by force take longer; these go on behind it", async () => {
    const clock = new ManualClock({ startMs: 0 });
    const [quick, slow, waits] = [newThreadId(), newThreadId(), newThreadId()];
    const order = new Map<ThreadId, readonly ThreadId[]>([
      [quick, []],
      [slow, []],
      [waits, [slow]],
    ]);
    const ended: ThreadId[] = [];
    const { report, over } = endInOrder(order, { clock, deadlineMs: 1_000 }, async (id) => {
      await new Promise<void>((resolve) => clock.setTimeout(resolve, id === quick ? 1 : 60_000));
      ended.push(id);
      return "completed";
    });
    await clock.advanceAsync(2_000);
    assert.deepEqual(await report, { completed: [quick], failed: [], timedOut: [slow, waits] });
    assert.deepEqual(ended, [quick]);
    await clock.advanceAsync(60_000);
    await over;
    assert.deepEqual(ended, [quick, slow, waits]);
    assert.equal((await report).timedOut.length, 2);
    assert.equal(clock.pending, 0);
  });

  test("each ends once, none before those before it, and all by the deadline, whatever hangs", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(
          fc.record({ before: fc.array(fc.nat(11), { maxLength: 3 }), takesMs: fc.constantFrom(0, 1, 40, 9_999) }),
          {
            maxLength: 12,
          },
        ),
        async (drawn) => {
          const clock = new ManualClock({ startMs: 0 });
          const ids = drawn.map(() => newThreadId());
          const idOf = (at: number) => ids[at % ids.length] as ThreadId;
          const beforeOf = new Map(drawn.map(({ before }, at) => [idOf(at), before.map(idOf)]));
          const order = endOrder(ids, (id) => beforeOf.get(id) ?? []);
          assert.deepEqual([...order.keys()].toSorted(), ids.toSorted());
          const ended: ThreadId[] = [];
          const ending = endInOrder(order, { clock, deadlineMs: 1_000 }, async (id, ownMs) => {
            const takesMs = drawn[ids.indexOf(id)]?.takesMs ?? 0;
            const before = order.get(id) ?? [];
            if (clock.now() < 1_000) for (const one of before) assert.ok(ended.includes(one));
            await new Promise<void>((resolve) => clock.setTimeout(resolve, Math.min(takesMs, ownMs)));
            ended.push(id);
            return takesMs > ownMs ? "timedOut" : "completed";
          });
          await clock.advanceAsync(1_000);
          const { completed, failed, timedOut } = await ending.report;
          assert.deepEqual([...completed, ...failed, ...timedOut].toSorted(), ids.toSorted());
          assert.deepEqual(failed, []);
          assert.equal(clock.pending, 0);
        },
      ),
      { numRuns: 100 },
    );
  });
});
