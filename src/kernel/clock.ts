/**
 * Time as a dependency. Nothing above this floor calls Date.now or a global timer.
 *
 * - A Clock can be given to XState as an actor system's `clock`.
 * - `clearTimeout` takes any handle of the same clock, also one whose timer has fired, and any number of times.
 * - ManualClock runs timers in order of their due time, and in order of arming when they are due together. While a
 *   timer's function runs, `now()` is that timer's due time, or later if the clock was already ahead of it.
 */

import { InvalidRequestError } from "../protocol/errors.ts";
import { onceAborted } from "./abort-listeners.ts";

/** The time that everything in Skein goes by: the system's, or a `ManualClock` that a test moves. */
export interface Clock {
  /** Unix time in milliseconds. */
  now(): number;
  /** Milliseconds since some moment, for measuring: nobody sets it. A clock without one is measured by `now`. */
  monotonic?(): number;
  setTimeout(fn: () => void, ms: number): unknown;
  /** A timer that does not keep the process alive. */
  background(fn: () => void, ms: number): unknown;
  clearTimeout(handle: unknown): void;
}

/** Node fires a longer timer after 1 ms. */
const LONGEST_NODE_TIMER_MS = 2 ** 31 - 1;

/** A timer of any length: re-armed until its time is used up. An infinite one never fires. */
class LongTimer {
  #fn: () => void;
  #leftMs: number;
  #unref: boolean;
  #timer: NodeJS.Timeout | undefined;

  constructor(fn: () => void, ms: number, options: { unref: boolean }) {
    this.#fn = fn;
    this.#leftMs = ms;
    this.#unref = options.unref;
    if (ms !== Number.POSITIVE_INFINITY) this.#arm();
  }

  clear(): void {
    clearTimeout(this.#timer);
  }

  #arm(): void {
    const legMs = Math.min(this.#leftMs, LONGEST_NODE_TIMER_MS);
    this.#leftMs -= legMs;
    this.#timer = setTimeout(() => (this.#leftMs > 0 ? this.#arm() : this.#fn()), legMs);
    if (this.#unref) this.#timer.unref();
  }
}

/** The machine's clock and Node's timers. */
export const systemClock: Clock = {
  now: () => Date.now(),
  // Whole, as the time of day is: what it measures is shown.
  monotonic: () => Math.floor(performance.now()),
  setTimeout: (fn, ms) => (ms > LONGEST_NODE_TIMER_MS ? new LongTimer(fn, ms, { unref: false }) : setTimeout(fn, ms)),
  background: (fn, ms) =>
    ms > LONGEST_NODE_TIMER_MS ? new LongTimer(fn, ms, { unref: true }) : setTimeout(fn, ms).unref(),
  clearTimeout(handle) {
    if (handle instanceof LongTimer) handle.clear();
    else clearTimeout(handle as NodeJS.Timeout | undefined);
  },
};

/** How many milliseconds have passed since some moment, whatever the time of day is set to. */
export const elapsedBy = (clock: Clock): number => clock.monotonic?.() ?? clock.now();

type ManualTimer = { readonly dueAt: number; readonly order: number; readonly fn: () => void };

const isBefore = (a: ManualTimer, b: ManualTimer): boolean =>
  a.dueAt < b.dueAt || (a.dueAt === b.dueAt && a.order < b.order);

/** A clock that moves only when it is told to: a test aid. */
export class ManualClock implements Clock {
  #now: number;
  #armed = 0;
  /** Sorted by {@link isBefore}, the next to run last, so that it leaves cheaply. */
  #timers: ManualTimer[] = [];

  constructor(options: { startMs?: number } = {}) {
    this.#now = options.startMs ?? 0;
  }

  /** How many timers wait. */
  get pending(): number {
    return this.#timers.length;
  }

  /** When the next timer is due; undefined when none waits. */
  get nextDueAt(): number | undefined {
    return this.#timers.at(-1)?.dueAt;
  }

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#now;
  }

  setTimeout(fn: () => void, ms: number): unknown {
    const timer: ManualTimer = { dueAt: this.#now + (ms > 0 ? ms : 0), order: this.#armed++, fn };
    this.#timers.splice(this.#indexOf(timer), 0, timer);
    return timer;
  }

  background(fn: () => void, ms: number): unknown {
    return this.setTimeout(fn, ms);
  }

  clearTimeout(handle: unknown): void {
    const timer = handle as ManualTimer | undefined;
    if (timer === undefined) return;
    const index = this.#indexOf(timer);
    if (this.#timers[index] === timer) this.#timers.splice(index, 1);
  }

  /**
   * Moves the clock on and runs what falls due, also timers that are armed on the way. If a timer's function throws,
   * the clock stays at that moment and the rest still waits.
   */
  advance(ms: number): void {
    const end = this.#endOf(ms);
    for (let timer = this.#takeDue(end); timer !== undefined; timer = this.#takeDue(end)) timer.fn();
    this.#now = Math.max(this.#now, end);
  }

  /** As {@link advance}; before, between and after the timers, everything that needs no further time runs. */
  async advanceAsync(ms: number): Promise<void> {
    const end = this.#endOf(ms);
    await settled();
    for (let timer = this.#takeDue(end); timer !== undefined; timer = this.#takeDue(end)) {
      timer.fn();
      await settled();
    }
    this.#now = Math.max(this.#now, end);
  }

  #endOf(ms: number): number {
    if (!(ms >= 0)) throw new InvalidRequestError(`a clock cannot be advanced by ${ms} ms; give 0 or more`);
    return this.#now + ms;
  }

  #takeDue(end: number): ManualTimer | undefined {
    const timer = this.#timers.at(-1);
    if (timer === undefined || timer.dueAt > end) return undefined;
    this.#timers.pop();
    this.#now = Math.max(this.#now, timer.dueAt);
    return timer;
  }

  /** Where the timer stands, or would stand. */
  #indexOf(timer: ManualTimer): number {
    let low = 0;
    let high = this.#timers.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const other = this.#timers[middle];
      if (other !== undefined && isBefore(timer, other)) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Resolves when all promise reactions that can run without further time or IO have run. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Waits; an abort rejects at once with `signal.reason`. Leaves neither timer nor listener behind. */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return Promise.reject(signal.reason);
  return new Promise((resolve, reject) => {
    const handle = clock.setTimeout(() => {
      stopListening?.();
      resolve();
    }, ms);
    const stopListening =
      signal &&
      onceAborted(signal, () => {
        clock.clearTimeout(handle);
        reject(signal.reason);
      });
  });
}
