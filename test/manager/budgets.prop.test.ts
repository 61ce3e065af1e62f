/**
 * Budgets of a tree in any interleaving of turns, interrupts, ends, unloading, changed bounds and restarts of the process, against a model: no
 * bound is passed by more than one request, and what is used is what was asked, wherever it was asked.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { memoryStore, say, type ThreadId, usage, wait } from "../../src/index.ts";
import { runtimeOf } from "../../src/manager/runtime-of.ts";
import { settled } from "../kernel/settled.ts";
import { type Rig, rig } from "../rig.ts";

const RUNS = Number(process.env.SKEIN_WALKS ?? 25);
/** What a request uses, and what is set aside for it. */
const EACH = 10;
/** Of each thread, the one above it: of the first, none. */
const ABOVE = [undefined, 0, 0, 1] as const;
const BUSY_MS = 20;

const DEEDS = ["run", "run", "run", "interrupt", "end", "unload", "raise", "lower", "wait", "process"] as const;
const step = fc.record({
  do: fc.constantFrom(...DEEDS),
  at: fc.nat(ABOVE.length - 1),
  by: fc.integer({ min: 1, max: 40 }),
});
const bound = fc.option(fc.integer({ min: 1, max: 80 }), { nil: undefined });
type Bounds = { readonly own: number | undefined; readonly tree: number | undefined };
type Step = { readonly do: (typeof DEEDS)[number]; readonly at: number; readonly by: number };

class World {
  r!: Rig;
  readonly ids: ThreadId[] = [];
  /** The most that each bound has been. */
  readonly most: { own: number; tree: number }[];
  readonly #bounds: readonly Bounds[];
  readonly #store = memoryStore();
  readonly #asked = new Map<ThreadId, number>();

  constructor(bounds: readonly Bounds[]) {
    this.#bounds = bounds;
    this.most = bounds.map(({ own, tree }) => ({ own: own ?? Infinity, tree: tree ?? Infinity }));
  }

  async begin(): Promise<void> {
    const script = ({ threadId }: { threadId: ThreadId }) => {
      this.#asked.set(threadId, (this.#asked.get(threadId) ?? 0) + EACH);
      return [wait(BUSY_MS), say("ok"), usage({ input_tokens: EACH, output_tokens: 0 })];
    };
    this.r = await rig({ store: this.#store, script, residency: { unloadAfterMs: 500 } });
    for (const id of this.ids) await this.r.manager.resumeThread(id);
    for (const [at, { own, tree }] of this.#bounds.entries()) {
      if (this.ids.length > at) continue;
      const above = ABOVE[at] === undefined ? {} : { parentThreadId: this.ids[ABOVE[at]] ?? assert.fail() };
      const settings = {
        ...(own !== undefined && { budget: { tokens: own, reserveTokens: EACH } }),
        ...(tree !== undefined && { treeBudget: { tokens: tree, reserveTokens: EACH } }),
      };
      this.ids.push((await this.r.manager.startThread(settings, above)).threadId);
    }
  }

  async pass(ms: number): Promise<void> {
    for (let n = 0; n < 4; n += 1) {
      await this.r.clock.advanceAsync(ms / 4);
      for (let turns = 0; turns < 3; turns += 1) await settled();
    }
  }

  async act({ do: deed, at, by }: Step): Promise<unknown> {
    const { manager } = this.r;
    const id = this.ids[at] ?? assert.fail();
    if (deed === "process") {
      const ending = this.r[Symbol.asyncDispose]();
      for (let n = 0; n < 8; n += 1) await settled();
      await ending;
      return this.begin();
    }
    if (deed === "unload") return this.pass(1_000);
    if (deed === "wait") return this.pass(by);
    const { thread } = await manager.resumeThread(id);
    if (deed === "run") void thread.run("go").catch(() => undefined);
    if (deed === "interrupt") void thread.interrupt().catch(() => undefined);
    if (deed === "end") {
      const ending = thread.shutdown({ deadlineMs: 100 });
      await this.pass(10);
      return ending;
    }
    const given = this.#bounds[at];
    if (given?.tree === undefined || (deed !== "raise" && deed !== "lower")) return;
    const now = (await thread.budget())?.treeBudget?.tokens ?? 0;
    const tokens = Math.max(0, now + (deed === "raise" ? by : -by));
    const most = this.most[at] ?? assert.fail();
    most.tree = Math.max(most.tree, tokens);
    return thread.setBudget({ treeBudget: { tokens, reserveTokens: EACH } });
  }

  #under(at: number): number[] {
    return ABOVE.flatMap((above, each) => (above === at ? [each, ...this.#under(each)] : []));
  }

  /** What was asked by these threads. */
  #askedBy(threads: readonly number[]): number {
    return threads.reduce((sum, at) => sum + (this.#asked.get(this.ids[at] ?? assert.fail()) ?? 0), 0);
  }

  /** What holds at any moment. */
  check(): void {
    for (const [at, { own, tree }] of this.most.entries()) {
      assert.ok(this.#askedBy([at]) < own + EACH, `thread ${at} asked for ${this.#askedBy([at])} of ${own}`);
      const all = this.#askedBy([at, ...this.#under(at)]);
      assert.ok(all < tree + EACH, `tree ${at} asked for ${all} of ${tree}`);
    }
  }

  /** What is written down, once nothing runs. */
  async checkUse(): Promise<void> {
    for (const [at, { own, tree }] of this.#bounds.entries()) {
      const use = await (await this.r.manager.resumeThread(this.ids[at] ?? "")).thread.budget();
      const { used, reserved, tree: trees } = use ?? { used: undefined, reserved: undefined, tree: undefined };
      if (own !== undefined)
        assert.deepEqual([used?.tokens, reserved?.tokens], [this.#askedBy([at]), 0], `thread ${at}`);
      const all = this.#askedBy([at, ...this.#under(at)]);
      if (tree !== undefined) assert.deepEqual([trees?.used.tokens, trees?.reserved.tokens], [all, 0], `tree ${at}`);
    }
  }
}

test("SEMANTICS 8.1, 8.2, 8.3 and 8.5: no interleaving passes a bound by more than a request, or forgets what was asked", async () => {
  const bounds = fc.tuple(...ABOVE.map(() => fc.record({ own: bound, tree: bound })));
  await fc.assert(
    fc.asyncProperty(bounds, fc.array(step, { maxLength: 25 }), async (given, steps) => {
      const world = new World(given);
      await world.begin();
      for (const each of steps) {
        await world.act(each);
        await settled();
        world.check();
      }
      await world.pass(2 * BUSY_MS);
      world.check();
      await world.checkUse();
      for (const id of world.ids.toReversed()) await (await world.r.manager.resumeThread(id)).thread.shutdown();
      assert.equal(runtimeOf(world.r.manager)?.leftBeside().accounts, 0);
      const ending = world.r[Symbol.asyncDispose]();
      for (let n = 0; n < 8; n += 1) await settled();
      await ending;
      assert.equal(world.r.clock.pending, 0);
    }),
    { numRuns: RUNS },
  );
});
