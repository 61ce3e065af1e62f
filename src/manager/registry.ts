/**
 * The registry: every thread of the manager, behind an RW mutex (S1).
 *
 * - (S2) What runs under the lock is synchronous: it touches these maps and nothing else.
 * - (S3) A thread's place is reserved before it is made, and committed or released afterwards; while it is reserved, whoever
 *   asks for the same thread waits for the same outcome, so that two resumes of one id give one live thread.
 * - (S6) Limits are checked in `reserve` and nowhere else. A thread holds its place in memory from its reservation until it
 *   has left memory, or has been removed; one that is down keeps it for its restart.
 * - (S1) An id is in one of these maps or in none: resident, being made, leaving, down, or unloaded. Only one that is being
 *   loaded again is in two, so that it is not forgotten when that fails.
 */

import type { Clock } from "../kernel/clock.ts";
import { RateWindow } from "../kernel/rate-window.ts";
import { RwMutex } from "../kernel/rw-mutex.ts";
import type { Release } from "../kernel/slots.ts";
import type { AgentStatus } from "../protocol/agent-status.ts";
import { DuplicateThreadError, LimitReachedError, ThreadNotFoundError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";
import type { LiveThread } from "../thread/live-thread.ts";
import { Kinship, type Lineage, type Newcomer } from "./kinship.ts";
import type { Limits } from "./options.ts";

export type Claim = {
  readonly threadId: ThreadId;
  /** Whose agent the thread is to be. */
  readonly under?: Newcomer | undefined;
  /**
   * `create`: the id must be free. `load`: a thread that is there, or is being loaded, is the answer; one that is down is
   * waited for. `restart`: it is down, and its time has come. `remove`: it is loaded to be given away, and needs no place.
   */
  readonly for: "create" | "load" | "restart" | "remove";
};

/** A place that is held for a thread to come. Settled exactly once. */
export type Reservation = {
  readonly threadId: ThreadId;
  readonly for: Claim["for"];
  /** Whether the thread has been given its place under a parent with this. */
  readonly isAdmitted: boolean;
  /** Its place in memory; none for a thread that is to be given away. */
  readonly place: Release | undefined;
  /** It did not come to be: it does not count. */
  readonly takeBack: (() => void) | undefined;
  /** undefined: the maker has given up; somebody else may try. */
  readonly outcome: PromiseWithResolvers<LiveThread | undefined>;
};

export type Reserved =
  | { readonly kind: "reserved"; readonly reservation: Reservation }
  | { readonly kind: "loaded"; readonly thread: LiveThread }
  | { readonly kind: "loading"; readonly outcome: Promise<LiveThread | undefined> }
  /** It is leaving, or down: ask again afterwards. */
  | { readonly kind: "wait"; readonly until: Promise<void> }
  /** All places are taken: ask again with one. */
  | { readonly kind: "full" };

/** A thread that has left memory and comes back with the next message, as it was. */
export type Unloaded = {
  readonly config: ResolvedThreadConfig;
  readonly epoch: number;
  readonly status: AgentStatus;
  /** The same for its parent. */
  readonly outcome: AgentStatus;
};

/** Where a thread is. */
export type Whereabouts =
  | { readonly kind: "loaded"; readonly thread: LiveThread }
  | { readonly kind: "leaving"; readonly thread: LiveThread; readonly done: Promise<void> }
  | { readonly kind: "unloaded"; readonly unloaded: Unloaded }
  /** It crashed, and lives again after a while: then `done` resolves, or when it has been given up. */
  | { readonly kind: "down"; readonly unloaded: Unloaded; readonly done: Promise<void> };

/** What became of a thread that was to leave memory. */
export type Fate = "unloaded" | "down" | "kept" | "gone";

type Leaving = { readonly thread: LiveThread; readonly done: PromiseWithResolvers<void> };
type Down = { readonly unloaded: Unloaded; readonly done: PromiseWithResolvers<void> };

export class Registry {
  readonly #lock = new RwMutex();
  readonly #threads = new Map<ThreadId, LiveThread>();
  /** Those that may be idle, the least recently used first. One that is found at work is left out until it is touched. */
  readonly #candidates = new Map<ThreadId, LiveThread>();
  /** The last of them, where it is still there. */
  #newest: ThreadId | undefined;
  readonly #reserved = new Map<ThreadId, Reservation>();
  readonly #leaving = new Map<ThreadId, Leaving>();
  readonly #down = new Map<ThreadId, Down>();
  readonly #unloaded = new Map<ThreadId, Unloaded>();
  /** The places in memory of all but the unloaded. */
  readonly #places = new Map<ThreadId, Release>();
  readonly #kinship: Kinship;
  /** Who was started by whom: for those who only ask. */
  readonly kin: Omit<Kinship, "admit" | "recall" | "release" | "bury">;

  /** How many threads came to be of late; undefined where any number may. */
  readonly #spawns: RateWindow | undefined;

  constructor(limits: Limits, clock: Clock) {
    if (limits.spawnRate !== null) this.#spawns = new RateWindow(limits.spawnRate, clock);
    this.#kinship = new Kinship(limits);
    this.kin = this.#kinship;
  }

  /**
   * @param takePlace gives the thread's place in memory; undefined when there is none
   * @throws LimitReachedError, DuplicateThreadError, ThreadNotFoundError (nobody knows it any more that was to come back);
   *   or the signal's reason while waiting for the lock
   */
  reserve(
    claim: Claim,
    takePlace: () => Release | undefined,
    signal: AbortSignal | undefined,
  ): Reserved | Promise<Reserved> {
    return this.#lock.write(() => this.#reserve(claim, takePlace), { signal });
  }

  #reserve(claim: Claim, takePlace: () => Release | undefined): Reserved {
    const { threadId, under } = claim;
    const there = claim.for === "create" ? this.#refuseTaken(threadId) : this.#present(claim);
    if (there !== undefined) return there;
    const needsPlace = claim.for === "create" || claim.for === "load";
    const place = needsPlace ? takePlace() : undefined;
    if (needsPlace && place === undefined) return { kind: "full" };
    const isAdmitted = under !== undefined && !this.#kinship.isAdmitted(threadId);
    const spawns = claim.for === "create" ? this.#spawns : undefined;
    try {
      if (spawns !== undefined) refuseOver(spawns);
      if (isAdmitted) this.#kinship.admit(threadId, under);
    } catch (error) {
      place?.();
      throw error;
    }
    const takeBack = spawns?.take();
    const outcome = Promise.withResolvers<LiveThread | undefined>();
    // Waiters hear of a failure; when there is none, it is not unhandled: the maker reports it.
    outcome.promise.catch(() => undefined);
    const reservation: Reservation = { threadId, for: claim.for, isAdmitted, place, takeBack, outcome };
    this.#reserved.set(threadId, reservation);
    return { kind: "reserved", reservation };
  }

  #refuseTaken(threadId: ThreadId): undefined {
    const maps = [this.#threads, this.#reserved, this.#leaving, this.#down, this.#unloaded];
    if (maps.some((map) => map.has(threadId))) throw new DuplicateThreadError(threadId);
  }

  #present({ threadId, for: purpose }: Claim): Reserved | undefined {
    const thread = this.#threads.get(threadId);
    if (thread !== undefined) return { kind: "loaded", thread };
    const reservation = this.#reserved.get(threadId);
    if (reservation !== undefined) return { kind: "loading", outcome: reservation.outcome.promise };
    const down = this.#down.get(threadId);
    const waiting = this.#leaving.get(threadId) ?? (purpose === "load" ? down : undefined);
    if (waiting !== undefined) return { kind: "wait", until: waiting.done.promise };
    // Its handle has been given to somebody else meanwhile, or closed.
    const isKnown = purpose === "load" || down !== undefined || (purpose === "remove" && this.#unloaded.has(threadId));
    if (!isKnown) throw new ThreadNotFoundError(threadId);
  }

  /**
   * The thread is there: from now on it is found, unless it was made to be given away. `lineage` is what its rollout
   * tells, where it was not admitted here.
   */
  commit(reservation: Reservation, thread: LiveThread, lineage?: Lineage): void | Promise<void> {
    const { threadId, outcome, place } = reservation;
    return this.#lock.write(() => {
      if (lineage !== undefined) this.#kinship.recall(threadId, lineage);
      this.#reserved.delete(threadId);
      this.#unloaded.delete(threadId);
      const down = this.#down.get(threadId);
      this.#down.delete(threadId);
      if (reservation.for === "remove") {
        this.#giveUpPlace(threadId);
        this.#kinship.release(threadId, "removed");
        // It is not here for those who have waited for it.
        outcome.resolve(undefined);
      } else {
        if (place !== undefined) this.#places.set(threadId, place);
        this.#threads.set(threadId, thread);
        this.#candidate(thread);
        outcome.resolve(thread);
      }
      down?.done.resolve();
    });
  }

  /** The thread did not come to be: its place is free again. Without an error, a waiter may try again. */
  release(reservation: Reservation, failure: { error: unknown } | undefined): void | Promise<void> {
    return this.#lock.write(() => {
      this.#reserved.delete(reservation.threadId);
      if (reservation.isAdmitted) this.#kinship.release(reservation.threadId, "closed");
      reservation.place?.();
      reservation.takeBack?.();
      if (failure === undefined) reservation.outcome.resolve(undefined);
      else reservation.outcome.reject(failure.error);
    });
  }

  #giveUpPlace(threadId: ThreadId): void {
    const place = this.#places.get(threadId);
    this.#places.delete(threadId);
    place?.();
  }

  /** Takes a thread that is in memory out, at once (S5): it is no longer found. `keep` has it before anything else happens. */
  remove(
    threadId: ThreadId,
    keep: (thread: LiveThread) => void,
  ): LiveThread | undefined | Promise<LiveThread | undefined> {
    return this.#lock.write(() => {
      const thread = this.#threads.get(threadId);
      if (thread === undefined) return undefined;
      keep(thread);
      this.#threads.delete(threadId);
      this.#candidates.delete(threadId);
      this.#giveUpPlace(threadId);
      this.#kinship.release(threadId, "removed");
      return thread;
    });
  }

  /**
   * Takes out what is known of a thread that is not in memory: unloaded, down or leaving. With an epoch only that life of
   * it, and none that came after it. False when there is nothing, or it is being loaded, but for one that was to be given away.
   */
  forget(threadId: ThreadId, epoch?: number): boolean | Promise<boolean> {
    return this.#lock.write(() => {
      const reserved = this.#reserved.get(threadId);
      if (reserved !== undefined && reserved.for !== "remove") return false;
      const down = this.#down.get(threadId);
      const known = down?.unloaded ?? this.#unloaded.get(threadId);
      if (epoch !== undefined && known !== undefined && known.epoch !== epoch) return false;
      const leaving = this.#leaving.get(threadId);
      const isKnown = this.#unloaded.delete(threadId) || leaving !== undefined || down !== undefined;
      if (!isKnown) return false;
      this.#leaving.delete(threadId);
      this.#down.delete(threadId);
      this.#giveUpPlace(threadId);
      this.#kinship.release(threadId, "closed");
      if (leaving !== undefined) leaving.thread.incarnation.life.left();
      (leaving ?? down)?.done.resolve();
      return true;
    });
  }

  /** A thread that was removed has been closed by its holder. */
  bury(threadId: ThreadId): void | Promise<void> {
    return this.#lock.write(() => this.#kinship.bury(threadId));
  }

  /**
   * The thread begins to leave memory: it takes no more ops, and callers that want it wait.
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

  /** The least recently used idle thread begins to leave memory; undefined when all are at work. Amortised O(1). */
  leaveIdle(): LiveThread | undefined | Promise<LiveThread | undefined> {
    return this.#lock.write(() => {
      for (const [id, thread] of this.#candidates) {
        if (!thread.incarnation.isIdle) {
          this.#candidates.delete(id);
          continue;
        }
        this.#leave(thread);
        return thread;
      }
      return undefined;
    });
  }

  /** The thread has nothing to do any more: if it was found at work, it is looked at again. */
  noteRest(threadId: ThreadId): void | Promise<void> {
    return this.#lock.write(() => {
      const thread = this.#threads.get(threadId);
      if (thread !== undefined && !this.#candidates.has(threadId)) this.#candidate(thread);
    });
  }

  #leave(thread: LiveThread): void {
    const done = Promise.withResolvers<void>();
    thread.incarnation.life.leave(done.promise);
    this.#threads.delete(thread.id);
    this.#candidates.delete(thread.id);
    this.#leaving.set(thread.id, { thread, done });
  }

  /** How that ended: the thread is addressable still, waits for its restart, is in memory after all, or is no more. */
  left(thread: LiveThread, fate: Fate): void | Promise<void> {
    return this.#lock.write(() => {
      const { id, incarnation } = thread;
      const leaving = this.#leaving.get(id);
      if (leaving?.thread !== thread) return;
      this.#leaving.delete(id);
      this.#settle(thread, fate);
      incarnation.life.left();
      leaving.done.resolve();
    });
  }

  #settle(thread: LiveThread, fate: Fate): void {
    const { id, incarnation } = thread;
    const { session, epoch } = incarnation;
    const { config, status, outcome } = session;
    if (fate === "kept") {
      this.#threads.set(id, thread);
      this.#candidate(thread);
      return;
    }
    if (fate === "down") {
      this.#down.set(id, { unloaded: { config, epoch, status, outcome }, done: Promise.withResolvers() });
      return;
    }
    if (fate === "unloaded") this.#unloaded.set(id, { config, epoch, status, outcome });
    else this.#kinship.release(id, "closed");
    this.#giveUpPlace(id);
  }

  /** The thread is in use: others leave memory before it. */
  touch(threadId: ThreadId): void | Promise<void> {
    // Most often it is used several times in a row.
    if (this.#newest === threadId && this.#candidates.has(threadId)) return;
    return this.#lock.write(() => {
      const thread = this.#threads.get(threadId);
      if (thread === undefined) return;
      this.#candidates.delete(threadId);
      this.#candidate(thread);
    });
  }

  #candidate(thread: LiveThread): void {
    this.#candidates.set(thread.id, thread);
    this.#newest = thread.id;
  }

  /** Where the thread is; undefined when it is in no place, or still being made. */
  locate(threadId: ThreadId): Whereabouts | undefined | Promise<Whereabouts | undefined> {
    return this.#lock.read(() => {
      const thread = this.#threads.get(threadId);
      if (thread !== undefined) return { kind: "loaded", thread };
      const leaving = this.#leaving.get(threadId);
      if (leaving !== undefined) return { kind: "leaving", thread: leaving.thread, done: leaving.done.promise };
      const down = this.#down.get(threadId);
      if (down !== undefined) return { kind: "down", unloaded: down.unloaded, done: down.done.promise };
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

  /** Those that have not left memory yet. */
  leaving(): LiveThread[] | Promise<LiveThread[]> {
    return this.#lock.read(() => [...this.#leaving.values()].map(({ thread }) => thread));
  }

  /** Those that wait for their restart. */
  down(): ThreadId[] | Promise<ThreadId[]> {
    return this.#lock.read(() => [...this.#down.keys()]);
  }

  find(threadId: ThreadId): LiveThread | undefined | Promise<LiveThread | undefined> {
    return this.#lock.read(() => this.#threads.get(threadId));
  }

  /** As it is at this moment, without waiting for the lock. */
  peek(threadId: ThreadId): LiveThread | undefined {
    return this.#threads.get(threadId);
  }

  /** The settings of a thread that is here, in memory or not. */
  configOf(threadId: ThreadId): ResolvedThreadConfig | undefined {
    const thread = this.#threads.get(threadId) ?? this.#leaving.get(threadId)?.thread;
    if (thread !== undefined) return thread.incarnation.config;
    return (this.#down.get(threadId)?.unloaded ?? this.#unloaded.get(threadId))?.config;
  }

  ids(): ThreadId[] | Promise<ThreadId[]> {
    return this.#lock.read(() => [...this.#threads.keys()]);
  }

  /** All of them, for shutdown and sweeps. */
  all(): LiveThread[] | Promise<LiveThread[]> {
    return this.#lock.read(() => [...this.#threads.values()]);
  }

  /** Whether each place in memory is held by a thread whose turn does nothing but wait for other threads. */
  allWait(): boolean | Promise<boolean> {
    return this.#lock.read(() => {
      if (this.#reserved.size + this.#leaving.size + this.#down.size > 0) return false;
      for (const { incarnation } of this.#threads.values()) if (!incarnation.turn?.onlyWaits) return false;
      return true;
    });
  }

  /** How many threads came to be in the last period, and when the next may; undefined where any number may. */
  get spawnRate(): RateWindow | undefined {
    return this.#spawns;
  }

  /** All that are here, in memory or not. */
  known(): ThreadId[] | Promise<ThreadId[]> {
    return this.#lock.read(() => [
      ...new Set([...this.#threads.keys(), ...this.#leaving.keys(), ...this.#down.keys(), ...this.#unloaded.keys()]),
    ]);
  }

  /** As {@link locate}, once it has come, where it is being made. */
  async whereOrArrival(threadId: ThreadId): Promise<Whereabouts | undefined> {
    await this.#reserved.get(threadId)?.outcome.promise.catch(() => undefined);
    return this.locate(threadId);
  }

  /** Threads that hold a place in memory, those that are being made and those that have not left yet included. */
  get size(): number {
    return this.#threads.size + this.#reserved.size + this.#leaving.size + this.#down.size;
  }

  /** Threads that have left memory and are addressable still. */
  get unloadedCount(): number {
    return this.#unloaded.size;
  }

  /** How many threads there are, and none of them. */
  toJSON(): { readonly resident: number; readonly unloaded: number; readonly related: number } {
    return { resident: this.size, unloaded: this.unloadedCount, related: this.#kinship.size };
  }
}

/** @throws LimitReachedError that says when to try again */
function refuseOver(spawns: RateWindow): void {
  const { retryAfterMs, rate, used } = spawns;
  if (retryAfterMs > 0) throw new LimitReachedError("spawnRate", rate.count, { used, retryAfterMs });
}
