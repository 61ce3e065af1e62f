/**
 * The places in memory that threads hold. When all are taken, the least recently used idle threads leave, and whoever
 * needs a place waits in order of asking: for what is leaving or being made, and for threads at work to become idle.
 *
 * R1  Nobody passes a waiter (P2), and no thread leaves without somebody waiting for its place.
 * R2  Nobody waits for ever: without a signal of its own a wait ends by LimitReachedError after `patienceMs`, in real time
 *     whatever the manager's clock says; and at once where waiting can't help, since every place is held by a thread whose
 *     turn only waits for others, this waiter's own among them.
 */
import { onceAborted } from "../kernel/abort-listeners.ts";
import { systemClock } from "../kernel/clock.ts";
import { type Release, Slots } from "../kernel/slots.ts";
import type { LimitReachedError } from "../protocol/errors.ts";
import type { LiveThread } from "../thread/live-thread.ts";
import { currentCall } from "../turn/tool-scope.ts";
import { limitReached } from "./options.ts";

type Eventually<T> = T | Promise<T>;

export type RoomParts = {
  readonly limit: number;
  readonly patienceMs: number;
  /** Tells the least recently used idle thread to leave. */
  readonly leaveIdle: () => Eventually<LiveThread | undefined>;
  /** Takes a leaving thread out of memory. False when it stays, since it can't be stored. */
  readonly evict: (thread: LiveThread) => Promise<boolean>;
  /** Whether every place is held by a thread that only waits for others. */
  readonly allWait: () => Eventually<boolean>;
};

/** So many threads in a row that will not leave memory, and there is no room. */
const EVICTION_TRIES = 3;

/** One that waits, and whether a tool call of a turn does so. */
type Waiter = { readonly refuse: AbortController; readonly isNested: boolean };

export class Rooms {
  readonly #slots: Slots;
  readonly #parts: RoomParts;
  readonly #waiters = new Set<Waiter>();
  #evicting = 0;
  #failures = 0;
  #isLooking = false;
  /** Something has happened since the last look began. */
  #isDue = false;
  #isPoked = false;

  constructor(parts: RoomParts) {
    this.#parts = parts;
    this.#slots = new Slots(parts.limit);
  }

  get used(): number {
    return this.#slots.inUse;
  }

  get hasWaiters(): boolean {
    return this.#waiters.size > 0;
  }

  /** A place, when one is free. */
  tryTake(): Release | undefined {
    return this.#slots.tryAcquire();
  }

  /** A place, in order of asking. @throws LimitReachedError; or the signal's reason */
  async take(signal: AbortSignal | undefined): Promise<Release> {
    const refuse = new AbortController();
    const waiter: Waiter = { refuse, isNested: currentCall() !== undefined };
    const onAbort = () => refuse.abort(signal?.reason);
    const full = () => refuse.abort(this.#full());
    const timer = signal === undefined ? systemClock.setTimeout(full, this.#parts.patienceMs) : undefined;
    const stopListening = signal && onceAborted(signal, onAbort);
    if (signal?.aborted) onAbort();
    this.#waiters.add(waiter);
    try {
      const place = this.#slots.acquire({ signal: refuse.signal });
      void this.#makeRoom();
      return await place;
    } finally {
      this.#waiters.delete(waiter);
      systemClock.clearTimeout(timer);
      stopListening?.();
    }
  }

  #full(): LimitReachedError {
    return limitReached("residentThreads", { residentThreads: this.#parts.limit });
  }

  /** Something has happened that may have made a thread idle, or have it wait for others. */
  poke(): void {
    if (this.#isPoked || !this.hasWaiters) return;
    this.#isPoked = true;
    // The thread that spoke has to come to rest first, which may take a moment.
    queueMicrotask(() => void this.#makeRoom());
    setImmediate(() => {
      this.#isPoked = false;
      void this.#makeRoom();
    });
  }

  async #makeRoom(): Promise<void> {
    this.#isDue = true;
    if (this.#isLooking) return;
    this.#isLooking = true;
    try {
      while (this.#isDue) {
        this.#isDue = false;
        await this.#look();
      }
    } finally {
      this.#isLooking = false;
    }
  }

  async #look(): Promise<void> {
    while (this.#evicting < this.#slots.waiting) {
      const thread = await this.#parts.leaveIdle();
      if (thread === undefined) break;
      this.#evicting += 1;
      void this.#evict(thread);
    }
    if (this.#evicting === 0 && this.hasWaiters && (await this.#parts.allWait())) this.#refuseNested();
  }

  async #evict(thread: LiveThread): Promise<void> {
    const hasLeft = await this.#parts.evict(thread).catch(() => false);
    this.#evicting -= 1;
    this.#failures = hasLeft ? 0 : this.#failures + 1;
    if (this.#failures >= EVICTION_TRIES) {
      this.#failures = 0;
      for (const { refuse } of this.#waiters) refuse.abort(this.#full());
    }
    this.poke();
  }

  /** The last to come gives way: then the turn that it waits in can end. */
  #refuseNested(): void {
    const nested = [...this.#waiters].findLast(({ isNested }) => isNested);
    nested?.refuse.abort(this.#full());
  }
}
