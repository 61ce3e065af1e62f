/**
 * The registry: every thread in memory, behind an RW mutex (S1).
 *
 * S2  What runs under the lock is synchronous: it touches these maps and nothing else.
 * S3  A thread's place is reserved before it is made, and committed or released afterwards; while it is reserved, whoever
 *     asks for the same thread waits for the same outcome, so that two resumes of one id give one live thread.
 * S6  Limits are checked in `reserve` and nowhere else.
 */

import { RwMutex } from "../kernel/rw-mutex.ts";
import { DuplicateThreadError, LimitReachedError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";
import type { LiveThread } from "../thread/live-thread.ts";
import { Kinship } from "./kinship.ts";
import type { Limits } from "./options.ts";

export type Claim = {
  readonly threadId: ThreadId;
  readonly parent?: ThreadId | undefined;
  /** `create`: the id must be free. `load`: a thread that is there, or is being loaded, is the answer. */
  readonly for: "create" | "load";
};

/** A place that is held for a thread to come. Settled exactly once. */
export type Reservation = {
  readonly threadId: ThreadId;
  readonly outcome: PromiseWithResolvers<LiveThread>;
};

export type Reserved =
  | { readonly kind: "reserved"; readonly reservation: Reservation; readonly evicted: LiveThread | undefined }
  | { readonly kind: "loaded"; readonly thread: LiveThread }
  | { readonly kind: "loading"; readonly outcome: Promise<LiveThread> };

export class Registry {
  readonly #lock = new RwMutex();
  /** In the order of residency: the next one to be unloaded comes first, roughly (second chance). */
  readonly #threads = new Map<ThreadId, LiveThread>();
  readonly #reserved = new Map<ThreadId, Reservation>();
  /** Threads that have left memory and come back with the next message: with the settings that they had. */
  readonly #unloaded = new Map<ThreadId, ResolvedThreadConfig>();
  readonly #kinship: Kinship;
  readonly #limits: Limits;
  /** When each resident thread was last found active by {@link #leastRecentlyUsed}. */
  readonly #seenActiveAt = new WeakMap<LiveThread, number>();

  constructor(limits: Limits) {
    this.#limits = limits;
    this.#kinship = new Kinship(limits);
  }

  /** @throws LimitReachedError, DuplicateThreadError; or the signal's reason while waiting for the lock */
  reserve(claim: Claim, signal: AbortSignal | undefined): Reserved | Promise<Reserved> {
    return this.#lock.write(() => this.#reserve(claim), { signal });
  }

  #reserve({ threadId, parent, for: purpose }: Claim): Reserved {
    const thread = this.#threads.get(threadId);
    const pending = this.#reserved.get(threadId);
    if (thread !== undefined || pending !== undefined) {
      if (purpose === "create") throw new DuplicateThreadError(threadId);
      if (thread !== undefined) return { kind: "loaded", thread };
      if (pending !== undefined) return { kind: "loading", outcome: pending.outcome.promise };
    }
    const evicted = this.#makeRoom();
    if (parent !== undefined && purpose === "create") this.#kinship.admit(threadId, parent);
    if (evicted !== undefined) this.#park(evicted);
    const reservation: Reservation = { threadId, outcome: Promise.withResolvers() };
    // Whoever waits hears of a failure; when nobody does, it is not unhandled: the maker reports it.
    reservation.outcome.promise.catch(() => undefined);
    this.#reserved.set(threadId, reservation);
    return { kind: "reserved", reservation, evicted };
  }

  /** The thread is there: from now on it is found. */
  commit(reservation: Reservation, thread: LiveThread): void | Promise<void> {
    return this.#lock.write(() => {
      this.#reserved.delete(reservation.threadId);
      this.#unloaded.delete(reservation.threadId);
      this.#threads.set(reservation.threadId, thread);
      reservation.outcome.resolve(thread);
    });
  }

  /** The thread did not come to be: its place is free again. */
  release(reservation: Reservation, error: unknown): void | Promise<void> {
    return this.#lock.write(() => {
      this.#reserved.delete(reservation.threadId);
      this.#kinship.release(reservation.threadId);
      reservation.outcome.reject(error);
    });
  }

  /** Takes a thread out, at once (S5): it is no longer found, loaded or not. */
  remove(threadId: ThreadId): LiveThread | undefined | Promise<LiveThread | undefined> {
    return this.#lock.write(() => {
      const thread = this.#threads.get(threadId);
      this.#threads.delete(threadId);
      this.#unloaded.delete(threadId);
      this.#kinship.release(threadId);
      return thread;
    });
  }

  /** As remove, but only this very thread: another one that has its id by now stays. */
  forget(thread: LiveThread): void | Promise<void> {
    return this.#lock.write(() => {
      const current = this.#threads.get(thread.id);
      if (current !== undefined && current !== thread) return;
      this.#threads.delete(thread.id);
      this.#unloaded.delete(thread.id);
      this.#kinship.release(thread.id);
    });
  }

  /** The thread leaves memory, and stays addressable. False when it is not in the registry (any more). */
  park(thread: LiveThread): boolean | Promise<boolean> {
    return this.#lock.write(() => {
      if (this.#threads.get(thread.id) !== thread) return this.#unloaded.has(thread.id);
      this.#park(thread);
      return true;
    });
  }

  #park(thread: LiveThread): void {
    this.#threads.delete(thread.id);
    this.#unloaded.set(thread.id, thread.incarnation.config);
  }

  /** A thread that was to leave memory stays in it after all. */
  restore(thread: LiveThread): void | Promise<void> {
    return this.#lock.write(() => {
      if (!this.#unloaded.delete(thread.id)) return;
      this.#threads.set(thread.id, thread);
    });
  }

  /** The settings of a thread that left memory; undefined for any other. */
  unloadedConfig(threadId: ThreadId): ResolvedThreadConfig | undefined | Promise<ResolvedThreadConfig | undefined> {
    return this.#lock.read(() => this.#unloaded.get(threadId));
  }

  /** Threads that are being made. */
  pending(): Promise<LiveThread>[] | Promise<Promise<LiveThread>[]> {
    return this.#lock.read(() => [...this.#reserved.values()].map(({ outcome }) => outcome.promise));
  }

  find(threadId: ThreadId): LiveThread | undefined | Promise<LiveThread | undefined> {
    return this.#lock.read(() => this.#threads.get(threadId));
  }

  /** As it is at this moment, whoever waits for the lock. */
  peek(threadId: ThreadId): LiveThread | undefined {
    return this.#threads.get(threadId);
  }

  ids(): ThreadId[] | Promise<ThreadId[]> {
    return this.#lock.read(() => [...this.#threads.keys()]);
  }

  /** All of them, for shutdown and sweeps. */
  all(): LiveThread[] | Promise<LiveThread[]> {
    return this.#lock.read(() => [...this.#threads.values()]);
  }

  /** Whose agent a thread is, of those that live. */
  parentOf(threadId: ThreadId): ThreadId | undefined {
    return this.#kinship.parentOf(threadId);
  }

  depthOf(threadId: ThreadId): number {
    return this.#kinship.depthOf(threadId);
  }

  /** Whether the thread is a sub-agent of the other, at any depth. */
  isUnder(threadId: ThreadId, ancestor: ThreadId): boolean {
    return this.#kinship.isUnder(threadId, ancestor);
  }

  /** Threads in memory, those that are being made included. */
  get size(): number {
    return this.#threads.size + this.#reserved.size;
  }

  /** Threads that have left memory and are addressable still. */
  get unloadedCount(): number {
    return this.#unloaded.size;
  }

  /** @throws LimitReachedError when every resident thread is at work */
  #makeRoom(): LiveThread | undefined {
    const { residentThreads } = this.#limits;
    if (this.size < residentThreads) return undefined;
    const victim = this.#leastRecentlyUsed();
    if (victim === undefined) throw new LimitReachedError("residentThreads", residentThreads);
    return victim;
  }

  /**
   * Second chance: from the front, a thread that was active since it was last looked at goes to the back; the first one
   * that was not, and is idle, is the victim. Each activity costs one step of one later search.
   */
  #leastRecentlyUsed(): LiveThread | undefined {
    for (let left = 2 * this.#threads.size; left > 0; left -= 1) {
      const [first] = this.#threads;
      if (first === undefined) return undefined;
      const [id, thread] = first;
      const { lastActiveAt, isIdle } = thread.incarnation;
      if (isIdle && this.#seenActiveAt.get(thread) === lastActiveAt) return thread;
      this.#seenActiveAt.set(thread, lastActiveAt);
      this.#threads.delete(id);
      this.#threads.set(id, thread);
    }
    return undefined;
  }
}
