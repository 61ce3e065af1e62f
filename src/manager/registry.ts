/**
 * The registry: every thread in memory, behind an RW mutex (S1).
 *
 * S2  What runs under the lock is synchronous: it touches these maps and nothing else.
 * S3  A thread's place is reserved before it is made, and committed or released afterwards; while it is reserved, whoever
 *     asks for the same thread waits for the same outcome, so that two resumes of one id give one live thread.
 * S6  Limits are checked in `reserve` and nowhere else. A thread counts as resident from its reservation until it has
 *     left memory: room is made first, and given away afterwards.
 * S8  An id is in one of these maps or in none: resident, being made, leaving, or unloaded. Only one that is being loaded
 *     again is in two, so that it is not forgotten when that fails.
 */

import { RwMutex } from "../kernel/rw-mutex.ts";
import type { AgentStatus } from "../protocol/agent-status.ts";
import { DuplicateThreadError, LimitReachedError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";
import type { LiveThread } from "../thread/live-thread.ts";
import type { Lineage } from "./kinship.ts";
import { Kinship, type Newcomer } from "./kinship.ts";
import type { Limits } from "./options.ts";

export type Claim = {
  readonly threadId: ThreadId;
  /** Whose agent the thread is to be. */
  readonly under?: Newcomer | undefined;
  /** `create`: the id must be free. `load`: a thread that is there, or is being loaded, is the answer. */
  readonly for: "create" | "load";
};

/** A place that is held for a thread to come. Settled exactly once. */
export type Reservation = {
  readonly threadId: ThreadId;
  /** Whether the thread has been given its place under a parent with this. */
  readonly isAdmitted: boolean;
  /** undefined: whoever made the thread has given up; somebody else may try. */
  readonly outcome: PromiseWithResolvers<LiveThread | undefined>;
};

export type Reserved =
  | { readonly kind: "reserved"; readonly reservation: Reservation }
  | { readonly kind: "loaded"; readonly thread: LiveThread }
  | { readonly kind: "loading"; readonly outcome: Promise<LiveThread | undefined> }
  /** The place is not free yet: ask again afterwards. */
  | { readonly kind: "wait"; readonly until: Promise<void> }
  /** All places are taken: this thread is to leave memory first, and has been told so. Then ask again. */
  | { readonly kind: "evict"; readonly thread: LiveThread };

/** A thread that has left memory and comes back with the next message, as it was. */
export type Unloaded = {
  readonly config: ResolvedThreadConfig;
  readonly epoch: number;
  readonly status: AgentStatus;
};

/** Where a thread is. */
export type Whereabouts =
  | { readonly kind: "loaded"; readonly thread: LiveThread }
  | { readonly kind: "leaving"; readonly thread: LiveThread; readonly done: Promise<void> }
  | { readonly kind: "unloaded"; readonly unloaded: Unloaded };

/** What became of a thread that was to leave memory. */
export type Fate = "unloaded" | "kept" | "gone";

type Leaving = { readonly thread: LiveThread; readonly done: PromiseWithResolvers<void> };

export class Registry {
  readonly #lock = new RwMutex();
  /** The least recently used comes first. */
  readonly #threads = new Map<ThreadId, LiveThread>();
  readonly #reserved = new Map<ThreadId, Reservation>();
  readonly #leaving = new Map<ThreadId, Leaving>();
  readonly #unloaded = new Map<ThreadId, Unloaded>();
  readonly #kinship: Kinship;
  readonly #limits: Limits;

  constructor(limits: Limits) {
    this.#limits = limits;
    this.#kinship = new Kinship(limits);
  }

  /** @throws LimitReachedError, DuplicateThreadError; or the signal's reason while waiting for the lock */
  reserve(claim: Claim, signal: AbortSignal | undefined): Reserved | Promise<Reserved> {
    return this.#lock.write(() => this.#reserve(claim), { signal });
  }

  #reserve(claim: Claim): Reserved {
    const { threadId } = claim;
    const there = claim.for === "create" ? this.#refuseTaken(threadId) : this.#present(threadId);
    const instead = there ?? this.#makeRoom();
    if (instead !== undefined) return instead;
    const { under } = claim;
    const isAdmitted = under !== undefined && this.#kinship.parentOf(threadId) === undefined;
    if (isAdmitted) this.#kinship.admit(threadId, under);
    const reservation: Reservation = { threadId, isAdmitted, outcome: Promise.withResolvers() };
    // Whoever waits hears of a failure; when nobody does, it is not unhandled: the maker reports it.
    reservation.outcome.promise.catch(() => undefined);
    this.#reserved.set(threadId, reservation);
    return { kind: "reserved", reservation };
  }

  #refuseTaken(threadId: ThreadId): undefined {
    const maps = [this.#threads, this.#reserved, this.#leaving, this.#unloaded];
    if (maps.some((map) => map.has(threadId))) throw new DuplicateThreadError(threadId);
  }

  #present(threadId: ThreadId): Reserved | undefined {
    const thread = this.#threads.get(threadId);
    if (thread !== undefined) return { kind: "loaded", thread };
    const reservation = this.#reserved.get(threadId);
    if (reservation !== undefined) return { kind: "loading", outcome: reservation.outcome.promise };
    const leaving = this.#leaving.get(threadId);
    return leaving === undefined ? undefined : { kind: "wait", until: leaving.done.promise };
  }

  /** @throws LimitReachedError when every resident thread is at work */
  #makeRoom(): Reserved | undefined {
    const { residentThreads } = this.#limits;
    if (this.size < residentThreads) return undefined;
    for (const thread of this.#threads.values()) {
      if (!thread.incarnation.isIdle) continue;
      this.#leave(thread);
      return { kind: "evict", thread };
    }
    const [leaving] = this.#leaving.values();
    if (leaving === undefined) throw new LimitReachedError("residentThreads", residentThreads);
    return { kind: "wait", until: leaving.done.promise };
  }

  /** The thread is there: from now on it is found. `lineage` is what its rollout tells, where it was not admitted here. */
  commit({ threadId, outcome }: Reservation, thread: LiveThread, lineage?: Lineage): void | Promise<void> {
    return this.#lock.write(() => {
      if (lineage !== undefined) this.#kinship.recall(threadId, lineage);
      this.#reserved.delete(threadId);
      this.#unloaded.delete(threadId);
      this.#threads.set(threadId, thread);
      outcome.resolve(thread);
    });
  }

  /** The thread did not come to be: its place is free again. Without an error, whoever waits may try again. */
  release(reservation: Reservation, failure: { error: unknown } | undefined): void | Promise<void> {
    return this.#lock.write(() => {
      this.#reserved.delete(reservation.threadId);
      if (reservation.isAdmitted) this.#kinship.release(reservation.threadId);
      if (failure === undefined) reservation.outcome.resolve(undefined);
      else reservation.outcome.reject(failure.error);
    });
  }

  /** Takes a thread that is in memory out, at once (S5): it is no longer found. */
  remove(threadId: ThreadId): LiveThread | undefined | Promise<LiveThread | undefined> {
    return this.#lock.write(() => {
      const thread = this.#threads.get(threadId);
      if (this.#threads.delete(threadId)) this.#kinship.release(threadId);
      return thread;
    });
  }

  /** Takes out a thread that has left memory; with an epoch only that incarnation, and none that came after it. */
  forget(threadId: ThreadId, epoch?: number): void | Promise<void> {
    return this.#lock.write(() => {
      const unloaded = this.#unloaded.get(threadId);
      if (unloaded === undefined || this.#reserved.has(threadId)) return;
      if (epoch !== undefined && unloaded.epoch !== epoch) return;
      this.#unloaded.delete(threadId);
      this.#kinship.release(threadId);
    });
  }

  /**
   * The thread begins to leave memory: it takes no more ops, and whoever wants it waits.
   * @returns false when it is not in the registry (any more), or is not to leave since it is at work
   */
  leave(thread: LiveThread, when: "idle" | "always"): boolean | Promise<boolean> {
    return this.#lock.write(() => {
      if (this.#threads.get(thread.id) !== thread) return false;
      if (when === "idle" && !thread.incarnation.isIdle) return false;
      this.#leave(thread);
      return true;
    });
  }

  #leave(thread: LiveThread): void {
    const done = Promise.withResolvers<void>();
    thread.incarnation.leaving = done.promise;
    this.#threads.delete(thread.id);
    this.#leaving.set(thread.id, { thread, done });
  }

  /** How that ended: the thread is addressable still, in memory after all, or no more. */
  left(thread: LiveThread, fate: Fate): void | Promise<void> {
    return this.#lock.write(() => {
      const { id, incarnation } = thread;
      const leaving = this.#leaving.get(id);
      if (leaving?.thread !== thread) return;
      this.#leaving.delete(id);
      const { config, epoch, status } = incarnation;
      if (fate === "kept") this.#threads.set(id, thread);
      else if (fate === "unloaded") this.#unloaded.set(id, { config, epoch, status });
      else this.#kinship.release(id);
      incarnation.leaving = undefined;
      leaving.done.resolve();
    });
  }

  /** The thread is in use: others leave memory before it. */
  touch(threadId: ThreadId): void | Promise<void> {
    return this.#lock.write(() => {
      const thread = this.#threads.get(threadId);
      if (thread === undefined) return;
      this.#threads.delete(threadId);
      this.#threads.set(threadId, thread);
    });
  }

  /** Where the thread is; undefined when it is in no place, or still being made. */
  locate(threadId: ThreadId): Whereabouts | undefined | Promise<Whereabouts | undefined> {
    return this.#lock.read(() => {
      const thread = this.#threads.get(threadId);
      if (thread !== undefined) return { kind: "loaded", thread };
      const leaving = this.#leaving.get(threadId);
      if (leaving !== undefined) return { kind: "leaving", thread: leaving.thread, done: leaving.done.promise };
      const unloaded = this.#unloaded.get(threadId);
      return unloaded === undefined ? undefined : { kind: "unloaded", unloaded };
    });
  }

  /** Threads that are being made, or are leaving: settled when they have come, or are gone. */
  pending(): Promise<unknown>[] | Promise<Promise<unknown>[]> {
    return this.#lock.read(() => [
      ...[...this.#reserved.values()].map(({ outcome }) => outcome.promise),
      ...[...this.#leaving.values()].map(({ done }) => done.promise),
    ]);
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

  /** Where a thread of a tree of agents stands; undefined for one that has neither parent nor agents. */
  lineageOf(threadId: ThreadId): ReturnType<Kinship["lineageOf"]> {
    return this.#kinship.lineageOf(threadId);
  }

  /** The living sub-agents of a thread, at any depth. */
  agentsUnder(threadId: ThreadId): ThreadId[] {
    return this.#kinship.allUnder(threadId);
  }

  /** Whether the thread is a sub-agent of the other, at any depth. */
  isUnder(threadId: ThreadId, ancestor: ThreadId): boolean {
    return this.#kinship.isUnder(threadId, ancestor);
  }

  /** Threads in memory, those that are being made and those that have not left yet included. */
  get size(): number {
    return this.#threads.size + this.#reserved.size + this.#leaving.size;
  }

  /** Threads that have left memory and are addressable still. */
  get unloadedCount(): number {
    return this.#unloaded.size;
  }
}
