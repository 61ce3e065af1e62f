/**
 * How the lives of threads go on and end: they are unloaded, crash and come back, are removed, lost or ended by force. What
 * follows from an end is said here alone, in `endBy`. Nothing here waits for a thread, or for its store, without a deadline.
 */
import type { MemberEnd } from "../../machines/group.machine.ts";
import { raceAbort, withDeadline } from "../kernel/cancellation.ts";
import { paced } from "../kernel/pace.ts";
import { ManagerClosedError, ThreadNotFoundError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { ThreadStore } from "../store/thread-store.ts";
import type { Incarnation, Incarnations } from "../thread/incarnation.ts";
import type { LiveThread } from "../thread/live-thread.ts";
import { type DownHost, DownThreads } from "./down-threads.ts";
import type { RestartRule } from "./group-options.ts";
import type { Monitors } from "./monitors.ts";
import type { Unloaded } from "./registry.ts";
import { RemovedThreads } from "./removed-threads.ts";
import type { Lives } from "./supervisor.ts";
import type { ThreadEnd } from "./thread-end.ts";
import type { UnloadedHandles } from "./unloaded-handles.ts";

/** Hear of the lives of threads. */
export type LifeWatchers = {
  readonly created: Set<(thread: LiveThread) => void>;
  readonly closed: Set<(end: ThreadEnd) => void>;
  readonly crashed: Set<(end: ThreadEnd) => void>;
};

/** Whose threads they are. */
export interface LivesHost extends DownHost {
  readonly unloaded: UnloadedHandles;
  /** Where threads live that are never to last. */
  readonly ephemeral: ThreadStore;
  readonly watchers: LifeWatchers;
  readonly monitors: Pick<Monitors, "noteEnded" | "noteMoved">;
  readonly budgets: { readonly accounts: { forget(threadId: ThreadId): void } };
  readonly timers: { forget(threadId: ThreadId, fate: "ended" | "moved"): void };
  readonly messages: {
    noteEnded(threadId: ThreadId, fate: "ended" | "moved"): void;
    noteRemoved(threadId: ThreadId): void;
  };
  /** Resolves when nothing is being written beside the thread. */
  notesAtRest(threadId: ThreadId): Promise<void>;
  /** Something has happened that may have made a thread idle. */
  noteActivity(): void;
}

/** What an end is to the thread's group. A lease that is lost is no failure: the thread lives elsewhere. */
function memberEndOf({ reason, wasAsked }: ThreadEnd, { isEnding }: LiveThread): MemberEnd {
  if (reason === "closed") return wasAsked ? "asked" : "normal";
  if (reason === "crashed") return "abnormal";
  return reason === "killed" && !isEnding ? "abnormal" : "asked";
}

/** What a forced end may take to store what it can. */
const KILL_FLUSH_MS = 1_000;
/** What loading a thread that is to be given away may take, where whoever asks for it does not say. */
const LOAD_MS = 10_000;

export class ThreadLives implements Lives {
  readonly incarnations: Incarnations = {
    byName: new Map(),
    onActive: (incarnation) => {
      void this.#host.registry.touch(incarnation.threadId);
      this.#host.noteActivity();
      this.#removed.noteActive(incarnation);
    },
    onRest: ({ threadId }) => {
      void this.#host.registry.noteRest(threadId);
      this.#host.noteActivity();
    },
    onEnd: (incarnation) => {
      const { threadId } = incarnation;
      for (const thread of this.#holdersOf(threadId, this.#host.registry.peek(threadId))) {
        if (thread.incarnation === incarnation) void this.#endAsItDid(thread);
      }
    },
  };
  readonly #host: LivesHost;
  readonly down: DownThreads;
  /** Threads that were removed and live on for their holders. */
  readonly #removed = new RemovedThreads((incarnation) => void this.#endLost(incarnation, "closed"));
  readonly #reaped = new WeakSet<Incarnation>();
  /** Those that are being loaded to be given away. */
  readonly #removing = new Map<ThreadId, Promise<unknown>>();

  constructor(host: LivesHost) {
    this.#host = host;
    this.down = new DownThreads(host, (end) => this.closeForGood(end));
  }

  isRemoved(threadId: ThreadId): boolean {
    return this.#removed.find(threadId).length > 0;
  }

  /** Threads that were taken out and live on for their holders. */
  get removed(): readonly LiveThread[] {
    return this.#removed.all();
  }

  noteObserved(thread: LiveThread): void {
    this.#host.unloaded.noteObserved(thread);
    this.#removed.noteObserved(thread);
  }

  /** What there is of threads beside the registry. */
  left(): { readonly incarnations: number; readonly handles: number; readonly removed: number } {
    return {
      incarnations: this.incarnations.byName.size,
      handles: this.#host.unloaded.size,
      removed: this.#removed.size,
    };
  }

  /** The thread is in memory, new or again. */
  noteLoaded(thread: LiveThread, restart: RestartRule | undefined): void {
    this.down.setRule(thread.id, restart);
    this.#host.groups.ownerOf(thread.id)?.noteReturned(thread.id);
    // Nobody finds one that was loaded to be given away; it lives on with its caller.
    if (this.#host.registry.peek(thread.id) !== thread) this.#removed.add(thread);
    for (const watcher of this.#host.watchers.created) watcher(thread);
    // Nobody could hear of an end that came before the thread was found.
    if (thread.incarnation.hasEnded) void this.#endAsItDid(thread);
  }

  /** Has an idle thread leave memory. */
  async unload(thread: LiveThread): Promise<void> {
    if (await this.#host.registry.leave(thread, "idle")) await this.takeOut(thread);
  }

  /**
   * Gives a thread away: its lease is free when this resolves, nobody finds the thread here any more, and a turn that runs stays
   * open for whoever loads it with `recovery: "continue"`.
   */
  async giveAway(threadId: ThreadId): Promise<void> {
    for (;;) {
      const place = await this.#host.registry.locate(threadId);
      if (place?.kind === "leaving") await place.done;
      else if (place?.kind === "loaded") {
        if (await this.#host.registry.leave(place.thread, "always")) return this.#moveOut(place.thread);
      } else {
        if (!(await this.#host.registry.forget(threadId))) return;
        this.#host.unloaded.take(threadId)?.close();
        return this.#noteMoved(threadId);
      }
    }
  }

  async #moveOut(thread: LiveThread): Promise<void> {
    const { incarnation, id } = thread;
    this.#reaped.add(incarnation);
    incarnation.end("moved");
    // Whoever has it next reads what stands beside it, and writes there alone.
    await this.#inTime(this.#host.notesAtRest(id));
    await this.#closeWriter(incarnation);
    thread.close();
    await this.#host.registry.left(thread, "gone");
    this.#noteMoved(id);
  }

  /** It lives elsewhere now, with all that stands beside it: what is remembered of that here would act on it, or be out of date. */
  #noteMoved(threadId: ThreadId): void {
    this.down.forget(threadId);
    this.#host.budgets.accounts.forget(threadId);
    this.#host.timers.forget(threadId, "moved");
    this.#host.monitors.noteMoved(threadId);
    this.#host.messages.noteEnded(threadId, "moved");
  }

  /** Takes a leaving thread out of memory, once everything that it said is stored; else it stays. */
  async takeOut(thread: LiveThread): Promise<boolean> {
    const { incarnation } = thread;
    try {
      await incarnation.storage.close();
    } catch (error) {
      this.#host.logger.warn({ threadId: thread.id, err: error }, "a thread stays in memory since it can't be stored");
      await this.#host.registry.left(thread, incarnation.ended === undefined ? "kept" : "gone");
      return false;
    }
    incarnation.end("unloaded");
    // It is not to come back to a manager that is closing.
    if (this.#host.isClosing) thread.close();
    if (!thread.isClosed) this.#host.unloaded.add(thread);
    await this.#host.registry.left(thread, thread.isClosed ? "gone" : "unloaded");
    return true;
  }

  /** A thread's actor is said to have ended, by itself or by a failure: it is asked whether that is so. */
  async end(threadId: ThreadId): Promise<void> {
    const member = await this.#host.registry.find(threadId);
    for (const thread of this.#holdersOf(threadId, member)) await this.#endAsItDid(thread);
  }

  /** All handles of an id: the registry's, and those that were removed and live on. */
  #holdersOf(threadId: ThreadId, member: LiveThread | undefined): LiveThread[] {
    return [...(member === undefined ? [] : [member]), ...this.#removed.find(threadId)];
  }

  async #endAsItDid(thread: LiveThread): Promise<void> {
    const { incarnation } = thread;
    const { ended } = incarnation;
    if (ended === undefined || this.#reaped.has(incarnation)) return;
    const { reason, error } = ended;
    if (reason === "closed" || reason === "crashed" || reason === "lost") await this.endBy(thread, reason, error);
  }

  /** A life ends. The thread leaves the registry at once; it comes back if its restart strategy says so. */
  async endBy(thread: LiveThread, reason: Exclude<ThreadEnd["reason"], "gaveUp">, error?: unknown): Promise<void> {
    const { incarnation, id } = thread;
    const wasLoaded = thread.isLoaded;
    this.#reaped.add(incarnation);
    incarnation.end(reason, error);
    const end: ThreadEnd = {
      threadId: id,
      epoch: incarnation.epoch,
      reason,
      ...(reason === "closed" && { wasAsked: thread.isEnding || incarnation.life.isAskedToEnd }),
      ...(error === undefined ? {} : { error }),
    };
    if (reason === "crashed") this.#noteCrashed(end);
    const hasLeft = await this.#host.registry.leave(thread, "always");
    await this.#closeWriter(incarnation);
    const group = this.#host.groups.ownerOf(id);
    const comesBack =
      group === undefined
        ? hasLeft && !this.#host.isClosing && !thread.isEnding && this.down.comesBack(id, reason)
        : group.noteEnd(id, memberEndOf(end, thread), error) && hasLeft;
    if (comesBack) {
      this.down.note(end);
      this.#host.unloaded.add(thread);
      await this.#host.registry.left(thread, "down");
      if (group === undefined) this.#host.signal({ type: "thread.down", threadId: id });
      return;
    }
    thread.close();
    await this.#deleteEphemeral(incarnation);
    if (hasLeft) await this.#host.registry.left(thread, "gone");
    else if (this.#removed.find(id).includes(thread)) await this.#host.registry.bury(id);
    else await this.#host.registry.forget(id, incarnation.epoch);
    this.#removed.delete(thread);
    this.down.forget(id);
    // Nothing was cut off where nothing ran.
    this.#noteClosed(wasLoaded || reason !== "killed" ? end : { ...end, reason: "closed", wasAsked: true });
  }

  /** Another process writes the thread now: here it is closed at once, and the next resume loads it anew. */
  async lose({ threadId, error }: { threadId: ThreadId; error: Error }): Promise<void> {
    const member = await this.#host.registry.find(threadId);
    for (const thread of this.#holdersOf(threadId, member)) {
      if (thread.isLoaded && thread.incarnation.writer.failure === error) await this.endBy(thread, "lost", error);
    }
  }

  /** Ends a thread that was removed, and that nobody holds any more. */
  async #endLost(incarnation: Incarnation, reason: "closed" | "killed"): Promise<void> {
    const { threadId, epoch } = incarnation;
    await this.#endLife(incarnation, reason);
    await this.#deleteEphemeral(incarnation);
    await this.#host.registry.bury(threadId);
    this.#noteClosed({ threadId, epoch, reason });
  }

  /** What was never to last goes with its thread. */
  async #deleteEphemeral({ store, threadId }: Pick<Incarnation, "store" | "threadId">): Promise<void> {
    if (store === this.#host.ephemeral) await store.delete(threadId).catch(() => undefined);
  }

  async #closeWriter(incarnation: Incarnation): Promise<void> {
    const { logger } = this.#host;
    const { threadId } = incarnation;
    const closing = incarnation.storage
      .close()
      .catch((error: unknown) => logger.error({ threadId, err: error }, "a thread's last lines could not be stored"));
    await this.#inTime(closing);
  }

  /** Ends this life of a thread that is to leave the registry, and not the thread: it is down until it is brought back. */
  async layDown(thread: LiveThread): Promise<void> {
    await this.#endLife(thread.incarnation, "killed");
    this.#host.unloaded.add(thread);
    await this.#host.registry.left(thread, "down");
  }

  /** Ends a life that nothing more follows from, and waits until what it has said is stored. */
  async #endLife(incarnation: Incarnation, reason: "closed" | "killed"): Promise<void> {
    this.#reaped.add(incarnation);
    incarnation.end(reason);
    await this.#closeWriter(incarnation);
  }

  /** Closes a thread that is not in memory. */
  async closeForGood(end: ThreadEnd): Promise<void> {
    const { threadId } = end;
    this.#host.groups.ownerOf(threadId)?.noteEnd(threadId, "asked", end.error);
    const wasThere = await this.#host.registry.forget(threadId);
    this.#host.unloaded.take(threadId)?.close();
    this.down.forget(threadId);
    await this.#deleteEphemeral({ store: this.#host.ephemeral, threadId });
    if (wasThere) this.#noteClosed(end);
  }

  #noteCrashed(end: ThreadEnd): void {
    this.#host.logger.error({ threadId: end.threadId, epoch: end.epoch, err: end.error }, "a thread crashed");
    for (const watcher of this.#host.watchers.crashed) watcher(end);
  }

  #noteClosed(end: ThreadEnd): void {
    const { threadId, epoch, reason, error } = end;
    const level = reason === "closed" ? "debug" : "warn";
    this.#host.logger[level](
      { threadId, epoch, reason, ...(error === undefined ? {} : { err: error }) },
      "a thread closed",
    );
    for (const watcher of this.#host.watchers.closed) watcher(end);
    this.#host.monitors.noteEnded(end);
    this.#host.budgets.accounts.forget(threadId);
    if (!this.#host.isClosing) this.#host.timers.forget(threadId, reason === "lost" ? "moved" : "ended");
    this.#endAgentsOf(threadId);
  }

  /** Those agents that a thread's turns have started end with it. */
  #endAgentsOf(threadId: ThreadId): void {
    if (this.#host.isClosing) return;
    for (const agent of this.#host.registry.kin.boundTo(threadId)) this.endWithAnother(agent);
  }

  /** Ends a thread since one that it is bound to has ended. */
  endWithAnother(threadId: ThreadId): void {
    this.#endAgent(threadId).catch((error: unknown) => {
      this.#host.logger.warn({ threadId, err: error }, "a thread could not be ended with the one that it is bound to");
    });
  }

  async #endAgent(threadId: ThreadId): Promise<void> {
    const place = await this.#host.registry.locate(threadId);
    if (place === undefined) return;
    if ("thread" in place) await place.thread.shutdown();
    else await this.closeForGood({ threadId, epoch: place.unloaded.epoch, reason: "closed", wasAsked: true });
  }

  /**
   * Takes the thread out, and gives it back working, to the first who asks: one that has left memory is loaded for it. One that
   * can't leave memory, since its store hangs, is ended.
   *
   * @throws what keeps it from being loaded, an abort or a deadline too; it is out all the same
   */
  async remove(threadId: ThreadId, signal?: AbortSignal): Promise<LiveThread | undefined> {
    for (;;) {
      const thread = await this.#host.registry.remove(threadId, (taken) => this.#removed.add(taken));
      if (thread !== undefined) {
        this.#noteRemoved(threadId);
        this.#endAgentsOf(threadId);
        return thread;
      }
      const place = await this.#host.registry.locate(threadId);
      if (place === undefined || place.kind === "loaded") return undefined;
      const removing = this.#removing.get(threadId);
      if (removing !== undefined) await raceAbort(removing, signal);
      else if (place.kind !== "leaving") {
        const removed = await this.#removeUnloaded(threadId, place.unloaded, signal);
        if (removed !== "loaded") return removed;
      } else if (!(await this.#inTime(place.done, signal))) return this.#cutOff(place.thread);
    }
  }

  /** It lives on with its holder: what finds it by its id does so no more. */
  #noteRemoved(threadId: ThreadId): void {
    this.down.forget(threadId);
    this.#host.groups.ownerOf(threadId)?.noteGone(threadId);
    if (!this.#host.isClosing) this.#host.timers.forget(threadId, "ended");
    this.#host.messages.noteRemoved(threadId);
  }

  async #removeUnloaded(threadId: ThreadId, unloaded: Unloaded, signal?: AbortSignal) {
    this.#noteRemoved(threadId);
    const removing = this.#loadAndRemove(threadId, unloaded, signal);
    this.#removing.set(threadId, Promise.allSettled([removing]));
    try {
      return await removing;
    } finally {
      this.#removing.delete(threadId);
    }
  }

  /** @returns `loaded` where somebody else has loaded it meanwhile */
  async #loadAndRemove(
    threadId: ThreadId,
    unloaded: Unloaded,
    signal: AbortSignal | undefined,
  ): Promise<LiveThread | "loaded" | undefined> {
    const { clock, maker, registry, logger } = this.#host;
    const load = (how: AbortSignal) => maker.reload(threadId, unloaded, { signal: how }, "remove");
    try {
      if (this.#host.isClosing) throw new ManagerClosedError();
      const how = signal === undefined ? { clock, deadlineMs: LOAD_MS } : { clock, signal };
      const thread = await withDeadline(`the loading of thread ${threadId}`, load, how);
      if ((await registry.find(threadId)) === thread) return "loaded";
      this.down.forget(threadId);
      this.#endAgentsOf(threadId);
      return thread;
    } catch (error) {
      if ((await registry.locate(threadId)) === undefined && error instanceof ThreadNotFoundError) return undefined;
      logger.warn({ threadId, err: error }, "a removed thread could not be loaded again");
      await this.closeForGood({ threadId, epoch: unloaded.epoch, reason: "closed", error });
      throw error;
    }
  }

  /** Whether the work is done before its time is up. */
  async #inTime(work: Promise<void>, signal?: AbortSignal): Promise<boolean> {
    const { clock } = this.#host;
    const late = Promise.withResolvers<false>();
    const timer = clock.setTimeout(() => late.resolve(false), KILL_FLUSH_MS);
    try {
      return await raceAbort(Promise.race([work.then(() => true), late.promise]), signal);
    } finally {
      clock.clearTimeout(timer);
    }
  }

  /** Ends a thread whose store doesn't let it leave memory. */
  async #cutOff(thread: LiveThread): Promise<LiveThread> {
    const { id, incarnation } = thread;
    incarnation.end("killed");
    thread.close();
    await this.closeForGood({ threadId: id, epoch: incarnation.epoch, reason: "killed" });
    return thread;
  }

  /** Threads that did not come to be in time, those that nobody holds any more, and handles of those out of memory. */
  async endWhatIsLeft(): Promise<void> {
    const closing: Promise<void>[] = [];
    await paced([...(await this.#host.registry.all()), ...this.#removed.all()], (thread) => {
      closing.push(this.endBy(thread, "killed"));
    });
    for (const thread of await this.#host.registry.leaving()) await this.#cutOff(thread);
    for (const incarnation of this.#removed.takeLost()) {
      closing.push(this.#endLost(incarnation, incarnation.isIdle ? "closed" : "killed"));
    }
    await Promise.all(closing);
    const left = [...this.incarnations.byName.values()];
    await paced(left, (incarnation) => incarnation.end("killed"));
    await Promise.all(left.map((incarnation) => this.#closeWriter(incarnation)));
    await paced(this.#host.unloaded.clear(), (thread) => thread.close());
  }
}
