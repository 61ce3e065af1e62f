/**
 * Lives that meet: whatever comes in whatever order, over a store whose answers come in any order, every request is
 * answered, nothing runs twice, an accepted input's turn has one end, and nothing is left.
 */

import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import type { Thread, ThreadId } from "../../src/index.ts";
import { runtimeOf } from "../../src/manager/runtime-of.ts";
import { newTurnId } from "../../src/protocol/ids.ts";
import type { Op } from "../../src/protocol/op.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import type { ThreadStore } from "../../src/store/thread-store.ts";
import { settled } from "../kernel/settled.ts";
import { linesOf, type Rig, rig } from "../rig.ts";

const KINDS = [
  "spawn",
  "resume",
  "fork",
  "submit",
  "interrupt",
  "rollback",
  "compact",
  "list",
  "remove",
  "end",
  "crash",
  "takeOver",
  "time",
  "turns",
] as const;
type Step = { readonly do: (typeof KINDS)[number]; readonly at: number; readonly n: number };

const ANCHORS = ["full", "interrupted", { beforeUserMessage: 0 }, { beforeUserMessage: 1 }] as const;

/** A store each of whose answers waits for the scheduler. */
function scheduled(inner: ThreadStore, schedule: <T>(answer: Promise<T>) => Promise<T>): ThreadStore {
  const slow = <T extends object>(target: T): T =>
    new Proxy(target, {
      get(object, name) {
        const value: unknown = Reflect.get(object, name, object);
        if (typeof value !== "function") return value;
        if (!["create", "fork", "open", "close", "sync", "flush"].includes(String(name))) return value.bind(object);
        return async (...args: unknown[]) => {
          const result: unknown = await schedule(Promise.resolve(value.apply(object, args)));
          return typeof result === "object" && result !== null ? slow(result) : result;
        };
      },
    });
  return slow(inner);
}

class Story {
  readonly #r: Rig;
  readonly #store: ThreadStore;
  readonly #threads: Thread[] = [];
  readonly #work: Promise<unknown>[] = [];
  readonly accepted = new Map<string, ThreadId>();
  /** Ops that were taken, by their ids. */
  readonly #taken = new Map<string, Step["do"]>();
  /** The ids that any event bore. */
  readonly #told = new Set<string>();

  constructor(r: Rig, store: ThreadStore) {
    this.#r = r;
    this.#store = store;
    r.manager.events$.subscribe(({ id }) => this.#told.add(id));
    r.manager.threadCreated$.subscribe((thread) => {
      if (!this.#threads.includes(thread)) this.#threads.push(thread);
    });
  }

  async take({ do: what, at, n }: Step): Promise<void> {
    const { manager, clock } = this.#r;
    const thread = this.#threads[at % Math.max(1, this.#threads.length)];
    if (what === "time") await clock.advanceAsync([1, 100, 5_000, 31 * 60_000][n % 4] ?? 1);
    else if (what === "turns") for (let turn = 0; turn < n; turn += 1) await settled();
    else if (what === "spawn" || thread === undefined) this.#note(manager.startThread());
    else this.#note(this.#of(thread, what, n));
  }

  #note(work: Promise<unknown> | undefined): void {
    if (work === undefined) return;
    work.catch(() => undefined);
    this.#work.push(work);
  }

  #of(thread: Thread, what: Step["do"], n: number): Promise<unknown> | undefined {
    const { manager } = this.#r;
    const { id } = thread;
    switch (what) {
      case "resume":
        return manager.resumeThread(id);
      case "fork":
        return manager.forkThread({ from: id, at: ANCHORS[n % ANCHORS.length] ?? "full" });
      case "submit":
        return this.#submit(thread);
      case "interrupt":
        return thread.interrupt();
      case "rollback":
        return this.#give(thread, what, { type: "thread_rollback", num_turns: 1 + (n % 2) });
      case "compact":
        return this.#give(thread, what, { type: "compact" });
      case "list":
        return this.#give(thread, what, { type: "list_skills", cwds: [] });
      case "remove":
        return manager.removeThread(id);
      case "end":
        return thread.shutdown({ deadlineMs: 1_000 });
      case "crash":
        if (thread.actor !== undefined) thread.actor.send({ type: "op.submit", id: "broken" });
        return undefined;
      case "takeOver":
        return this.#takeOver(id);
      default:
        return undefined;
    }
  }

  async #give(thread: Thread, what: Step["do"], op: Op): Promise<void> {
    const id = newTurnId();
    await thread.submitWithId({ id, op });
    this.#taken.set(id, what);
  }

  /** Ops that were taken, and of which nobody was told anything: neither their answer nor an error. */
  untold(): string[] {
    return [...this.#taken].filter(([id]) => !this.#told.has(id)).map(([, what]) => what);
  }

  /** Another writer takes the lease, says nothing and gives it back. */
  async #takeOver(id: ThreadId): Promise<void> {
    await (await this.#store.open(id, { lease: "takeOver" })).close();
  }

  async #submit(thread: Thread): Promise<void> {
    const id = newTurnId();
    const op = { type: "user_input" as const, items: [{ type: "text" as const, text: id }] };
    const outcomes = await Promise.allSettled([thread.submitWithId({ id, op }), thread.submitWithId({ id, op })]);
    if (!outcomes.some(({ status }) => status === "fulfilled")) return;
    this.accepted.set(id, thread.id);
    this.#taken.set(id, "submit");
  }

  /** Whether all that was asked has been answered. */
  async answered(): Promise<boolean> {
    let isOver = false;
    const all = Promise.allSettled(this.#work).then(() => {
      isOver = true;
    });
    for (let n = 0; n < 200 && !isOver; n += 1) {
      await this.#r.clock.advanceAsync(1_000);
      await settled();
    }
    if (isOver) await all;
    return isOver;
  }

  /** What the model was asked in the name of each input. */
  timesRun(id: string): number {
    const last = this.#r.model.requests.filter(({ input }) => {
      const texts = JSON.stringify(input.findLast((item) => item.type === "message" && item.role === "user"));
      return texts.includes(id);
    });
    return last.length;
  }
}

const step: fc.Arbitrary<Step> = fc.record({ do: fc.constantFrom(...KINDS), at: fc.nat(5), n: fc.nat(7) });

suite("lifecycles", () => {
  test("every request is answered, nothing runs twice, every turn has one end, nothing is left", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.array(step, { minLength: 3, maxLength: 25 }),
        fc.array(step, { maxLength: 6 }),
        fc.integer({ min: 1, max: 4 }),
        async (s, before, during, residentThreads) => {
          const inner = memoryStore();
          const store = scheduled(inner, (answer) => {
            // It may fail before its turn comes.
            answer.catch(() => undefined);
            return s.schedule(answer);
          });
          const limits = { residentThreads, roomDeadlineMs: 50 };
          const r = await rig({ store, limits, supervision: { backoffMs: 50, maxRestarts: 3 } });
          const story = new Story(r, inner);
          const running = { now: true };
          const pump = (async () => {
            while (running.now) {
              if (s.count() > 0) await s.waitOne();
              else await settled();
            }
          })();
          await story.take({ do: "spawn", at: 0, n: 0 });
          for (const one of before) await story.take(one);
          const down = r.manager.shutdown({ deadlineMs: 5_000 });
          for (const one of during) await story.take(one);
          assert.ok(await story.answered(), "a request was never answered");
          const report = await down;
          running.now = false;
          await pump;
          assert.ok(report);
          assert.deepEqual(runtimeOf(r.manager)?.left(), { incarnations: 0, handles: 0, removed: 0 });
          assert.equal(r.clock.pending, 0, "a timer is left");
          assert.deepEqual(story.untold(), [], "an op was taken, and nothing was ever told of it");
          for (const [id, threadId] of story.accepted) {
            assert.ok(story.timesRun(id) <= 1, `${id} ran ${story.timesRun(id)} times`);
            const lines = await linesOf(inner, threadId);
            const of = (type: string) =>
              lines.filter(
                (line) =>
                  line.type === "event_msg" && line.payload.type === type && Object(line.payload).turn_id === id,
              ).length;
            assert.ok(of("task_started") <= 1, "a turn began twice");
            assert.ok(of("task_complete") + of("turn_aborted") <= 1, "a turn ended twice");
          }
        },
      ),
      { numRuns: Number(process.env.SKEIN_LIFECYCLES ?? 30) },
    );
  });
});
