/** Groups of threads: the machine's decisions carried out, stored, and found again. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { emit, fromCallback, setup } from "xstate";
import {
  defineThreadLogic,
  type Escalation,
  fail,
  hang,
  InvalidRequestError,
  LimitReachedError,
  RolloutNotFoundError,
  StoreIoError,
  say,
  ThreadBusyError,
  type ThreadId,
} from "../../src/index.ts";
import { silentLog } from "../../src/kernel/log.ts";
import { runtimeOf } from "../../src/manager/runtime-of.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import type { LiveThread } from "../../src/thread/live-thread.ts";
import type { Thread } from "../../src/thread/thread.ts";
import { settled } from "../kernel/settled.ts";
import { overlaid, type Rig, rig, until } from "../rig.ts";

type Message = { type: string; op?: { type: string }; msg?: object };

/** Crashes on `compact`, ends on `shutdown`. */
const crashing = fromCallback<Message>(({ receive, emit }) => {
  const tell = emit as (event: object) => void;
  receive(({ type, op, msg }) => {
    if (type === "session.configure") tell({ type: "session_configured", id: "", msg });
    if (op?.type === "compact") throw new Error("disk on fire");
    if (op?.type === "shutdown") tell({ type: "shutdown_complete", id: "", msg: { type: "shutdown_complete" } });
  });
});

const supervision = { maxRestarts: 3, periodMs: 60_000, backoffMs: 0, random: () => 0 };
const crash = (thread: Thread) => thread.submit({ type: "compact" }).catch(() => undefined);
const own = (options: Parameters<typeof rig>[0] = {}) => rig({ threadLogic: crashing, supervision, ...options });

/** The lives that begin and end, by the threads' letters. */
function journal(r: Rig, threads: Record<string, Thread>): string[] {
  const letterOf = (id: string) => Object.entries(threads).find(([, thread]) => thread.id === id)?.[0] ?? "?";
  const log: string[] = [];
  r.manager.threadCreated$.subscribe(({ id, epoch }) => log.push(`${letterOf(id)}${epoch}`));
  r.manager.threadClosed$.subscribe(({ threadId, reason }) => log.push(`${letterOf(threadId)} ${reason}`));
  return log;
}

async function pass(r: Rig, ms = 50): Promise<void> {
  for (let n = 0; n < 10; n += 1) await r.clock.advanceAsync(ms / 10);
}

async function groupOf(r: Rig, options: Parameters<Rig["manager"]["group"]>[0], letters = ["a", "b", "c"]) {
  const group = await r.manager.group(options);
  const threads: Record<string, Thread> = {};
  for (const letter of letters) threads[letter] = (await group.startThread()).thread;
  const [a, b, c] = Object.values(threads) as [Thread, Thread, Thread];
  return { group, threads, a, b, c, log: journal(r, threads) };
}

suite("groups", () => {
  const sweeps = [
    ["one_for_one", "b", ["b2"]],
    ["one_for_all", "b", ["a2", "b2", "c2"]],
    ["rest_for_one", "b", ["b2", "c2"]],
    ["rest_for_one", "c", ["c2"]],
  ] as const;
  for (const [strategy, who, lives] of sweeps) {
    test(`SEMANTICS 4.7: ${strategy}, ${who} of a, b, c crashes: ${lives.join(", ")}`, async () => {
      await using r = await own();
      const { threads, log, group } = await groupOf(r, { strategy });
      await crash(threads[who] as Thread);
      await pass(r);
      assert.deepEqual(log, lives);
      assert.deepEqual(
        group.members.map(({ id, state }) => [id, state]),
        Object.values(threads).map(({ id }) => [id, "up"]),
      );
      for (const thread of Object.values(threads)) assert.equal((await r.manager.getThread(thread.id)).id, thread.id);
    });
  }

  test("SEMANTICS 4.8: a sibling that is at work is interrupted, and goes on from its history under the same handle", async () => {
    const r = await rig({
      threadLogic: (config) => (config.logic === undefined ? crashing : config.logic),
      logics: { crashing },
      supervision,
      script: [[say("first")], [hang()], [say("second")]],
    });
    await using _ = r;
    const group = await r.manager.group({ strategy: "one_for_all" });
    const { thread: worker } = await group.startThread({ logic: "built-in" });
    const { thread: other } = await group.startThread({ logic: "crashing" });
    await worker.run("one");
    const running = worker.run("two");
    await until(() => r.model.asked === 2);
    await crash(other);
    await pass(r);
    assert.equal((await running).status, "interrupted");
    assert.equal(worker.epoch, 2);
    assert.equal((await worker.run("three")).lastAgentMessage, "second");
    assert.deepEqual(
      group.members.map(({ state }) => state),
      ["up", "up"],
    );
  });

  test("SEMANTICS 4.7, 4.8: a sibling that does not let itself be interrupted is cut off at its deadline; nobody starts before that, and no life stands beside another", async () => {
    let running = 0;
    const deaf = defineThreadLogic({
      turn: async () => {
        running += 1;
        await new Promise(() => undefined);
      },
    });
    await using r = await rig({ threadLogic: deaf, supervision });
    const { group, a, b, c, log } = await groupOf(r, { strategy: "one_for_all", stopDeadlineMs: 1_000 });
    const cut = b.run("hang").then(({ status }) => status);
    await until(() => running === 1);
    (a as LiveThread).incarnation.end("crashed", new Error("disk on fire"));
    await pass(r, 900);
    assert.deepEqual(
      group.members.slice(1).map(({ state }) => state),
      ["stopping", "due"],
    );
    assert.deepEqual(log, [], "nobody has started");
    await pass(r, 2_000);
    assert.deepEqual([log, await cut], [["a2", "b2", "c2"], "interrupted"]);
    assert.deepEqual([a.epoch, b.epoch, c.epoch, running], [2, 2, 2, 1]);
  });

  test("SEMANTICS 4.9: the count is the group's; then all end, right to left, and it is escalated with the cause; places and handles are free", async () => {
    await using r = await own();
    const { group, a, b, c, log } = await groupOf(r, { name: "workers", strategy: "one_for_one", maxRestarts: 1 });
    const escalations: Escalation[] = [];
    r.manager.escalations$.subscribe((escalation) => escalations.push(escalation));
    await crash(a);
    await pass(r);
    await crash(b);
    await pass(r, 100);
    assert.deepEqual(log, ["a2", "c closed", "b gaveUp", "a closed"]);
    assert.equal(group.status, "gaveUp");
    const [told] = escalations;
    assert.equal(escalations.length, 1);
    assert.deepEqual(
      [told?.name, told?.group, told?.reason, told?.lastMember, String(told?.lastError), told?.restarts],
      ["workers", group.id, "intensity", b.id, "Error: disk on fire", 2],
    );
    assert.equal(r.manager.capacity().residentThreads.used, 0);
    await assert.rejects(group.startThread(), InvalidRequestError);
    await group.revive();
    assert.deepEqual(
      group.members.map(({ id, state }) => [id, state]),
      [a, b, c].map(({ id }) => [id, "up"]),
    );
  });

  test("SEMANTICS 4.10: a group in a group gives up, is restarted whole, and counts once above; levels multiply", async () => {
    await using r = await own();
    const outer = await r.manager.group({ name: "outer", maxRestarts: 1 });
    const inner = await outer.group({ strategy: "one_for_one" });
    assert.equal(inner.rule.maxRestarts, 1, "of a group in a group");
    const { thread } = await inner.startThread();
    let gaveUp = 0;
    r.manager.escalations$.subscribe(() => {
      gaveUp += 1;
    });
    let crashes = 0;
    while (gaveUp === 0 && crashes < 20) {
      const alive = await r.manager.getThread(thread.id);
      crashes += 1;
      await crash(alive);
      await pass(r, 100);
    }
    assert.equal(crashes, 4);
    assert.deepEqual([inner.status, outer.status], ["stopped", "gaveUp"]);
  });

  test("SEMANTICS 4.11: stopped from above, the last that joined first, inner groups in their place; the report names each", async () => {
    await using r = await own();
    const outer = await r.manager.group();
    const first = (await outer.startThread()).thread;
    const inner = await outer.group();
    const [x, y] = [(await inner.startThread()).thread, (await inner.startThread()).thread];
    const last = (await outer.startThread()).thread;
    const log = journal(r, { first, x, y, last });
    const report = await outer.stop();
    assert.deepEqual(log, ["last closed", "y closed", "x closed", "first closed"]);
    assert.deepEqual(report, { completed: [last, y, x, first].map(({ id }) => id), failed: [], timedOut: [] });
    assert.deepEqual([outer.status, inner.status], ["stopped", "stopped"]);
  });

  test("SEMANTICS 4.11: one that hangs is ended by force at the deadline of all, and the others after it", async () => {
    const deaf = fromCallback<Message>(({ receive, emit }) =>
      receive(({ type, msg }) => {
        if (type === "session.configure")
          (emit as (event: object) => void)({ type: "session_configured", id: "", msg });
      }),
    );
    await using r = await own({ logics: { deaf } });
    const group = await r.manager.group();
    const { threadId: first } = await group.startThread();
    const { threadId: stuck } = await group.startThread({ logic: "deaf" });
    await r.manager.sendOp(stuck, { type: "user_input", items: [{ type: "text", text: "work" }] });
    const stopping = group.stop({ deadlineMs: 1_000 });
    await r.clock.advanceAsync(1_000);
    await pass(r, 5_000);
    const report = await stopping;
    assert.deepEqual([...report.completed, ...report.timedOut, ...report.failed].sort(), [first, stuck].sort());
    assert.equal(group.status, "stopped");
  });

  test("SEMANTICS 4.12: members and order are stored, also of those that were added late; a restart of the process ends nothing", async () => {
    for (const end of ["shutdown", "gave up"] as const) {
      const store = memoryStore();
      const r = await own({ store });
      const { group, a, b, c } = await groupOf(r, {
        name: "team",
        strategy: "rest_for_one",
        maxRestarts: 1,
        periodMs: 50_000,
      });
      const inner = await group.group({ name: "inner" });
      const { threadId: nested } = await inner.startThread();
      await b.shutdown();
      await crash(a);
      await pass(r);
      assert.equal(a.epoch, 2);
      if (end === "gave up") {
        await crash(a);
        await pass(r, 200);
        assert.equal(group.status, "gaveUp");
      }
      await r[Symbol.asyncDispose]();
      await using later = await own({ store });
      const again = await later.manager.group({ name: "team" });
      assert.deepEqual([again.id, again.rule], [group.id, group.rule]);
      assert.deepEqual(
        again.members.map(({ id }) => id),
        [a.id, b.id, c.id, inner.id],
      );
      const states = again.members.map(({ state }) => state);
      if (end === "gave up") {
        assert.deepEqual([again.status, states], ["gaveUp", ["ended", "ended", "ended", "ended"]]);
        await again.revive();
      }
      assert.deepEqual(
        again.members.map(({ state }) => state),
        ["up", "ended", "up", "up"],
      );
      assert.deepEqual((await later.manager.listThreadIds()).sort(), [a.id, c.id, nested].sort());
      assert.equal((await later.manager.group({ name: "inner" })).parent, again);
      // The restart before counts on.
      await crash(await later.manager.getThread(a.id));
      await pass(later, 200);
      assert.equal(again.status, "gaveUp");
      assert.deepEqual(
        (await later.manager.listThreads()).threads.map(({ threadId }) => threadId).includes(group.id),
        false,
      );
    }
  });

  test("SEMANTICS 4.12: groups that are made in a stored one are as many as were asked for, and no name comes back", async () => {
    const store = memoryStore();
    const r = await own({ store });
    const outer = await r.manager.group({ name: "outer" });
    const [first, second] = await Promise.all([outer.group(), outer.group()]);
    assert.notEqual(first, second);
    await second.startThread();
    await outer.stopMember(second.id);
    await outer.dropMember(second.id);
    const third = await outer.group();
    assert.equal(new Set([first.name, second.name, third.name]).size, 3);
    assert.deepEqual([third.status, third.members], ["running", []]);
    await outer.stopMember(third.id);
    await outer.dropMember(third.id);
    await r[Symbol.asyncDispose]();
    await using later = await own({ store });
    const again = await later.manager.group({ name: "outer" });
    assert.deepEqual(
      again.members.map(({ id }) => id),
      [first.id],
    );
    const fourth = await again.group();
    assert.deepEqual([first.name, second.name, third.name].includes(fourth.name), false);
    assert.deepEqual(fourth.members, []);
  });

  test("SEMANTICS 4.10, 4.12: the restarts of a group that the one above has restarted begin anew, also in the next process", async () => {
    const store = memoryStore();
    const options = { maxRestarts: 1, periodMs: 50_000 };
    const inner = async (r: Rig) => {
      await (await r.manager.group({ name: "outer", maxRestarts: 9 })).group({ name: "inner", ...options });
      return r.manager.group({ name: "inner" });
    };
    const r = await own({ store });
    const { threadId } = await (await inner(r)).startThread();
    const crashOnce = async (at: Rig) => {
      const closed: string[] = [];
      const watching = at.manager.threadClosed$.subscribe(({ reason }) => closed.push(reason));
      await crash(await at.manager.getThread(threadId));
      await pass(at, 200);
      watching.unsubscribe();
      return closed;
    };
    assert.deepEqual([await crashOnce(r), await crashOnce(r)], [[], ["gaveUp"]]);
    await r[Symbol.asyncDispose]();
    const second = await own({ store });
    await inner(second);
    assert.deepEqual(await crashOnce(second), [], "the first one of the new count");
    await second[Symbol.asyncDispose]();
    await using third = await own({ store });
    await inner(third);
    assert.deepEqual(await crashOnce(third), ["gaveUp"], "which is stored too");
  });

  test("a group that has left the one above is one by itself: it escalates, and can join another", async () => {
    await using r = await own();
    const outer = await r.manager.group({ name: "outer" });
    const inner = await outer.group({ name: "inner", maxRestarts: 0 });
    const { threadId } = await inner.startThread();
    await outer.stopMember(inner.id);
    await outer.dropMember(inner.id);
    assert.equal(inner.parent, undefined);
    await inner.revive();
    const told: Escalation[] = [];
    r.manager.escalations$.subscribe((escalation) => told.push(escalation));
    await crash(await r.manager.getThread(threadId));
    await pass(r);
    assert.deepEqual(
      told.map(({ group, lastMember }) => [group, lastMember]),
      [[inner.id, threadId]],
    );
    await inner.revive();
    const another = await r.manager.group({ name: "another" });
    await another.add(inner);
    assert.equal(inner.parent, another);
  });

  test("SEMANTICS 4.13: a group in a group that somebody stopped is not brought back by a sibling's crash, and can't be added; revived it is a member again", async () => {
    await using r = await own();
    const { group, a } = await groupOf(r, { strategy: "one_for_all", maxRestarts: 9 });
    const inner = await group.group();
    const { threadId } = await inner.startThread();
    const stateOf = () => group.members.find(({ id }) => id === inner.id)?.state;
    await inner.stop();
    assert.equal(stateOf(), "ended");
    await crash(a);
    await pass(r);
    assert.deepEqual([inner.status, stateOf(), a.epoch], ["stopped", "ended", 2]);
    const other = await r.manager.group();
    await other.stop();
    await assert.rejects(group.add(other), { code: "invalid_request", message: /revive/ });
    await using elsewhere = await own();
    await assert.rejects(group.add(await elsewhere.manager.group()), { code: "invalid_request", message: /manager/ });
    await inner.revive();
    assert.equal(stateOf(), "up");
    await crash(a);
    await pass(r);
    assert.equal(
      (await r.manager.getThread(threadId)).epoch,
      3,
      "it came back when its group was revived, and with its sibling",
    );
  });

  test("a group that goes out of scope after its manager has ended, or while it ends, is left to it", async () => {
    const r = await own();
    const group = await r.manager.group();
    const { thread } = await group.startThread();
    const down = r.manager.shutdown();
    await group[Symbol.asyncDispose]();
    assert.deepEqual((await down).completed, [thread.id]);
    await group[Symbol.asyncDispose]();
  });

  test("SEMANTICS 4.11: nothing is left of stopped groups; their threads are their own until they are revived", async () => {
    await using r = await own();
    const left = () => runtimeOf(r.manager)?.leftBeside();
    for (let n = 0; n < 20; n += 1) {
      await using group = await r.manager.group();
      await group.startThread();
      await (await group.group()).startThread();
      await crash((await group.startThread()).thread);
    }
    assert.deepEqual([left()?.groups, left()?.members], [0, 0]);
    const { group, a, b } = await groupOf(r, {});
    await group.stop();
    const { thread } = await r.manager.resumeThread(a.id);
    await crash(thread);
    await pass(r);
    assert.equal((await r.manager.getThread(a.id)).epoch, thread.epoch, "by its own rule it comes back");
    const other = await r.manager.group();
    await r.manager.resumeThread(b.id);
    await other.add(b.id);
    await group.dropMember(group.members[2]?.id ?? "");
    await group.revive();
    assert.deepEqual(
      [group, other].map(({ members }) => members.map(({ id, state }) => [id, state])),
      [[[a.id, "up"]], [[b.id, "up"]]],
    );
    await assert.rejects(other.add(a.id), /is in group/);
    await group.stop();
    await other.stop();
    assert.deepEqual([left()?.groups, left()?.members], [0, 0]);
  });

  test("a group that is stopped while a restart is in its back-off: nobody comes back, and it is told; revived, all do", async () => {
    await using r = await own();
    const { group, a, b, c, log } = await groupOf(r, { backoff: 1_000, restart: "permanent" });
    await crash(b);
    await r.clock.advanceAsync(0);
    assert.equal(group.members[1]?.state, "waiting");
    // Asked for again meanwhile: whatever is under way goes on.
    await group.add(b.id, { restart: "transient" });
    assert.equal(group.members[1]?.state, "waiting");
    const report = await group.stop();
    assert.deepEqual(Object.values(report).flat().sort(), [a.id, b.id, c.id].sort());
    await pass(r, 10_000);
    assert.deepEqual([group.status, log], ["stopped", ["c closed", "b closed", "a closed"]]);
    await group.revive();
    assert.deepEqual([...new Set(group.members.map(({ state }) => state))], ["up"]);
    assert.deepEqual((await r.manager.listThreadIds()).sort(), [a.id, b.id, c.id].sort());
  });

  test("many members that are stopped by hand at once are each told of once; so is who waits when the manager ends", async () => {
    const r = await own();
    const { group, a, b, c } = await groupOf(r, { backoff: 60_000, restart: "permanent" });
    await Promise.all([a, b, c, a].map(({ id }) => group.stopMember(id)));
    assert.deepEqual([...new Set(group.members.map(({ state }) => state))], ["ended"]);
    await Promise.all([a, b, c].map(({ id }) => group.restartMember(id)));
    await crash(a);
    await r.clock.advanceAsync(0);
    const quiet = group.quiet();
    await r[Symbol.asyncDispose]();
    await quiet;
  });

  test("SEMANTICS 4.12: one manager at a time decides for a stored group", async () => {
    const store = memoryStore();
    await using r = await own({ store });
    await using other = await own({ store });
    await r.manager.group({ name: "mine" });
    await assert.rejects(other.manager.group({ name: "mine" }), ThreadBusyError);
    const both = await Promise.all([r.manager.group({ name: "twice" }), r.manager.group({ name: "twice" })]);
    assert.equal(both[0], both[1]);
    await assert.rejects(r.manager.group({ name: "twice", strategy: "one_for_all" }), /other settings/);
  });

  test("leaving memory is no end; the next message finds the thread, and its group still decides for it", async () => {
    await using r = await own({ residency: { unloadAfterMs: 1_000 } });
    const { group, a, b, log } = await groupOf(r, { strategy: "one_for_all" });
    await r.clock.advanceAsync(10_000);
    assert.equal(r.manager.capacity().unloadedThreads, 3);
    assert.deepEqual(
      group.members.map(({ state }) => state),
      ["up", "up", "up"],
    );
    await crash(a);
    await pass(r);
    assert.deepEqual(log, ["a2", "a3"], "one that is out of memory has nothing to end");
    assert.equal(b.epoch, 1);
    await group.stop();
    assert.equal(r.manager.capacity().unloadedThreads, 0);
  });

  test("SEMANTICS 4.13: members by hand: stop, restart, drop, and what is refused", async () => {
    await using r = await own();
    const { group, a, b, log } = await groupOf(r, { restart: "permanent", strategy: "one_for_all" });
    await assert.rejects(group.dropMember(a.id), InvalidRequestError);
    await assert.rejects(group.restartMember(a.id), InvalidRequestError);
    await assert.rejects(group.stopMember(group.id), InvalidRequestError);
    await group.stopMember(a.id);
    await group.stopMember(a.id);
    await crash(b);
    await pass(r);
    assert.deepEqual(log, ["a closed", "b2", "c2"], "a stop by hand outlives a stranger's crash");
    await group.restartMember(a.id);
    assert.equal(group.members[0]?.state, "up");
    await group.stopMember(a.id);
    await group.dropMember(a.id);
    assert.equal(group.members.length, 2);
    await r.manager.removeThread(b.id);
    assert.equal(group.members.length, 1);
    const other = await r.manager.group();
    await assert.rejects(other.add(group.members[0]?.id ?? ""), /is in group/);
    await assert.rejects(group.add(group), /itself/);
    await other.add(group);
    await assert.rejects(group.add(other), /itself/);
  });

  test("SEMANTICS 4.1: a failed turn, an interrupt, leaving memory and a lease that is lost are no ends that a group restarts", async () => {
    const store = memoryStore();
    await using r = await rig({
      script: ({ input }) => (JSON.stringify(input).includes("hang") ? [hang()] : [fail("no")]),
      ...{ store, supervision },
      residency: { unloadAfterMs: 1_000 },
    });
    const { group, a, b, c, log } = await groupOf(r, { strategy: "one_for_all", restart: "permanent" });
    assert.equal((await a.run("go")).status, "failed");
    const hanging = b.run("hang");
    await until(() => r.model.asked === 2);
    await b.interrupt();
    assert.equal((await hanging).status, "interrupted");
    await r.clock.advanceAsync(5_000);
    assert.equal(c.actor, undefined);
    assert.deepEqual([log, group.members.map(({ state }) => state)], [[], ["up", "up", "up"]]);
    await a.run("here again");
    log.length = 0;
    await using other = await rig({ store });
    await other.manager.resumeThread(a.id, {}, { lease: "takeOver" });
    await a.run("to the old life").catch(() => undefined);
    await pass(r, 500);
    assert.deepEqual([log, group.members.map(({ state }) => state)], [["a lost"], ["ended", "up", "up"]]);
    assert.equal(group.status, "running");
  });

  test("SEMANTICS 4.14: a thread that can't be made leaves no member, and counts nothing; joins keep the order of asking", async () => {
    await using r = await own({ limits: { residentThreads: 2, roomDeadlineMs: 10 } });
    const group = await r.manager.group({ maxRestarts: 0 });
    const made = await Promise.all([group.startThread(), group.startThread()]);
    assert.deepEqual(
      group.members.map(({ id }) => id),
      made.map(({ threadId }) => threadId),
    );
    for (const { threadId } of made) {
      await r.manager.sendOp(threadId, { type: "user_input", items: [{ type: "text", text: "work" }] });
    }
    await assert.rejects(group.startThread(undefined, { signal: AbortSignal.abort(new Error("no")) }), /no/);
    await group.startThread().catch((error: unknown) => assert.ok(error instanceof LimitReachedError));
    assert.equal(group.status, "running");
  });

  /** Ends by itself on `compact`. */
  const quitting = setup({ types: { events: {} as Message } }).createMachine({
    initial: "begun",
    states: {
      begun: {
        on: {
          "session.configure": {
            actions: emit(({ event }) => ({
              type: "session_configured",
              id: "",
              msg: (event as Message).msg,
            })) as never,
          },
          "op.submit": { guard: ({ event }) => event.op?.type !== "interrupt", target: "over" },
        },
      },
      over: { type: "final" },
    },
  });
  for (const [op, wasAsked, state] of [
    ["compact", false, "up"],
    ["shutdown", true, "ended"],
  ] as const) {
    test(`a permanent member that ends of ${op} was ${wasAsked ? "asked to, and stays ended" : "not asked to, and comes back"}`, async () => {
      await using r = await own({ threadLogic: quitting as never });
      const { group, a } = await groupOf(r, { restart: "permanent" }, ["a"]);
      const closed: unknown[] = [];
      r.manager.threadClosed$.subscribe(({ reason, wasAsked: asked }) => closed.push([reason, asked]));
      await a.submit({ type: op }).catch(() => undefined);
      await pass(r, 500);
      assert.deepEqual([group.members[0]?.state, a.epoch], [state, wasAsked ? 1 : 2]);
      if (wasAsked) assert.deepEqual(closed, [["closed", true]]);
    });
  }

  const refusals = [
    ["is led by another manager", (id: ThreadId) => new ThreadBusyError(id), " yet", "up", 2],
    ["can't be read", () => new StoreIoError("disk on fire"), "", "up", 2],
    ["is not stored any more", () => new RolloutNotFoundError("gone"), undefined, undefined, 1],
  ] as const;
  for (const [what, errorOf, again, state, epoch] of refusals) {
    test(`a member that ${what} at its restart: said in the log, and ${state === undefined ? "it leaves" : "tried again"}`, async () => {
      const store = memoryStore();
      const lines: unknown[][] = [];
      const logger = { ...silentLog, warn: (...said: unknown[]) => void lines.push(said) };
      let fails = 0;
      const open: typeof store.open = async (...given) => {
        const { id } = a;
        if (fails-- > 0) throw errorOf(id);
        return store.open(...given);
      };
      await using r = await own({ store: overlaid(store, { open }), logger });
      const { group, a } = await groupOf(r, { maxRestarts: 5 }, ["a"]);
      fails = 1;
      await crash(a);
      await pass(r, 500);
      const why = again === undefined ? "is not stored any more, and leaves" : `could not be started${again}`;
      const said = lines.map(([, text]) => text).filter((text) => String(text).startsWith("a group: "));
      assert.deepEqual(said, [`a group: member ${a.id} ${why}`]);
      assert.deepEqual([group.members[0]?.state, a.epoch], [state, epoch]);
    });
  }

  test("nonsense is refused with its name", async () => {
    await using r = await own();
    const wrong = [
      [{ strategy: "one_for_none" }, /group\.strategy/],
      [{ maxRestarts: -1 }, /group\.maxRestarts/],
      [{ periodMs: 0 }, /group\.periodMs/],
      [{ strateggy: "one_for_one" }, /did you mean|unknown option/i],
      [{ name: "" }, /group\.name/],
    ] as const;
    for (const [options, message] of wrong) await assert.rejects(r.manager.group(options as never), message);
    await assert.rejects(r.manager.startThread({}, { restart: "sometimes" as never }), InvalidRequestError);
  });
});

suite("restart of one thread", () => {
  test("SEMANTICS 4.2: by its own rule, which is stored with it", async () => {
    const store = memoryStore();
    const r = await own({ store, supervision: { ...supervision, restart: "temporary" } });
    const { thread: mortal } = await r.manager.startThread();
    const { thread, threadId } = await r.manager.startThread(
      {},
      { restart: { restart: "permanent", maxRestarts: 1, backoff: 10 } },
    );
    const log = journal(r, { mortal, thread });
    await crash(mortal);
    await crash(thread);
    await pass(r, 100);
    assert.deepEqual(log.sort(), ["mortal crashed", "thread2"]);
    await r[Symbol.asyncDispose]();
    await using later = await own({ store, supervision: { ...supervision, restart: "temporary" } });
    const { thread: again } = await later.manager.resumeThread(threadId);
    const more = journal(later, { again });
    for (let n = 0; n < 2; n += 1) {
      await crash(again);
      await pass(later, 100);
    }
    await settled();
    assert.deepEqual(more, ["again4", "again gaveUp"]);
  });
});
