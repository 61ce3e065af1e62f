/**
 * Readers together, writers alone.
 *
 * L1 While a writer holds, nobody else holds.
 * L2 First come, first served: nobody passes a waiter, but for a synchronous reader that passes waiting readers. So
 *    nobody starves.
 * L3 Only the head of the queue stands at the semaphore, so `Semaphore.cancel` takes back exactly one waiter. The rest
 *    wait here, where an abort takes a waiter out in O(1), and those behind it move up at once.
 * L4 A permit granted to a waiter that has given up goes back when the grant arrives.
 * L5 The synchronous paths take no permit: nothing else can run while their function does. What the function itself
 *    asks of this lock is queued, unless it is a reader within a reader.
 *
 * The semaphore has 64 permits since its release loops over them; a reader takes one, a writer all. Nothing but the lock
 * is awaited while it is held: hence functions that return no promise.
 */

import { Semaphore } from "async-mutex";
import { DeadlineExceededError, InternalDefect } from "../protocol/errors.ts";
import { onceAborted } from "./abort-listeners.ts";
import { type Clock, systemClock } from "./clock.ts";
import { Fifo, type Place } from "./fifo.ts";

const PERMITS = 64;

type Mode = "read" | "write";
const WEIGHT = { read: 1, write: PERMITS } as const satisfies Record<Mode, number>;

export type LockOptions = {
  /** Gives up waiting, with `signal.reason`. Has no effect once the lock is held. */
  readonly signal?: AbortSignal | undefined;
  /** Gives up waiting, with DeadlineExceededError. */
  readonly deadlineMs?: number | undefined;
  readonly clock?: Clock | undefined;
};

/** The lock, held. Releasing it twice does nothing. */
export interface Guard extends Disposable {
  release(): void;
}

/** What a function may return under the lock: anything but a promise. */
export type Immediate<T> = T extends PromiseLike<unknown> ? never : T;

export type RwMutexState = { readonly readers: number; readonly writer: boolean; readonly waiting: number };

type Waiter = {
  readonly mode: Mode;
  readonly admit: (guard: Guard) => void;
  /** Set when the waiter holds the lock or has given up. */
  done: boolean;
  disarm: () => void;
};

export class RwMutex {
  readonly #semaphore = new Semaphore(PERMITS);
  /** Those behind the head. */
  readonly #queue = new Fifo<Waiter>();
  /** The one that stands at the semaphore; while undefined, the queue is empty or being worked on. */
  #head: Waiter | undefined;
  #readers = 0;
  #writing = false;
  #waiting: Record<Mode, number> = { read: 0, write: 0 };

  get state(): RwMutexState {
    return { readers: this.#readers, writer: this.#writing, waiting: this.#waiting.read + this.#waiting.write };
  }

  acquireRead(options: LockOptions = {}): Promise<Guard> {
    return this.#acquire("read", options);
  }

  acquireWrite(options: LockOptions = {}): Promise<Guard> {
    return this.#acquire("write", options);
  }

  /**
   * Runs `fn` among other readers: at once when no writer holds or waits, and then what it returns or throws comes
   * directly; else later, by promise. An already aborted signal throws its reason.
   */
  read<T>(fn: () => Immediate<T>, options: LockOptions = {}): T | Promise<T> {
    options.signal?.throwIfAborted();
    if (this.#writing || this.#waiting.write > 0) return this.#later("read", fn, options);
    this.#readers += 1;
    try {
      return immediate(fn);
    } finally {
      this.#readers -= 1;
    }
  }

  /** Runs `fn` alone: at once when nobody holds or waits, else later; otherwise as {@link read}. */
  write<T>(fn: () => Immediate<T>, options: LockOptions = {}): T | Promise<T> {
    options.signal?.throwIfAborted();
    const taken = this.#writing || this.#readers > 0 || this.#waiting.read > 0 || this.#waiting.write > 0;
    if (taken) return this.#later("write", fn, options);
    this.#writing = true;
    try {
      return immediate(fn);
    } finally {
      this.#writing = false;
    }
  }

  async #later<T>(mode: Mode, fn: () => Immediate<T>, options: LockOptions): Promise<T> {
    const guard = await this.#acquire(mode, options);
    try {
      return immediate(fn);
    } finally {
      guard.release();
    }
  }

  #acquire(mode: Mode, { signal, deadlineMs, clock = systemClock }: LockOptions): Promise<Guard> {
    if (signal?.aborted) return Promise.reject(signal.reason);
    return new Promise((resolve, reject) => {
      const waiter: Waiter = { mode, admit: resolve, done: false, disarm: () => {} };
      this.#waiting[mode] += 1;
      const place = this.#queue.push(waiter);
      const giveUp = (reason: unknown) => {
        reject(reason);
        this.#giveUp(waiter, place);
      };
      if (signal !== undefined || deadlineMs !== undefined) arm(waiter, giveUp, { signal, deadlineMs, clock });
      this.#advance();
    });
  }

  /** Sends waiters to the semaphore until one has to stay there (L3). */
  #advance(): void {
    while (this.#head === undefined) {
      const waiter = this.#queue.shift();
      if (waiter === undefined) return;
      const weight = WEIGHT[waiter.mode];
      if (this.#semaphore.getValue() < weight) this.#head = waiter;
      this.#semaphore.acquire(weight).then(
        ([, release]) => this.#grant(waiter, release),
        () => {}, // taken back by #giveUp
      );
    }
  }

  #grant(waiter: Waiter, release: () => void): void {
    if (this.#head === waiter) this.#head = undefined;
    if (waiter.done) release();
    else {
      this.#leave(waiter);
      waiter.admit(this.#hold(waiter.mode, release));
    }
    this.#advance();
  }

  #giveUp(waiter: Waiter, place: Place<Waiter>): void {
    this.#leave(waiter);
    this.#queue.remove(place);
    if (this.#head !== waiter) return;
    this.#head = undefined;
    this.#semaphore.cancel(); // does nothing if the grant is already on its way (L4)
    this.#advance();
  }

  #leave(waiter: Waiter): void {
    waiter.done = true;
    waiter.disarm();
    this.#waiting[waiter.mode] -= 1;
  }

  #hold(mode: Mode, releasePermits: () => void): Guard {
    if (mode === "read") this.#readers += 1;
    else this.#writing = true;
    let held = true;
    const release = () => {
      if (!held) return;
      held = false;
      if (mode === "read") this.#readers -= 1;
      else this.#writing = false;
      releasePermits();
    };
    return { release, [Symbol.dispose]: release };
  }
}

function arm(
  waiter: Waiter,
  giveUp: (reason: unknown) => void,
  options: LockOptions & { readonly clock: Clock },
): void {
  const { signal, deadlineMs, clock } = options;
  const stopListening = signal && onceAborted(signal, () => giveUp(signal.reason));
  const timer =
    deadlineMs === undefined
      ? undefined
      : clock.setTimeout(
          () => giveUp(new DeadlineExceededError(`acquiring the ${waiter.mode} lock`, deadlineMs)),
          deadlineMs,
        );
  waiter.disarm = () => {
    stopListening?.();
    if (timer !== undefined) clock.clearTimeout(timer);
  };
}

function immediate<T>(fn: () => Immediate<T>): T {
  const result: T = fn();
  if (isThenable(result))
    throw new InternalDefect("a function under the lock returned a promise; nothing is awaited there");
  return result;
}

function isThenable(value: unknown): boolean {
  return (
    ((typeof value === "object" && value !== null) || typeof value === "function") &&
    "then" in value &&
    typeof value.then === "function"
  );
}
