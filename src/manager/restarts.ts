import { type Actor, createActor } from "xstate";
import { restartDelayOf, restartMachine } from "../../machines/restart.machine.ts";
import { type Clock, elapsedBy } from "../kernel/clock.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { EndReason } from "../thread/life-end.ts";
import { type RestartRule, supervisionBy } from "./group-options.ts";
import type { RestartStrategy, Supervision } from "./options.ts";
import type { RestartStanding } from "./restart-standing.ts";

/** What supervision has done to one thread. */
export type RestartOutcomes = {
  /** The thread is to live again now. */
  readonly restart: (threadId: ThreadId) => void;
  /** Its restart intensity is exceeded: it stays down. */
  readonly giveUp: (threadId: ThreadId, crashes: number) => void;
};

/** After which ends a thread lives again. One that was ended on purpose never does. */
const RESTARTED_AFTER: Readonly<Record<RestartStrategy, readonly EndReason[]>> = {
  permanent: ["crashed", "closed"],
  transient: ["crashed"],
  temporary: [],
};

/** How much of a back-off is left to chance, so that those that crashed together don't come back together. */
export const JITTER = 0.5;

/** What is known of one thread that has crashed. */
type Count = {
  counter: Actor<typeof restartMachine>;
  /** Since when it backs off. */
  waitsSince?: number;
  /** Since when its restart has been refused, for reasons that are not the thread's. */
  refusedSince?: number;
};

/**
 * Decides for each thread that crashed whether and when it lives again (S7), by its restart intensity. The count outlives
 * a give-up by the period, so that resuming the thread by hand doesn't begin it anew.
 */
export class RestartCounters {
  readonly #options: Supervision;
  readonly #clock: Clock;
  readonly #then: RestartOutcomes;
  readonly #counts = new Map<ThreadId, Count>();
  readonly #timers = new Map<ThreadId, unknown>();
  /** Of those that have their own. */
  readonly #rules = new Map<ThreadId, Supervision>();

  constructor(options: Supervision, clock: Clock, then: RestartOutcomes) {
    this.#options = options;
    this.#clock = clock;
    this.#then = then;
  }

  /** How many threads are counted: for tests. */
  get size(): number {
    return this.#counts.size;
  }

  /** The thread is restarted by its own rule from now on; without one, by the manager's. */
  setRule(threadId: ThreadId, rule: RestartRule | undefined): void {
    if (rule === undefined) this.#rules.delete(threadId);
    else this.#rules.set(threadId, supervisionBy(this.#options, rule));
  }

  #ruleOf(threadId: ThreadId): Supervision {
    return this.#rules.get(threadId) ?? this.#options;
  }

  /** Whether a thread that ended for this reason is to be restarted at all. */
  restarts(threadId: ThreadId, reason: EndReason): boolean {
    return RESTARTED_AFTER[this.#ruleOf(threadId).restart].includes(reason);
  }

  /** The thread has ended and is to live again: after its back-off, unless that happens too often. */
  noteEnd(threadId: ThreadId): void {
    const count = this.#countOf(threadId);
    delete count.refusedSince;
    count.waitsSince = elapsedBy(this.#clock);
    count.counter.send({ type: "thread.crashed", at: elapsedBy(this.#clock), chance: this.#options.random() });
  }

  /**
   * Its restart was refused for a reason that is not the thread's: it is tried again, uncounted.
   * @returns false when that has gone on for longer than the period
   */
  noteRefusal(threadId: ThreadId): boolean {
    const count = this.#countOf(threadId);
    const now = elapsedBy(this.#clock);
    count.refusedSince ??= now;
    if (now - count.refusedSince >= this.#ruleOf(threadId).periodMs) return false;
    count.waitsSince = now;
    count.counter.send({ type: "restart.refused", chance: this.#options.random() });
    return true;
  }

  /** How the thread stands now; nothing is counted by asking. */
  standingOf(threadId: ThreadId): Omit<RestartStanding, "error" | "group"> {
    const { restart: strategy, maxRestarts, periodMs } = this.#ruleOf(threadId);
    const { counter, waitsSince } = this.#counts.get(threadId) ?? {};
    const { value, context, status } = counter?.getSnapshot() ?? { value: "up" as const, context: undefined };
    // Nobody waits any more for one that was taken out while it backed off.
    const state = status === "stopped" ? "up" : value;
    const now = elapsedBy(this.#clock);
    const crashes = context?.crashes.filter((at) => now - at < periodMs).length ?? 0;
    const isBackingOff = state === "backingOff" && context !== undefined && waitsSince !== undefined;
    const dueInMs = isBackingOff ? Math.max(0, waitsSince + restartDelayOf(context) - now) : null;
    return { state, strategy, crashes, left: Math.max(0, maxRestarts - crashes), maxRestarts, periodMs, dueInMs };
  }

  #countOf(threadId: ThreadId): Count {
    const known = this.#counts.get(threadId);
    if (known?.counter.getSnapshot().status === "active") return known;
    const { maxRestarts, periodMs, backoffMs, maxBackoffMs } = this.#ruleOf(threadId);
    const crashes = known?.counter.getSnapshot().context.crashes ?? [];
    const counter = createActor(restartMachine, {
      input: { maxRestarts, periodMs, backoffMs, maxBackoffMs, jitter: JITTER, crashes },
      clock: this.#clock,
    });
    counter.on("restart.due", () => this.#then.restart(threadId));
    counter.on("restart.gaveUp", (gaveUp) => this.#then.giveUp(threadId, gaveUp.crashes));
    const count: Count = { counter };
    this.#counts.set(threadId, count);
    counter.start();
    return count;
  }

  /** The thread is no longer restarted; its crashes are remembered until they do not count any more. */
  retire(threadId: ThreadId): void {
    const { periodMs } = this.#ruleOf(threadId);
    this.#rules.delete(threadId);
    const count = this.#counts.get(threadId);
    if (count === undefined) return;
    count.counter.stop();
    this.#clock.clearTimeout(this.#timers.get(threadId));
    const forget = () => this.#forgetIfRetired(threadId);
    this.#timers.set(threadId, this.#clock.background(forget, periodMs));
  }

  #forgetIfRetired(threadId: ThreadId): void {
    this.#timers.delete(threadId);
    if (this.#counts.get(threadId)?.counter.getSnapshot().status !== "active") this.#counts.delete(threadId);
  }

  close(): void {
    for (const { counter } of this.#counts.values()) counter.stop();
    for (const timer of this.#timers.values()) this.#clock.clearTimeout(timer);
    this.#counts.clear();
    this.#timers.clear();
  }
}
