/** A thread is given away: whoever takes it up finds all of it, wherever it was, and nothing of it is left behind. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { fromCallback } from "xstate";
import { newThreadId, type Op, type Thread } from "../../src/index.ts";
import { runtimeOf } from "../../src/manager/runtime-of.ts";
import { newTurnId } from "../../src/protocol/ids.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import { settled } from "../kernel/settled.ts";
import { type Rig, rig, until } from "../rig.ts";

const giveAway = async (r: Rig, id: Thread["id"]): Promise<void> => {
  const runtime = runtimeOf(r.manager);
  assert.ok(runtime !== undefined);
  await runtime.giveAway(id);
};

const knownTo = (r: Rig) => r.manager.supervisor.getSnapshot().context;

/** Crashes on `compact`. */
const crashing = fromCallback<{ type: string; op?: { type: string }; msg?: object }>(({ receive, emit }) =>
  receive(({ type, op, msg }) => {
    if (type === "session.configure") (emit as (event: object) => void)({ type: "session_configured", id: "", msg });
    if (op?.type === "compact") throw new Error("disk on fire");
  }),
);

suite("a thread that is given away", () => {
  const places: Record<string, (r: Rig, thread: Thread) => Promise<unknown>> = {
    "in memory": async () => undefined,
    leaving: async (r) => void r.clock.advance(1_000),
    unloaded: async (r) => r.clock.advanceAsync(5_000),
    down: async (r, thread) => {
      await thread.submit({ type: "compact" });
      await until(() => thread.actor === undefined);
      await r.clock.advanceAsync(0);
    },
  };
  for (const [place, lead] of Object.entries(places)) {
    test(`goes on elsewhere with its timers, and its old manager has nothing of it: it was ${place}`, async () => {
      const store = memoryStore();
      const supervision = { backoffMs: 60_000, maxBackoffMs: 60_000, random: () => 0 };
      const options = {
        store,
        supervision,
        residency: { unloadAfterMs: 1_000 },
        ...(place === "down" && { threadLogic: crashing }),
      };
      await using from = await rig(options);
      const { thread } = await from.manager.startThread();
      await thread.schedule({ after: 3_600_000 }, { type: "interrupt" }, { id: "t" });
      await lead(from, thread);
      await giveAway(from, thread.id);
      await giveAway(from, thread.id);
      const left = { resident: 0, unloaded: 0, related: 0 };
      assert.deepEqual(knownTo(from), left);
      assert.deepEqual(await store.notes?.threads("timers"), [thread.id]);

      await using to = await rig({ store });
      const { thread: moved } = await to.manager.resumeThread(thread.id);
      assert.deepEqual([moved.timers.map(({ id }) => id), thread.timers], [["t"], []]);
      await from.clock.advanceAsync(120_000);
      assert.deepEqual(knownTo(from), left);
    });
  }

  test("one that nobody knows is nobody's to give", async () => {
    await using r = await rig();
    await giveAway(r, newThreadId());
    assert.equal(knownTo(r).resident, 0);
  });
});

suite("a thread that comes from another process", () => {
  /** Two processes over one store; `here` has looked at the notes of all threads before `there` writes any. */
  async function pair(leaves: "unloaded" | "given away" = "given away") {
    const store = memoryStore();
    const residency = { unloadAfterMs: 1_000 };
    const [here, there] = [await rig({ residency, store }), await rig({ store })];
    const { thread } = await here.manager.startThread();
    const { thread: other } = await here.manager.startThread();
    await thread.run("hello");
    await other.run("hello");
    await thread.monitors();
    return {
      ...{ store, here, there, thread, other },
      /** The thread leads a life in the other process, and comes back. */
      async awayAndBack(lead: (thread: Thread) => Promise<unknown>): Promise<Thread> {
        if (leaves === "given away") await giveAway(here, thread.id);
        else await here.clock.advanceAsync(5_000);
        await lead((await there.manager.resumeThread(thread.id)).thread);
        await giveAway(there, thread.id);
        return (await here.manager.resumeThread(thread.id)).thread;
      },
      async [Symbol.asyncDispose]() {
        await there[Symbol.asyncDispose]();
        await here[Symbol.asyncDispose]();
      },
    };
  }

  test("SEMANTICS 6.7: it has its watches that were asked for there, beside those that are asked for here", async () => {
    await using p = await pair();
    const { thread: third } = await p.there.manager.startThread();
    await third.run("hello");
    const back = await p.awayAndBack((away) => away.monitor(third.id).stored);
    await back.monitor(p.other).stored;
    const standing = (await back.monitors()).map(({ threadId }) => threadId);
    assert.deepEqual(standing.toSorted(), [third.id, p.other.id].toSorted());
    const note = (await p.store.notes?.read(back.id, "watches")) as readonly unknown[];
    assert.equal(note.length, 2);
  });

  test("SEMANTICS 6.4: watches that were given up there are not told here", async () => {
    await using p = await pair();
    await p.thread.monitor(p.other).stored;
    const back = await p.awayAndBack(async (away) => {
      const [monitor] = await away.monitors();
      monitor?.demonitor();
    });
    await p.other.shutdown();
    assert.deepEqual(await back.monitors(), []);
  });

  test("of threads that have moved away and watch nothing, nothing is remembered", async () => {
    await using p = await pair();
    await giveAway(p.here, p.thread.id);
    await giveAway(p.here, p.other.id);
    assert.equal(runtimeOf(p.here.manager)?.leftBeside().away, 0);
  });

  for (const leaves of ["unloaded", "given away"] as const)
    test(`SEMANTICS 10.2: its timers are those that stand, set and cancelled there and here; it was ${leaves} before`, async () => {
      await using p = await pair(leaves);
      const op: Op = { type: "inject_items", items: [] };
      for (const id of ["stays", "cancelled"]) await p.thread.schedule({ after: 60_000 }, op, { id });
      await p.thread.schedule({ every: 10_000 }, op, { id: "repeats" });
      const back = await p.awayAndBack(async (away) => {
        await away.schedule({ after: 50_000 }, op, { id: "set there" });
        await away.cancelTimer("cancelled");
      });
      await back.schedule({ after: 70_000 }, op, { id: "set here" });
      const ids = ["repeats", "set there", "stays", "set here"];
      assert.deepEqual(
        back.timers.map(({ id }) => id),
        ids,
      );
      const note = (await p.store.notes?.read(back.id, "timers")) as { id: string }[];
      assert.deepEqual(note.map(({ id }) => id).toSorted(), ids.toSorted());
      const fired: string[] = [];
      back.events$.subscribe(({ msg }) => {
        if (msg.type === "timer_fired") fired.push((msg as { id: string }).id);
      });
      await p.here.clock.advanceAsync(55_000);
      await until(() => fired.includes("set there"));
    });

  test("SEMANTICS 8.1: what it has used of its budget there counts here, and a budget that it was given there binds it", async () => {
    const ways = [
      ["given away", "here"],
      ["given away", "there"],
      ["unloaded", "here"],
      ["unloaded", "there"],
    ] as const;
    for (const [leaves, given] of ways) {
      await using p = await pair(leaves);
      if (given === "here") await p.thread.setBudget({ budget: { turns: 2 } });
      const back = await p.awayAndBack(async (away) => {
        if (given === "there") await away.setBudget({ budget: { turns: 2 } });
        await away.run("once");
        await away.run("twice");
      });
      assert.equal((await back.budget())?.used.turns, 2);
      await assert.rejects(back.run("more"), { code: "budget_exceeded" });
    }
  });

  test("SEMANTICS 7.5: what its agents have come to owe it there is told to it here", async () => {
    await using p = await pair();
    const { thread: agent } = await p.there.manager.startThread();
    const back = await p.awayAndBack(async () => {
      // A process that dies between noting an end and telling it leaves such a note.
      const notice = { id: newTurnId(), parent: p.thread.id, epoch: 1, status: { completed: "done" } };
      await p.store.notes?.write(agent.id, "notice", notice);
    });
    await settled();
    await back.run("go on");
    assert.match(JSON.stringify(p.here.model.requests.at(-1)?.input), /subagent_notification/);
  });
});
