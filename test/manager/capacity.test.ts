/** What there is room for: priorities of running turns, the rate of new threads, what a refusal says. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import * as z from "zod";
import {
  call,
  LimitReachedError,
  OverloadedError,
  say,
  type Thread,
  type ThreadConfig,
  tool,
  wait,
} from "../../src/index.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import { settled } from "../kernel/settled.ts";
import { latch, overlaid, rig, until } from "../rig.ts";

const refusal = async (work: Promise<unknown>): Promise<LimitReachedError> => {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof LimitReachedError);
  return error;
};

suite("capacity", () => {
  test("SEMANTICS 8.7: turns that wait for a place: interactive before background, an agent never before its parent, and their place is told", async () => {
    const open = latch();
    const asked: string[] = [];
    await using r = await rig({
      limits: { runningTurns: 1 },
      script: ({ threadId }, n) => {
        asked.push(threadId);
        return n === 0 ? [wait(open.opened), say("ok")] : "ok";
      },
    });
    const start = async (config: ThreadConfig, parent?: Thread) =>
      (await r.manager.startThread(config, parent && { parentThreadId: parent.id })).thread;
    const first = await start({});
    const background = await start({ priority: "background" });
    const usual = await start({});
    const pushy = await start({ priority: 1 }, background);
    const interactive = await start({ priority: "interactive" });
    const heir = await start({}, interactive);
    const running = first.run("go");
    await until(() => asked.length === 1);
    const others = [background, usual, pushy, interactive, heir];
    const runs = others.map((thread) => thread.run("go"));
    await until(() => r.manager.capacity().runningTurns.waiting === 5);
    const stands = others.map(({ id }) => r.manager.capacity(id));
    assert.deepEqual(
      stands.map(({ priority, placeInQueue }) => [priority, placeInQueue]),
      [
        [5, 3],
        [3, 2],
        [5, 4],
        [1, 0],
        [1, 1],
      ],
    );
    assert.equal(r.manager.capacity(first.id).placeInQueue, null);
    open.open();
    await Promise.all([running, ...runs]);
    assert.deepEqual(
      asked,
      [first, interactive, heir, usual, background, pushy].map(({ id }) => id),
    );
  });

  test("SEMANTICS 8.10: whoever is waited for is as urgent as whoever waits, and no longer than that", async () => {
    const asked: string[] = [];
    const submitted = latch();
    const heads: Record<string, Thread> = {};
    const waits = tool({
      name: "waits",
      description: "",
      input: z.object({}),
      execute: async () => {
        submitted.open();
        await until(() => r.manager.capacity().runningTurns.waiting === 2);
        await r.manager.agentControl().waitFor([heads.background?.id ?? ""], { deadlineMs: 60_000 });
        return "done";
      },
    });
    await using r = await rig({
      limits: { runningTurns: 1 },
      tools: [waits],
      script: ({ threadId }, n) => {
        asked.push(threadId);
        return threadId === heads.urgent?.id && n === 0 ? [call("waits", {})] : "ok";
      },
    });
    const start = async (config: ThreadConfig) => (await r.manager.startThread(config)).thread;
    heads.urgent = await start({ priority: "interactive" });
    heads.background = await start({ priority: "background" });
    const usual = await start({});
    const running = heads.urgent.run("go");
    await submitted.opened;
    const runs = [usual.run("go"), heads.background.run("go")];
    await Promise.all([running, ...runs]);
    assert.deepEqual(asked.slice(0, 2), [heads.urgent.id, heads.background.id]);
    assert.equal(asked.length, 4);
    assert.equal(r.manager.capacity(heads.background.id).priority, 5);
  });

  test("SEMANTICS 8.10: a priority that changes while a turn waits moves it, and its agents; nonsense is refused", async () => {
    const open = latch();
    const asked: string[] = [];
    await using r = await rig({
      limits: { runningTurns: 1 },
      script: ({ threadId }, n) => {
        asked.push(threadId);
        return n === 0 ? [wait(open.opened), say("ok")] : "ok";
      },
    });
    const start = async (config: ThreadConfig, parent?: Thread) =>
      (await r.manager.startThread(config, parent && { parentThreadId: parent.id })).thread;
    const first = await start({});
    const [late, agent, usual] = [await start({ priority: 5 }), await start({}), await start({})];
    const under = await start({}, late);
    const running = first.run("go");
    await until(() => asked.length === 1);
    const runs = [late, under, agent, usual].map((thread) => thread.run("go"));
    await until(() => r.manager.capacity().runningTurns.waiting === 4);
    await late.setPriority("interactive");
    assert.deepEqual(
      [late, under].map(({ id }) => r.manager.capacity(id).placeInQueue),
      [0, 1],
    );
    await usual.setPriority("background");
    await assert.rejects(usual.setPriority(9 as never), /priority/);
    open.open();
    await Promise.all([running, ...runs]);
    assert.deepEqual(
      asked,
      [first, late, under, agent, usual].map(({ id }) => id),
    );
    await usual.shutdown();
    await assert.rejects(usual.setPriority(1), { code: "thread_closed" });
  });

  test("spawn rate: one too many is refused with when to try again, costs nothing, and no thread that was refused counts", async () => {
    await using r = await rig({ limits: { spawnRate: { count: 2, periodMs: 1_000 }, depth: 1 } });
    const { thread: root } = await r.manager.startThread();
    const { thread: child } = await r.manager.startThread({}, { parentThreadId: root.id });
    await r.clock.advanceAsync(400);
    const error = await refusal(r.manager.startThread());
    const { limit, used, max, whose, retryAfterMs, retryable } = error;
    assert.deepEqual(
      { limit, used, max, whose, retryAfterMs, retryable },
      { limit: "spawnRate", used: 2, max: 2, whose: "manager", retryAfterMs: 600, retryable: true },
    );
    assert.deepEqual(r.manager.capacity().spawnRate, { used: 2, free: 0, max: 2, periodMs: 1_000, retryAfterMs: 600 });
    await r.clock.advanceAsync(599);
    await refusal(r.manager.startThread());
    await r.clock.advanceAsync(1);
    const deep = await refusal(r.manager.startThread({}, { parentThreadId: child.id }));
    assert.deepEqual([deep.limit, deep.used, deep.max, deep.whose, deep.retryable], ["depth", 1, 1, child.id, false]);
    assert.equal(r.manager.capacity().spawnRate?.used, 0, "what was refused by another limit has not come to be");
    for (let n = 0; n < 2; n += 1) await r.manager.startThread();
    assert.equal((await r.manager.resumeThread(root.id)).threadId, root.id, "one that is there needs no new place");
  });

  test("a thread that could not be made counts for no rate, and the next takes its place", async () => {
    const store = memoryStore();
    let isBroken = true;
    const create: typeof store.create = async (...given) => {
      if (isBroken) throw new Error("disk on fire");
      return store.create(...given);
    };
    await using r = await rig({
      store: overlaid(store, { create }),
      limits: { spawnRate: { count: 1, periodMs: 1_000 } },
    });
    await assert.rejects(r.manager.startThread(), /disk on fire/);
    assert.equal(r.manager.capacity().spawnRate?.used, 0);
    isBroken = false;
    await r.manager.startThread();
    assert.equal(r.manager.capacity().spawnRate?.used, 1);
  });

  test("SEMANTICS 8.8: limits of a tree say whose they are and how much is used", async () => {
    await using r = await rig({ limits: { childrenPerParent: 2, treeSize: 4 } });
    const { thread: root } = await r.manager.startThread();
    const start = (parent: Thread) => r.manager.startThread({}, { parentThreadId: parent.id });
    const { thread: a } = await start(root);
    await start(root);
    const wide = await refusal(start(root));
    assert.deepEqual([wide.limit, wide.used, wide.whose], ["childrenPerParent", 2, root.id]);
    await start(a);
    const big = await refusal(start(a));
    assert.deepEqual([big.limit, big.used, big.max, big.whose], ["treeSize", 4, 4, root.id]);
    const { depth, childrenPerParent, treeSize } = r.manager.capacity(a.id);
    assert.deepEqual(
      [depth, childrenPerParent, treeSize],
      [
        { used: 1, free: 7, max: 8 },
        { used: 1, free: 1, max: 2 },
        { used: 4, free: 0, max: 4 },
      ],
    );
  });

  test("SEMANTICS 8.9: dropOldest: of ops that may be dropped only the newest waits for room, and the others say so", async () => {
    const open = latch();
    const block = tool({
      name: "block",
      description: "",
      input: z.object({}),
      execute: () => open.opened.then(() => ""),
    });
    await using r = await rig({
      limits: { mailbox: 1 },
      tools: [block],
      script: (_, n) => (n === 0 ? [call("block")] : "ok"),
    });
    const { thread } = await r.manager.startThread();
    const first = thread.run("go");
    await until(() => r.model.requests.length === 1);
    for (let n = 0; n < 20; n += 1) await settled();
    const input = (text: string) => ({ type: "user_input" as const, items: [{ type: "text" as const, text }] });
    const waits = thread.submit(input("kept"));
    const news = ["one", "two", "three"].map((text) =>
      thread.submit(input(text), { whenFull: "dropOldest" }).then(
        () => text,
        (error: unknown) => error instanceof OverloadedError && error.code,
      ),
    );
    await settled();
    open.open();
    assert.deepEqual(await Promise.all(news), ["overloaded", "overloaded", "three"]);
    await Promise.all([first, waits]);
  });

  test("wrong rates and priorities are refused by name", async () => {
    for (const spawnRate of [5, { count: 0, periodMs: 1 }, { count: 1 }]) {
      await assert.rejects(rig({ limits: { spawnRate } as never }), /limits\.spawnRate/);
    }
    await using r = await rig();
    for (const priority of [0, 6, "urgent"]) {
      await assert.rejects(r.manager.startThread({ priority } as never), /priority/);
    }
  });

  test("numbers add up at every instant of a random walk", async () => {
    const step = fc.record({ do: fc.constantFrom("start", "run", "stop", "unload", "pass"), at: fc.nat(9) });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 30 }), async (steps) => {
        await using r = await rig({
          limits: { residentThreads: 4, runningTurns: 2, spawnRate: { count: 3, periodMs: 1_000 }, roomDeadlineMs: 1 },
          script: () => [wait(10), say("ok")],
        });
        const threads: Thread[] = [];
        const check = () => {
          const { residentThreads, runningTurns, spawnRate } = r.manager.capacity();
          for (const { used, free, max } of [residentThreads, runningTurns, spawnRate ?? assert.fail()]) {
            assert.equal(used + free, max);
          }
        };
        r.manager.events$.subscribe(check);
        const work: Promise<unknown>[] = [];
        for (const { do: what, at } of steps) {
          const thread = threads[at];
          if (what === "start") {
            const start = r.manager.startThread().then(({ thread: made }) => threads.push(made));
            work.push(start.catch(() => undefined));
          }
          if (what === "run" && thread) work.push(thread.run("go").catch(() => undefined));
          if (what === "stop" && thread) work.push(thread.shutdown().catch(() => undefined));
          if (what === "unload") await r.clock.advanceAsync(31 * 60_000);
          if (what === "pass") await r.clock.advanceAsync(at * 100);
          await settled();
          check();
        }
        const all = Promise.allSettled(work);
        for (let n = 0; n < 20; n += 1) await r.clock.advanceAsync(50);
        await all;
        check();
        assert.equal(r.manager.capacity().runningTurns.used, 0);
      }),
      { numRuns: 15 },
    );
  });
});
