/** Limits hold in every interleaving (S6), and who leaves memory first. */
import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { type Thread, tool } from "../../src/index.ts";
import { call, hang, say, wait } from "../../src/model/script.ts";
import type { ThreadId } from "../../src/protocol/ids.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import type { ThreadStore } from "../../src/store/thread-store.ts";
import { settled } from "../kernel/settled.ts";
import { overlaid, type Rig, rig, until } from "../rig.ts";

/** A store whose every promise takes some reactions longer, as chosen. */
function jittery(delays: () => number): ThreadStore {
  const pause = async () => {
    for (let n = delays(); n > 0; n -= 1) await Promise.resolve();
  };
  const inner = memoryStore();
  const slowed = <T extends object>(target: T): T =>
    new Proxy(target, {
      get(object, name) {
        const value: unknown = Reflect.get(object, name, object);
        if (typeof value !== "function") return value;
        if (!["create", "fork", "open", "close"].includes(String(name))) return value.bind(object);
        return async (...args: unknown[]) => {
          await pause();
          const result: unknown = await value.apply(object, args);
          await pause();
          return typeof result === "object" && result !== null ? slowed(result) : result;
        };
      },
    });
  return slowed(inner);
}

const loaded = (threads: readonly Thread[]) => threads.filter(({ actor }) => actor !== undefined).length;

/** While an op waits for its thread to be loaded, others load it and send it away again. */
const RELOADED_BY_OTHERS: Step[] = [
  { do: "spawn" },
  { do: "wait", ticks: 7 },
  { do: "spawn" },
  { do: "get", at: 0 },
  { do: "wait", ticks: 9 },
  { do: "run", at: 0 },
  { do: "wait", ticks: 6 },
  { do: "get", at: 0 },
  { do: "fork", at: 0 },
];

type Step = { do: "spawn" } | { do: "run" | "get" | "fork"; at: number } | { do: "wait"; ticks: number };

suite("limits", () => {
  test("resident threads: whatever comes at once, never more than allowed in memory, and all stay addressable", async () => {
    const step = fc.oneof<fc.Arbitrary<Step>[]>(
      fc.constant({ do: "spawn" as const }),
      fc.record({ do: fc.constant("run" as const), at: fc.nat(9) }),
      fc.record({ do: fc.constant("get" as const), at: fc.nat(9) }),
      fc.record({ do: fc.constant("fork" as const), at: fc.nat(9) }),
      fc.record({ do: fc.constant("wait" as const), ticks: fc.nat(12) }),
    );
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 4 }),
        fc.array(step, { minLength: 4, maxLength: 25 }),
        fc.array(fc.nat(6), { minLength: 1, maxLength: 10 }),
        async (max, steps, delays) => {
          let n = 0;
          const store = jittery(() => delays[n++ % delays.length] ?? 0);
          await using r = await rig({ store, limits: { residentThreads: max } });
          const threads: Thread[] = [];
          const check = () => {
            assert.ok(r.manager.capacity().residentThreads.used <= max, "more than allowed are counted");
            assert.ok(loaded(threads) <= max, "more than allowed are in memory");
          };
          r.manager.threadCreated$.subscribe((thread) => {
            if (!threads.includes(thread)) threads.push(thread);
            check();
          });
          r.manager.events$.subscribe(check);
          const work: Promise<unknown>[] = [];
          for (const one of steps) {
            const target = "at" in one ? threads[one.at % Math.max(1, threads.length)] : undefined;
            if (one.do === "spawn") work.push(r.manager.startThread());
            else if (one.do === "wait") for (let tick = 0; tick < one.ticks; tick += 1) await Promise.resolve();
            else if (target !== undefined) {
              if (one.do === "run") work.push(target.run("x"));
              if (one.do === "get") work.push(r.manager.getThread(target.id));
              if (one.do === "fork") work.push(r.manager.forkThread({ from: target.id }));
            }
            check();
          }
          const outcomes = await Promise.allSettled(work);
          // Each turn ends, so each place comes free: a burst is served one after another, and nobody is refused.
          const refused = outcomes.flatMap((outcome) => (outcome.status === "rejected" ? [outcome.reason] : []));
          assert.deepEqual(refused, []);
          for (const thread of threads) {
            assert.equal((await r.manager.getThread(thread.id)).id, thread.id);
            assert.equal((await thread.run("still there")).status, "completed");
            check();
          }
        },
      ),
      { numRuns: 150, examples: [[1, RELOADED_BY_OTHERS, [0]]] },
    );
  });

  test("the least recently used idle thread leaves first; one at work stays", async () => {
    await using r = await rig({ limits: { residentThreads: 3 }, script: (_, n) => (n === 0 ? [hang()] : [say("ok")]) });
    const start = async () => (await r.manager.startThread()).thread;
    const busy = await start();
    const running = busy.run("x");
    await until(() => r.model.asked === 1);
    const b = await start();
    const c = await start();
    await b.run("used again");
    const d = await start();
    assert.deepEqual(
      [busy, b, c, d].map(({ actor }) => actor !== undefined),
      [true, true, false, true],
    );
    await c.run("back");
    assert.deepEqual(
      [busy, b, c, d].map(({ actor }) => actor !== undefined),
      [true, false, true, true],
    );
    await busy.interrupt();
    await running;
  });

  test("a thread that cannot be stored stays in memory, and another one leaves in its place", async () => {
    const inner = memoryStore();
    const stuck = new Set<ThreadId>();
    const store = overlaid<ThreadStore>(inner, {
      async create(meta, options) {
        const writer = await inner.create(meta, options);
        return overlaid(writer, {
          close: () => (stuck.has(meta.id) ? Promise.reject(new Error("disk full")) : writer.close()),
        });
      },
    });
    await using r = await rig({ store, limits: { residentThreads: 2 } });
    const a = (await r.manager.startThread()).thread;
    const b = (await r.manager.startThread()).thread;
    stuck.add(a.id);
    await r.manager.startThread();
    assert.deepEqual([a.actor !== undefined, b.actor !== undefined], [true, false]);
    assert.equal((await a.run("x")).status, "completed");
    stuck.clear();
  });

  test("running turns: never more than allowed, in order, and all get their turn", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer({ min: 1, max: 3 }),
        fc.array(fc.constantFrom("run", "interrupt", "time"), { maxLength: 30 }),
        async (max, steps) => {
          let now = 0;
          let most = 0;
          await using r = await rig({
            limits: { runningTurns: max },
            script: () => [
              wait(() => {
                now += 1;
                most = Math.max(most, now);
                return Promise.resolve();
              }),
              wait(5),
              say("ok"),
            ],
          });
          const threads = await Promise.all(
            Array.from({ length: 5 }, async () => (await r.manager.startThread()).thread),
          );
          r.manager.events$.subscribe(({ msg }) => {
            if (msg.type === "task_complete" || msg.type === "turn_aborted")
              now = Math.min(now, r.manager.capacity().runningTurns.used);
            assert.ok(r.manager.capacity().runningTurns.used <= max);
          });
          const runs: Promise<unknown>[] = [];
          for (const [at, step] of steps.entries()) {
            const thread = threads[at % threads.length];
            if (step === "run") runs.push(thread?.run("x") ?? Promise.resolve());
            else if (step === "interrupt") void thread?.interrupt();
            else await r.clock.advanceAsync(5);
          }
          for (let n = 0; n < 2 * steps.length + 2; n += 1) await r.clock.advanceAsync(10);
          await Promise.all(runs);
          assert.deepEqual(r.manager.capacity().runningTurns, { used: 0, free: max, waiting: 0, max });
        },
      ),
      { numRuns: 60 },
    );
  });

  test("depth, children and tree size: over any starts and ends, as a plain tree counts them", async () => {
    const limits = { depth: 2, childrenPerParent: 2, treeSize: 4 };
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ do: fc.constantFrom("start", "start", "start", "end", "unload"), at: fc.nat(20) }), {
          maxLength: 25,
        }),
        async (steps) => {
          await using r = await rig({ limits });
          const agents = r.manager.agentControl();
          const root = (await r.manager.startThread()).threadId;
          const parents = new Map<ThreadId, ThreadId | null>([[root, null]]);
          const gone = new Set<ThreadId>();
          const depthOf = (id: ThreadId): number => {
            const parent = parents.get(id);
            return parent === null || parent === undefined ? 0 : depthOf(parent) + 1;
          };
          for (const { do: what, at } of steps) {
            const alive = [...parents.keys()].filter((id) => !gone.has(id));
            const id = alive[at % alive.length];
            if (id === undefined) break;
            if (what === "unload") {
              await r.clock.advanceAsync(31 * 60_000);
            } else if (what === "end") {
              if (id === root) continue;
              // Only leaves end, so that the reference stays a plain tree.
              if (alive.some((other) => parents.get(other) === id)) continue;
              gone.add(id);
              await agents.shutdownAgent(id);
            } else {
              const children = alive.filter((other) => parents.get(other) === id).length;
              const allowed =
                depthOf(id) < limits.depth && children < limits.childrenPerParent && alive.length < limits.treeSize;
              const outcome = await agents.spawnAgent(undefined, "go", { parentThreadId: id }).then(
                (child) => child,
                (error: { code: string }) => error.code,
              );
              assert.equal(outcome !== "limit_reached", allowed, `${what} under depth ${depthOf(id)}`);
              if (outcome !== "limit_reached") parents.set(outcome as ThreadId, id);
              await settled();
            }
          }
        },
      ),
      { numRuns: 60 },
    );
  });

  test("a fork of a tool's thread counts nowhere; a spawn that fails frees its place", async () => {
    await using r: Rig = await rig({
      limits: { childrenPerParent: 1 },
      tools: [tool({ name: "t", description: "", execute: () => "x" })],
      script: [[call("t")], [say("ok")]],
    });
    const { threadId, thread } = await r.manager.startThread();
    await thread.run("x");
    await r.manager.forkThread({ from: threadId });
    const taken = threadId;
    await assert.rejects(r.manager.startThread({}, { threadId: taken, parentThreadId: threadId }), {
      code: "duplicate_thread",
    });
    await assert.rejects(r.manager.startThread({ tools: [1 as never] }, { parentThreadId: threadId }), {
      code: "invalid_request",
    });
    await r.manager.startThread({}, { parentThreadId: threadId });
    await assert.rejects(r.manager.startThread({}, { parentThreadId: threadId }), {
      code: "limit_reached",
      message: /childrenPerParent/,
    });
  });
});

test("S3: whoever has given up before it was its turn to begin makes nothing", async () => {
  const inner = memoryStore();
  let made = 0;
  const store = overlaid(inner, {
    create: (meta, how) => {
      made += 1;
      return inner.create(meta, how);
    },
  });
  await using r = await rig({ store });
  const cut = new AbortController();
  const starting = Array.from({ length: 40 }, () => r.manager.startThread({}, { signal: cut.signal }));
  cut.abort(new Error("given up"));
  for (const { status } of await Promise.allSettled(starting)) assert.equal(status, "rejected");
  assert.ok(made <= 32, `${made} rollouts were begun`);
  await until(() => r.manager.supervisor.getSnapshot().context.resident === 0);
});
