/**
 * Trees of agents that are spawned, finish, crash, are removed, are spoken to and outlive their process, in any interleaving, against a
 * small model: no limit and no budget is exceeded, no place, name or timer is left, and each agent's end is told once.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import * as z from "zod";
import { memoryStore, SkeinError, type ThreadId, type ThreadStore } from "../../src/index.ts";
import { runtimeOf } from "../../src/manager/runtime-of.ts";
import type { LiveThread } from "../../src/thread/live-thread.ts";
import { settled } from "../kernel/settled.ts";
import { linesOf, overlaid, type Rig, rig } from "../rig.ts";

const RUNS = Number(process.env.SKEIN_WALKS ?? 25);
const LIMITS = { residentThreads: 4, runningTurns: 2, depth: 2, childrenPerParent: 3, treeSize: 6 };
const BUDGET = 6;

type Step = { readonly do: (typeof DEEDS)[number]; readonly at: number };
const DEEDS = [
  "spawn",
  "spawn",
  "run",
  "crash",
  "remove",
  "end",
  "send",
  "later",
  "interrupt",
  "wait",
  "process",
] as const;
const step: fc.Arbitrary<Step> = fc.record({ do: fc.constantFrom(...DEEDS), at: fc.nat(9) });

class World {
  r!: Rig;
  root!: ThreadId;
  /** The agents, each with its parent. */
  readonly agents = new Map<ThreadId, ThreadId>();
  readonly #store: ThreadStore;
  readonly #scheduler: fc.Scheduler;

  constructor(scheduler: fc.Scheduler) {
    this.#scheduler = scheduler;
    const store = memoryStore();
    // Threads come to be, and come back, in an order of the scheduler's.
    this.#store = overlaid(store, {
      create: async (meta) => {
        await scheduler.schedule(Promise.resolve(), "create");
        return store.create(meta);
      },
      open: async (thread, how) => {
        await scheduler.schedule(Promise.resolve(), "open");
        return store.open(thread, how);
      },
    });
  }

  async begin(): Promise<void> {
    const limits = { ...LIMITS, roomDeadlineMs: 30 };
    const config = { cwd: "/work", treeBudget: { turns: BUDGET }, messages: { hint: z.object({}) } };
    this.r = await rig({ store: this.#store, limits, config, supervision: { backoffMs: 10, random: () => 0 } });
    const beginning =
      this.root === undefined ? this.r.manager.startThread() : this.r.manager.resumeThread(this.root, config);
    await this.pass();
    this.root = (await beginning).threadId;
    this.r.manager.events$.subscribe(() => this.check());
  }

  /** What holds at every event. */
  check(): void {
    const { residentThreads, runningTurns } = this.r.manager.capacity();
    assert.ok(residentThreads.used <= LIMITS.residentThreads, "threads in memory");
    assert.ok(runningTurns.used <= LIMITS.runningTurns, "running turns");
    const { childrenPerParent, treeSize } = this.r.manager.capacity(this.root);
    assert.ok(childrenPerParent.used <= LIMITS.childrenPerParent && treeSize.used <= LIMITS.treeSize, "the tree");
  }

  async pass(): Promise<void> {
    for (let n = 0; n < 8; n += 1) {
      while (this.#scheduler.count() > 0) await this.#scheduler.waitOne();
      await this.r.clock.advanceAsync(20);
      for (let turns = 0; turns < 3; turns += 1) await settled();
    }
  }

  /** Refusals are part of it; what is no error of ours is a mistake. */
  async #allowed(doing: Promise<unknown> | undefined): Promise<void> {
    await doing?.catch((error: unknown) => {
      if (error instanceof SkeinError || (error as Error).name === "AbortError") return;
      throw error;
    });
  }

  async act({ do: deed, at }: Step): Promise<void> {
    const { manager } = this.r;
    const id = [...this.agents.keys()][at % Math.max(1, this.agents.size)];
    const thread = id === undefined ? undefined : (manager.loadedThread(id) as LiveThread | undefined);
    if (deed === "spawn") {
      const parentThreadId = at % 2 === 0 || id === undefined ? this.root : id;
      const spawned = await manager
        .agentControl()
        .spawnAgent({}, "work", { parentThreadId, deadlineMs: 200 })
        .catch((error: unknown) => {
          assert.ok(error instanceof SkeinError, String(error));
          return undefined;
        });
      if (spawned !== undefined) this.agents.set(spawned, parentThreadId);
    } else if (deed === "process" && at < 3) {
      await this.end();
      await this.begin();
    } else if (deed === "crash") thread?.incarnation.end("crashed", new Error("disk on fire"));
    else if (id === undefined) return;
    else if (deed === "run") await this.#allowed(thread?.run("more", { deadlineMs: 100 }));
    else if (deed === "end") await this.#allowed(thread?.shutdown({ deadlineMs: 100 }));
    else if (deed === "remove")
      await this.#allowed(manager.removeThread(id, { deadlineMs: 100 }).then((it) => it?.shutdown()));
    else if (deed === "send")
      await this.#allowed(manager.send(id, { type: "hint" }, { durable: at % 2 === 0, deadlineMs: 100 }));
    else if (deed === "later") await this.#allowed(thread?.schedule({ after: 30 }, { type: "interrupt" }));
    else if (deed === "interrupt") await this.#allowed(thread?.interrupt({ deadlineMs: 100 }));
  }

  async end(): Promise<void> {
    const ending = this.r[Symbol.asyncDispose]();
    for (let n = 0; n < 8; n += 1) {
      while (this.#scheduler.count() > 0) await this.#scheduler.waitOne();
      await settled();
    }
    await ending;
  }

  /** What holds once all has ended. */
  async checkEnd(): Promise<void> {
    const use = await (await this.r.manager.getThread(this.root)).budget();
    assert.ok((use?.tree.used.turns ?? 0) <= BUDGET, "the tree's budget");
    // One whose parent is not open is the root of what is left (7.2).
    for (const top of [this.root, ...this.agents.keys()]) {
      const closing = this.#allowed(this.r.manager.shutdownTree(top, { deadlineMs: 1_000 }));
      await this.pass();
      await closing;
    }
    await this.pass();
    const runtime = runtimeOf(this.r.manager);
    assert.deepEqual(runtime?.left(), { incarnations: 0, handles: 0, removed: 0 }, "places");
    assert.deepEqual(runtime?.messages.left(), { open: 0, asked: 0, subscriptions: 0, mail: 0 }, "messages");
    assert.equal(this.r.manager.capacity().residentThreads.used, 0);
    await this.end();
    assert.equal(this.r.clock.pending, 0, "timers");
    const told = (await linesOf(this.#store, this.root))
      .filter(({ type }) => type === "response_item")
      .map(({ payload }) => /agent_path\\":\\"([0-9a-f-]{36})/.exec(JSON.stringify(payload))?.[1]);
    for (const [agent, parent] of this.agents) {
      const times = told.filter((each) => each === agent).length;
      const isOwed = (await this.#store.notes?.read(agent, "notice")) !== undefined;
      if (parent === this.root) assert.equal(times + Number(isOwed), 1, `${agent} was told ${times} times`);
    }
  }
}

test("SEMANTICS 7.3, 7.5, 8.1, 8.5 and 9.6: no interleaving exceeds a limit or a budget, loses or doubles an end, or leaves anything", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 16 }), fc.scheduler(), async (steps, scheduler) => {
      const world = new World(scheduler);
      await world.begin();
      for (const each of steps) {
        const acting = world.act(each);
        if (each.do !== "process") await world.pass();
        await acting;
        world.check();
      }
      await world.pass();
      await world.checkEnd();
    }),
    { numRuns: RUNS, endOnFailure: RUNS < 100 },
  );
});
