import { type Actor, createActor } from "xstate";
import { restartMachine } from "../../machines/restart.machine.ts";
import type { Clock } from "../kernel/clock.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { EndReason } from "../thread/incarnation.ts";
import type { Supervision } from "./options.ts";

/** What supervision has done to one thread. */
export type RestartOutcomes = {
  /** The thread is to live again now. */
  readonly restart: (threadId: ThreadId) => void;
  /** Its restart intensity is exceeded: it stays down. */
  readonly giveUp: (threadId: ThreadId, crashes: number) => void;
};

/** Decides for each thread that ended whether and when it lives again (S7), as its restart strategy says. */
export class RestartCounters {
  readonly #options: Supervision;
  readonly #clock: Clock;
  readonly #then: RestartOutcomes;
  /** Made on a thread's first crash, forgotten when it is given up or closed. */
  readonly #counters = new Map<ThreadId, Actor<typeof restartMachine>>();

  constructor(options: Supervision, clock: Clock, then: RestartOutcomes) {
    this.#options = options;
    this.#clock = clock;
    this.#then = then;
  }

  /** Whether a thread that ended for this reason is to be restarted at all. One that was ended on purpose never is. */
  restarts(reason: EndReason): boolean {
    const { restart } = this.#options;
    return restart !== "temporary" && (reason === "crashed" || (restart === "permanent" && reason === "closed"));
  }

  /** The thread has ended and is to live again: after its back-off, unless that happens too often. */
  noteEnd(threadId: ThreadId): void {
    this.#counterOf(threadId).send({ type: "thread.crashed", at: this.#clock.now() });
  }

  #counterOf(threadId: ThreadId): Actor<typeof restartMachine> {
    const known = this.#counters.get(threadId);
    if (known !== undefined) return known;
    const { maxRestarts, periodMs, backoffMs, maxBackoffMs } = this.#options;
    const counter = createActor(restartMachine, {
      input: { maxRestarts, periodMs, backoffMs, maxBackoffMs },
      clock: this.#clock,
    });
    counter.on("restart.due", () => this.#then.restart(threadId));
    counter.on("restart.gaveUp", ({ crashes }) => {
      this.#counters.delete(threadId);
      this.#then.giveUp(threadId, crashes);
    });
    this.#counters.set(threadId, counter);
    return counter.start();
  }

  forget(threadId: ThreadId): void {
    this.#counters.get(threadId)?.stop();
    this.#counters.delete(threadId);
  }

  close(): void {
    for (const counter of this.#counters.values()) counter.stop();
    this.#counters.clear();
  }
}
