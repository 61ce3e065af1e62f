/**
 * What stands behind the supervisor actor: it serves the messages that the actor admits, and looks after the threads
 * that exist. It knows nothing of the facade, so that the facade can be let go of.
 *
 * - (S5) Remove and shutdown answer even when a thread hangs: nothing here waits for a thread without a deadline.
 * - (S7) A crashed thread leaves the registry at once and comes back under the same handle, in a new incarnation.
 */
import type { AnyActorRef } from "xstate";
import type { SupervisorSignal } from "../../machines/supervisor.machine.ts";
import { raceAbort } from "../kernel/cancellation.ts";
import { paced } from "../kernel/pace.ts";
import { Slots } from "../kernel/slots.ts";
import {
  LimitReachedError,
  ManagerClosedError,
  ThreadBusyError,
  ThreadClosedError,
  ThreadNotFoundError,
} from "../protocol/errors.ts";
import type { ThreadEvent } from "../protocol/event.ts";
import type { ThreadId } from "../protocol/ids.ts";
import { INSPECT } from "../protocol/shown-as.ts";
import { memoryStore } from "../store/memory/memory-store.ts";
import { ApprovalBoard } from "../thread/approval-board.ts";
import { HistoryCache } from "../thread/history-cache.ts";
import type { Incarnation, Incarnations } from "../thread/incarnation.ts";
import type { LiveThread, ThreadHome } from "../thread/live-thread.ts";
import type { ThreadEnv } from "../thread/thread-env.ts";
import { threadLogic } from "../thread/thread-logic.ts";
import { McpPool } from "../turn/tools/mcp/mcp-pool.ts";
import { Logics } from "./logics.ts";
import type { ManagerSetup } from "./options.ts";
import { Parking } from "./parking.ts";
import type { Registry, Unloaded } from "./registry.ts";
import { Removed } from "./removed.ts";
import { ResidencySweep } from "./residency.ts";
import { RestartCounters } from "./restarts.ts";
import { Rooms } from "./rooms.ts";
import type { Threads } from "./service.ts";
import { shutDownThreads } from "./shutdown.ts";
import type { ShutdownReport } from "./shutdown-report.ts";
import { type Lives, Supervisor } from "./supervisor.ts";
import type { ThreadEnd } from "./thread-end.ts";
import { ThreadMaker } from "./thread-maker.ts";
import { TurnAgents } from "./turn-agents.ts";

/** Those who watch all threads of a manager. */
export type Watchers = {
  readonly events: Set<(event: ThreadEvent) => void>;
  readonly created: Set<(thread: LiveThread) => void>;
  readonly closed: Set<(end: ThreadEnd) => void>;
  readonly crashed: Set<(end: ThreadEnd) => void>;
};

/** What a forced end may take to store what it can. */
const KILL_FLUSH_MS = 1_000;

export class ManagerRuntime implements ThreadHome, Threads, Lives {
  readonly setup: ManagerSetup;
  readonly #supervisor: Supervisor;
  readonly maker: ThreadMaker;
  readonly turnSlots: Slots;
  readonly approvals: ApprovalBoard;
  readonly #mcp: McpPool;
  readonly watchers: Watchers = { events: new Set(), created: new Set(), closed: new Set(), crashed: new Set() };
  readonly #env: ThreadEnv;
  readonly #incarnations: Incarnations = {
    byName: new Map(),
    onActive: (incarnation) => {
      void this.registry.touch(incarnation.threadId);
      if (this.rooms.hasWaiters) this.rooms.poke();
      this.#removed.noteActive(incarnation);
    },
    onEnd: (incarnation) => {
      const { threadId } = incarnation;
      for (const thread of this.#holdersOf(threadId, this.registry.peek(threadId))) {
        if (thread.incarnation === incarnation) void this.#endAsItDid(thread);
      }
    },
  };
  readonly #ephemeral: ReturnType<typeof memoryStore>;
  readonly #parking = new Parking();
  readonly rooms: Rooms;
  /** What threads that are down, or were given up, failed by. */
  readonly #failures = new Map<ThreadId, ThreadEnd>();
  readonly #sweep: ResidencySweep;
  readonly #counters: RestartCounters;
  /** Threads that were removed and live on for whoever holds them. */
  readonly #removed = new Removed((incarnation) => {
    incarnation.end("closed");
    void this.#closeWriter(incarnation);
    void this.#deleteEphemeral(incarnation);
    void this.registry.bury(incarnation.threadId);
    this.#noteClosed({ threadId: incarnation.threadId, epoch: incarnation.epoch, reason: "closed" });
  });
  readonly #reaped = new WeakSet<Incarnation>();
  #closing: Promise<ShutdownReport> | undefined;

  constructor(setup: ManagerSetup) {
    this.setup = setup;
    const { clock, limits } = setup;
    this.turnSlots = new Slots(limits.runningTurns);
    this.#mcp = new McpPool({ environment: setup.environment, cwd: setup.config.cwd, clock });
    this.approvals = new ApprovalBoard((threadId, ancestor) => this.registry.isUnder(threadId, ancestor));
    this.#ephemeral = memoryStore({ clock });
    this.#supervisor = new Supervisor({ threads: this, lives: this, limits, clock });
    this.rooms = new Rooms({
      limit: limits.residentThreads,
      patienceMs: limits.roomDeadlineMs,
      leaveIdle: () => this.registry.leaveIdle(),
      reconsider: () => this.registry.reconsider(),
      evict: (thread) => this.#takeOut(thread),
      allWait: () => this.registry.allWait(),
    });
    this.#env = this.#makeEnv();
    this.maker = new ThreadMaker({
      setup,
      env: this.#env,
      incarnations: this.#incarnations,
      registry: this.registry,
      home: this,
      ephemeral: this.#ephemeral,
      parking: this.#parking,
      rooms: this.rooms,
      logics: new Logics(setup, threadLogic(this.#incarnations.byName)),
      onLost: (threadId, error) => this.#signal({ type: "lease.lost", threadId, error }),
      onLoaded: (thread) => this.#noteLoaded(thread),
    });
    this.#sweep = new ResidencySweep({
      options: setup.residency,
      clock,
      threads: () => this.registry.all(),
      unload: (thread) => this.#unload(thread),
    });
    this.#counters = new RestartCounters(setup.supervision, clock, {
      restart: (threadId) => this.#signal({ type: "restart.due", threadId }),
      giveUp: (threadId, crashes) => this.#signal({ type: "restart.gaveUp", threadId, crashes }),
    });
  }

  get actor(): AnyActorRef {
    return this.#supervisor.actor;
  }

  /** The supervisor's. */
  get registry(): Registry {
    return this.#supervisor.registry;
  }

  get logger() {
    return this.setup.logger;
  }

  #signal(signal: SupervisorSignal): void {
    this.#supervisor.signal(signal);
  }

  #makeEnv(): ThreadEnv {
    const { clock, logger, modelFor, models, limits, residency, skills } = this.setup;
    const { events } = this.watchers;
    return {
      clock,
      logger,
      parent: this.actor,
      stop: (ref) => this.#signal({ type: "thread.stop", ref }),
      startChild: async (parentThreadId, config, signal) =>
        (await this.maker.spawn(config, { parentThreadId, signal })).thread,
      modelFor,
      contextWindow: (model, provider) => models.contextWindow(model, provider),
      turnSlots: this.turnSlots,
      approvals: this.approvals,
      agents: new TurnAgents(this),
      commandEnvironment: this.setup.environment,
      mcp: this.#mcp,
      histories: new HistoryCache(residency.historyBytes),
      skills,
      eventCapacity: Math.min(Number.MAX_SAFE_INTEGER, Math.max(1, limits.events)),
      mailboxCapacity: limits.mailbox,
      onEvent: (event) => {
        if (this.rooms.hasWaiters) this.rooms.poke();
        for (const watcher of events) watcher(event);
      },
    };
  }

  // What is asked for.

  ids(): ThreadId[] | Promise<ThreadId[]> {
    return this.registry.ids();
  }

  /** The thread, loaded again if it has left memory; one that is down is waited for. @throws ThreadNotFoundError */
  async get(threadId: ThreadId, signal?: AbortSignal): Promise<LiveThread> {
    for (;;) {
      const place = await this.registry.locate(threadId);
      if (place === undefined) throw new ThreadNotFoundError(threadId);
      if (place.kind === "loaded") return place.thread;
      if (place.kind === "unloaded") return this.#reload(threadId, place.unloaded, signal);
      await raceAbort(place.done, signal);
    }
  }

  #reload(threadId: ThreadId, unloaded: Unloaded, signal: AbortSignal | undefined): Promise<LiveThread> {
    if (this.isClosing) throw new ManagerClosedError();
    return this.maker.reload(threadId, unloaded, { signal });
  }

  /**
   * Takes the thread out, and gives it back working: one that has left memory is loaded for it. One that can't leave
   * memory, since its store hangs, is ended.
   *
   * @throws what keeps it from being loaded; it is out all the same
   */
  async remove(threadId: ThreadId, signal?: AbortSignal): Promise<LiveThread | undefined> {
    for (;;) {
      const thread = await this.registry.remove(threadId);
      if (thread !== undefined) {
        this.#counters.retire(threadId);
        this.#removed.add(thread);
        this.#endAgentsOf(threadId);
        return thread;
      }
      const place = await this.registry.locate(threadId);
      if (place === undefined || place.kind === "loaded") return undefined;
      if (place.kind !== "leaving") return this.#removeUnloaded(threadId, place.unloaded, signal);
      if (!(await this.#inTime(place.done, signal))) return this.#cutOff(place.thread);
    }
  }

  async #removeUnloaded(threadId: ThreadId, unloaded: Unloaded, signal?: AbortSignal): Promise<LiveThread | undefined> {
    this.#counters.retire(threadId);
    try {
      if (this.isClosing) throw new ManagerClosedError();
      const thread = await this.maker.reload(threadId, unloaded, { signal }, "remove");
      // Somebody else has loaded it meanwhile.
      if ((await this.registry.find(threadId)) === thread) return this.remove(threadId, signal);
      this.#failures.delete(threadId);
      this.#endAgentsOf(threadId);
      return thread;
    } catch (error) {
      signal?.throwIfAborted();
      this.setup.logger.warn({ threadId, err: error }, "a removed thread could not be loaded again");
      await this.#closeForGood({ threadId, epoch: unloaded.epoch, reason: "closed", error });
      throw error;
    }
  }

  /** Whether the work is done before its time is up. */
  async #inTime(work: Promise<void>, signal?: AbortSignal): Promise<boolean> {
    const { clock } = this.setup;
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
    await this.#closeForGood({ threadId: id, epoch: incarnation.epoch, reason: "killed" });
    return thread;
  }

  /** Ends a thread that nobody was told of, and deletes what was stored of it. */
  async discard(threadId: ThreadId): Promise<void> {
    const thread = await this.registry.find(threadId);
    if (thread === undefined) return;
    const { store } = thread.incarnation;
    await this.#end(thread, "refused");
    await store.delete(threadId).catch((error: unknown) => {
      this.setup.logger.warn({ threadId, err: error }, "the rollout of an abandoned thread could not be deleted");
    });
  }

  // What handles ask for.

  async load(thread: LiveThread, signal: AbortSignal | undefined): Promise<void> {
    const { id } = thread;
    for (;;) {
      if (this.isClosing) throw new ManagerClosedError();
      const place = await this.registry.locate(id);
      switch (place?.kind) {
        case "loaded":
          // One that has ended, or another handle's thread of the same id, never comes back to this handle.
          if (place.thread !== thread || !thread.isLoaded) throw new ThreadClosedError(id);
          return;
        case "leaving":
          if (place.thread !== thread) throw new ThreadClosedError(id);
          await raceAbort(place.done, signal);
          break;
        case "down":
          await raceAbort(place.done, signal);
          break;
        case "unloaded":
          // Others may have loaded it meanwhile, and sent it away again: its epoch is the one that it has now.
          if (place.unloaded.epoch !== thread.epoch) throw new ThreadClosedError(id);
          await this.#reload(id, place.unloaded, signal);
          break;
        default:
          throw new ThreadClosedError(id);
      }
    }
  }

  async kill(thread: LiveThread): Promise<void> {
    await this.#end(thread, "killed");
  }

  noteObserved(thread: LiveThread): void {
    this.#parking.noteObserved(thread);
    this.#removed.noteObserved(thread);
  }

  // The lives of threads.

  #noteLoaded(thread: LiveThread): void {
    if (!this.isClosing) this.#sweep.arm();
    // Nobody finds one that was loaded to be given away; it lives on with whoever asked for it.
    if (this.registry.peek(thread.id) !== thread) this.#removed.add(thread);
    for (const watcher of this.watchers.created) watcher(thread);
    // Nobody could be told of an end that came before the thread was found.
    if (thread.incarnation.hasEnded) void this.#endAsItDid(thread);
  }

  async #unload(thread: LiveThread): Promise<void> {
    if (await this.registry.leave(thread, "idle")) await this.#takeOut(thread);
  }

  /** Takes a leaving thread out of memory, once everything that it said is stored; else it stays. */
  async #takeOut(thread: LiveThread): Promise<boolean> {
    const { incarnation } = thread;
    try {
      await incarnation.writer.close();
    } catch (error) {
      this.setup.logger.warn({ threadId: thread.id, err: error }, "a thread stays in memory since it can't be stored");
      await this.registry.left(thread, incarnation.ended === undefined ? "kept" : "gone");
      return false;
    }
    incarnation.end("unloaded");
    // It is not to come back to a manager that is closing.
    if (this.isClosing) thread.close();
    if (!thread.isClosed) this.#parking.park(thread);
    await this.registry.left(thread, thread.isClosed ? "gone" : "unloaded");
    return true;
  }

  /** A thread's actor is said to have ended, by itself or by a failure: it is asked whether that is so. */
  async end(threadId: ThreadId): Promise<void> {
    const member = await this.registry.find(threadId);
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
    if (reason === "closed" || reason === "crashed" || reason === "lost") await this.#end(thread, reason, error);
  }

  /** A life ends. The thread leaves the registry at once; it comes back if its restart strategy says so. */
  async #end(thread: LiveThread, reason: Exclude<ThreadEnd["reason"], "gaveUp">, error?: unknown): Promise<void> {
    const { incarnation, id } = thread;
    const wasLoaded = thread.isLoaded;
    this.#reaped.add(incarnation);
    incarnation.end(reason, error);
    const end: ThreadEnd = {
      threadId: id,
      epoch: incarnation.epoch,
      reason,
      ...(error === undefined ? {} : { error }),
    };
    if (reason === "crashed") this.#noteCrashed(end);
    const hasLeft = await this.registry.leave(thread, "always");
    await this.#closeWriter(incarnation);
    const comesBack = hasLeft && !this.isClosing && !thread.isEnding && this.#counters.restarts(reason);
    if (comesBack) {
      this.#failures.set(id, end);
      this.#parking.park(thread);
      await this.registry.left(thread, "down");
      this.#signal({ type: "thread.down", threadId: id });
      return;
    }
    thread.close();
    await this.#deleteEphemeral(incarnation);
    if (hasLeft) await this.registry.left(thread, "gone");
    else if (this.#removed.find(id).includes(thread)) await this.registry.bury(id);
    else await this.registry.forget(id, incarnation.epoch);
    this.#removed.delete(thread);
    this.#counters.retire(id);
    // Nothing was cut off where nothing ran.
    this.#noteClosed(wasLoaded || reason !== "killed" ? end : { ...end, reason: "closed" });
  }

  /** Another process writes the thread now: here it is closed at once, and the next resume loads it anew. */
  async lose({ threadId, error }: { threadId: ThreadId; error: Error }): Promise<void> {
    const member = await this.registry.find(threadId);
    for (const thread of this.#holdersOf(threadId, member)) {
      if (thread.isLoaded && thread.incarnation.writer.failure === error) await this.#end(thread, "lost", error);
    }
  }

  /** What was never to last goes with its thread. */
  async #deleteEphemeral({ store, threadId }: Incarnation): Promise<void> {
    if (store === this.#ephemeral) await store.delete(threadId).catch(() => undefined);
  }

  async #closeWriter({ writer, threadId }: Incarnation): Promise<void> {
    const { logger } = this.setup;
    const closing = writer
      .close()
      .catch((error: unknown) => logger.error({ threadId, err: error }, "a thread's last lines could not be stored"));
    await this.#inTime(closing);
  }

  awaitRestart(threadId: ThreadId): void {
    this.#counters.noteEnd(threadId);
  }

  async restart(threadId: ThreadId): Promise<void> {
    const place = await this.registry.locate(threadId);
    if (place?.kind !== "down") return;
    try {
      await this.maker.reload(threadId, place.unloaded, {}, "restart");
      this.#failures.delete(threadId);
    } catch (error) {
      await this.#restartLater(threadId, error);
    }
  }

  /** A restart that failed counts as a crash; one that was refused for what is not the thread's fault does not. */
  async #restartLater(threadId: ThreadId, error: unknown): Promise<void> {
    if (this.isClosing) {
      await this.giveUp({ threadId });
      return;
    }
    const isRefused = error instanceof LimitReachedError || error instanceof ThreadBusyError;
    this.setup.logger.error(
      { threadId, err: error },
      `a crashed thread could not be restarted${isRefused ? " yet" : ""}`,
    );
    const { epoch = 0 } = this.#failures.get(threadId) ?? {};
    this.#failures.set(threadId, { threadId, epoch, reason: "crashed", error });
    if (!isRefused) this.#counters.noteEnd(threadId);
    else if (!this.#counters.noteRefusal(threadId)) await this.giveUp({ threadId });
  }

  async giveUp({ threadId, crashes }: { threadId: ThreadId; crashes?: number }): Promise<void> {
    const { epoch = 0, error } = this.#failures.get(threadId) ?? {};
    this.setup.logger.error({ threadId, crashes, err: error }, "a thread that crashed stays down");
    await this.#closeForGood({ threadId, epoch, reason: "gaveUp", error });
  }

  /** Closes a thread that is not in memory. */
  async #closeForGood(end: ThreadEnd): Promise<void> {
    const { threadId } = end;
    const wasThere = await this.registry.forget(threadId);
    this.#parking.take(threadId)?.close();
    this.#failures.delete(threadId);
    this.#counters.retire(threadId);
    if (wasThere) this.#noteClosed(end);
  }

  #noteCrashed(end: ThreadEnd): void {
    this.setup.logger.error({ threadId: end.threadId, epoch: end.epoch, err: end.error }, "a thread crashed");
    for (const watcher of this.watchers.crashed) watcher(end);
  }

  #noteClosed(end: ThreadEnd): void {
    const { threadId, epoch, reason, error } = end;
    const level = reason === "closed" ? "debug" : "warn";
    this.setup.logger[level](
      { threadId, epoch, reason, ...(error === undefined ? {} : { err: error }) },
      "a thread closed",
    );
    for (const watcher of this.watchers.closed) watcher(end);
    this.#endAgentsOf(threadId);
  }

  /** Those agents that a thread's turns have started end with it. */
  #endAgentsOf(threadId: ThreadId): void {
    if (this.isClosing) return;
    for (const agent of this.registry.agentsBoundTo(threadId)) {
      this.#endAgent(agent).catch((error: unknown) => {
        this.setup.logger.warn({ threadId: agent, err: error }, "an agent could not be ended with its parent");
      });
    }
  }

  async #endAgent(threadId: ThreadId): Promise<void> {
    const place = await this.registry.locate(threadId);
    if (place === undefined) return;
    if ("thread" in place) await place.thread.shutdown();
    else await this.#closeForGood({ threadId, epoch: place.unloaded.epoch, reason: "closed" });
  }

  /** Counts, and none of the settings. */
  toJSON(): object {
    const { registry, turnSlots, isClosing } = this;
    return {
      threads: registry.size,
      unloadedThreads: registry.unloadedCount,
      runningTurns: turnSlots.inUse,
      isClosing,
    };
  }

  [INSPECT](): object {
    return this.toJSON();
  }

  /** What there is of threads beside the registry: for tests, which expect none once the threads are gone. */
  left(): { readonly incarnations: number; readonly parked: number; readonly removed: number } {
    return {
      incarnations: this.#incarnations.byName.size,
      parked: this.#parking.size,
      removed: this.#removed.size,
    };
  }

  // The end.

  /** Ends everything, within the deadline. A second call gives the same report. */
  shutdown(deadlineMs: number): Promise<ShutdownReport> {
    this.#closing ??= this.#shutDown(deadlineMs);
    return this.#closing;
  }

  get isClosing(): boolean {
    return this.#closing !== undefined;
  }

  async #shutDown(deadlineMs: number): Promise<ShutdownReport> {
    this.#signal({ type: "manager.drain" });
    this.#sweep.stop();
    for (const threadId of await this.registry.down()) await this.giveUp({ threadId });
    this.#counters.close();
    const report = await shutDownThreads({
      registry: this.registry,
      removed: () => this.#removed.all(),
      clock: this.setup.clock,
      deadlineMs,
      kill: (thread) => this.kill(thread),
    });
    this.maker.close();
    await this.#endWhatIsLeft();
    await this.#closeStores();
    this.#signal({ type: "manager.stop" });
    return report;
  }

  /** Threads that did not come to be in time, those that nobody holds any more, and handles of those out of memory. */
  async #endWhatIsLeft(): Promise<void> {
    const closing: Promise<void>[] = [];
    await paced([...(await this.registry.all())], (thread) => {
      closing.push(this.#end(thread, "killed"));
    });
    for (const thread of await this.registry.leaving()) await this.#cutOff(thread);
    await Promise.all(closing);
    const left = [...this.#incarnations.byName.values()];
    await paced(left, (incarnation) => incarnation.end("killed"));
    await Promise.all(left.map((incarnation) => this.#closeWriter(incarnation)));
    await paced(this.#parking.clear(), (thread) => thread.close());
  }

  async #closeStores(): Promise<void> {
    try {
      await this.#mcp.close();
      await this.#ephemeral.close();
      if (this.setup.ownsStore) await this.setup.store.close();
    } catch (error) {
      this.setup.logger.error({ err: error }, "the store could not be closed");
    }
  }
}
