/**
 * Who stays in memory. One sweep for all threads, on a timer that runs only while threads are resident and does not keep
 * the process alive: idle threads lose their replay first, then leave memory. They stay addressable all the same.
 */
import { type Clock, elapsedBy } from "../kernel/clock.ts";
import { paced } from "../kernel/pace.ts";
import type { LiveThread } from "../thread/live-thread.ts";
import type { Residency } from "./options.ts";

/** Events that an idle thread's log keeps: enough for a client that reconnects. */
const TRIMMED_EVENTS = 64;
const MIN_SWEEP_MS = 1_000;

export class ResidencySweep {
  readonly #options: Residency;
  readonly #clock: Clock;
  readonly #threads: () => Iterable<LiveThread> | Promise<Iterable<LiveThread>>;
  readonly #unload: (thread: LiveThread) => Promise<void>;
  #timer: unknown;
  #isStopped = false;
  #isSweeping = false;
  #hasNews = false;

  constructor(parts: {
    options: Residency;
    clock: Clock;
    threads: () => Iterable<LiveThread> | Promise<Iterable<LiveThread>>;
    unload: (thread: LiveThread) => Promise<void>;
  }) {
    this.#options = parts.options;
    this.#clock = parts.clock;
    this.#threads = parts.threads;
    this.#unload = parts.unload;
  }

  /** A thread has come to be resident. */
  arm(): void {
    this.#hasNews = true;
    if (this.#timer !== undefined || this.#isStopped) return;
    const { unloadAfterMs, trimAfterMs } = this.#options;
    const everyMs = Math.max(MIN_SWEEP_MS, Math.min(unloadAfterMs, trimAfterMs) / 2);
    if (Number.isFinite(everyMs)) this.#timer = this.#clock.background(() => void this.#sweep(), everyMs);
  }

  /** For good. */
  stop(): void {
    this.#isStopped = true;
    this.#disarm();
  }

  /** The next one is due in its time however long this one takes; two never run at once. */
  async #sweep(): Promise<void> {
    this.#timer = undefined;
    this.arm();
    if (this.#isSweeping) return;
    this.#isSweeping = true;
    try {
      this.#hasNews = false;
      const threads = [...(await this.#threads())];
      // One that came while they were listed wants the next sweep.
      if (threads.length === 0 && !this.#hasNews) this.#disarm();
      const now = elapsedBy(this.#clock);
      await paced(threads, (thread) => this.#consider(thread, now));
    } finally {
      this.#isSweeping = false;
    }
  }

  #disarm(): void {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #consider(thread: LiveThread, now: number): void {
    const { incarnation } = thread;
    if (this.#isStopped || !thread.isLoaded || !incarnation.isIdle) return;
    const { life, door } = incarnation;
    const idleMs = now - life.lastActiveAt;
    // One store that hangs keeps no other thread in memory.
    if (idleMs >= this.#options.unloadAfterMs) void this.#unload(thread);
    else if (idleMs >= this.#options.trimAfterMs && door.log.size > TRIMMED_EVENTS) {
      door.log.trim(TRIMMED_EVENTS);
    }
  }
}
