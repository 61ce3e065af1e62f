/**
 * What stands behind the supervisor actor: it serves the messages that the actor admits, and looks after the threads
 * that exist. It knows nothing of the facade, so that the facade can be let go of.
 *
 * S5  Remove and shutdown answer even when a thread hangs: nothing here waits for a thread without a deadline.
 * S7  A crashed thread leaves the registry at once and comes back under the same handle, in a new incarnation.
 */
import { type AnyActorRef, createActor } from "xstate";
import { supervisorMachine } from "../../machines/supervisor.machine.ts";
import { raceAbort } from "../kernel/cancellation.ts";
import { Slots } from "../kernel/slots.ts";
import { InvalidRequestError, ManagerClosedError, ThreadClosedError, ThreadNotFoundError } from "../protocol/errors.ts";
import type { ThreadEvent } from "../protocol/event.ts";
import type { ThreadId } from "../protocol/ids.ts";
import { INSPECT, shownById } from "../protocol/shown-as.ts";
import { memoryStore } from "../store/memory/memory-store.ts";
import { ApprovalBoard } from "../thread/approval-board.ts";
import { HistoryCache } from "../thread/history-cache.ts";
import type { EndReason, Incarnation } from "../thread/incarnation.ts";
import type { LiveThread, ThreadHome } from "../thread/live-thread.ts";
import type { ThreadEnv } from "../thread/thread-env.ts";
import { threadLogic } from "../thread/thread-logic.ts";
import { McpPool } from "../turn/tools/mcp/mcp-pool.ts";
import type { ManagerSetup } from "./options.ts";
import { Parking } from "./parking.ts";
import { withPlainExits } from "./plain-exits.ts";
import { Registry } from "./registry.ts";
import { Removed } from "./removed.ts";
import { ResidencySweep } from "./residency.ts";
import { RestartCounters } from "./restarts.ts";
import type { SupervisorMessage } from "./service.ts";
import { Service } from "./service.ts";
import { type ShutdownReport, shutDownThreads } from "./shutdown.ts";
import { ThreadMaker } from "./thread-maker.ts";
import { TurnAgents } from "./turn-agents.ts";

/** Those who watch all threads of a manager. */
export type Watchers = {
  readonly events: Set<(event: ThreadEvent) => void>;
  readonly created: Set<(thread: LiveThread) => void>;
  readonly closed: Set<(threadId: ThreadId) => void>;
};

/** What a forced end may take to store what it can. */
const KILL_FLUSH_MS = 1_000;

export class ManagerRuntime implements ThreadHome {
  readonly setup: ManagerSetup;
  readonly registry: Registry;
  readonly actor: AnyActorRef;
  readonly maker: ThreadMaker;
  readonly turnSlots: Slots;
  readonly approvals: ApprovalBoard;
  readonly #mcp: McpPool;
  readonly watchers: Watchers = { events: new Set(), created: new Set(), closed: new Set() };
  readonly #env: ThreadEnv;
  readonly #ephemeral: ReturnType<typeof memoryStore>;
  readonly #parking = new Parking();
  readonly #sweep: ResidencySweep;
  readonly #counters: RestartCounters;
  /** Threads that were removed and live on for whoever holds them. */
  readonly #removed = new Removed((incarnation) => {
    incarnation.end("closed");
    void this.#closeWriter(incarnation);
    void this.#deleteEphemeral(incarnation);
    this.#noteClosed(incarnation.threadId);
  });
  #closing: Promise<ShutdownReport> | undefined;

  constructor(setup: ManagerSetup) {
    this.setup = setup;
    const { clock, limits } = setup;
    this.registry = new Registry(limits);
    this.turnSlots = new Slots(limits.runningTurns);
    this.#mcp = new McpPool({ environment: setup.environment, cwd: setup.config.cwd, clock });
    this.approvals = new ApprovalBoard((threadId, ancestor) => this.registry.isUnder(threadId, ancestor));
    this.#ephemeral = memoryStore({ clock });
    this.actor = shownById(createActor(this.#supervisorLogic(), { clock })).start();
    this.#env = this.#makeEnv();
    this.maker = new ThreadMaker({
      setup,
      env: this.#env,
      registry: this.registry,
      home: this,
      ephemeral: this.#ephemeral,
      parking: this.#parking,
      evict: (thread) => this.#takeOut(thread),
      onLoaded: (thread) => this.#noteLoaded(thread),
    });
    this.#sweep = new ResidencySweep({
      options: setup.residency,
      clock,
      threads: () => this.registry.all(),
      unload: (thread) => void this.#unload(thread),
    });
    this.#counters = new RestartCounters(setup.supervision, clock, {
      restart: (threadId) => void this.#restart(threadId),
      giveUp: (threadId, crashes) => void this.#giveUp(threadId, crashes),
    });
  }

  #supervisorLogic() {
    const service = new Service(this);
    const refuse = (event: object, error: Error) => {
      if ("reply" in event && typeof event.reply === "function") event.reply({ ok: false, error });
    };
    const machine = supervisorMachine.provide({
      actions: {
        serve: ({ event }) => void service.answer(event as SupervisorMessage),
        refuse: ({ event }) => refuse(event, new ManagerClosedError()),
        refuseUnknown: ({ event }) => refuse(event, new InvalidRequestError(`unknown message: ${event.type}`)),
        reap: ({ event }) => void this.#reap((event as { threadId: ThreadId }).threadId),
      },
    });
    return withPlainExits(machine);
  }

  #makeEnv(): ThreadEnv {
    const { clock, logger, modelFor, models, limits, residency, skills } = this.setup;
    const incarnations = new Map<string, Incarnation>();
    const { events } = this.watchers;
    return {
      clock,
      logger,
      parent: this.actor,
      logic: this.setup.threadLogic ?? threadLogic(incarnations),
      modelFor,
      contextWindow: (model) => models.contextWindow(model),
      turnSlots: this.turnSlots,
      approvals: this.approvals,
      agents: new TurnAgents(this),
      commandEnvironment: this.setup.environment,
      mcp: this.#mcp,
      histories: new HistoryCache(residency.historyBytes),
      skills,
      eventCapacity: Math.min(Number.MAX_SAFE_INTEGER, Math.max(1, limits.events)),
      mailboxCapacity: limits.mailbox,
      incarnations,
      onActive: (incarnation) => {
        void this.registry.touch(incarnation.threadId);
        this.#removed.noteActive(incarnation);
      },
      onEvent: (event) => {
        for (const watcher of events) watcher(event);
      },
    };
  }

  // What is asked for.

  /** The thread, loaded again if it has left memory. @throws ThreadNotFoundError */
  async get(threadId: ThreadId, signal?: AbortSignal): Promise<LiveThread> {
    for (;;) {
      const place = await this.registry.locate(threadId);
      if (place === undefined) throw new ThreadNotFoundError(threadId);
      if (place.kind === "loaded") return place.thread;
      if (place.kind === "unloaded") return this.maker.reload(threadId, place.unloaded, { signal });
      await raceAbort(place.done, signal);
    }
  }

  /** Takes the thread out, and gives it back working: one that has left memory is loaded for it. */
  async remove(threadId: ThreadId): Promise<LiveThread | undefined> {
    let thread = await this.registry.remove(threadId);
    while (thread === undefined && (await this.registry.locate(threadId)) !== undefined) {
      try {
        await this.get(threadId);
      } catch (error) {
        this.setup.logger.warn({ threadId, err: error }, "a removed thread could not be loaded again");
        await this.#giveUpOn(threadId);
        return undefined;
      }
      thread = await this.registry.remove(threadId);
    }
    this.#counters.forget(threadId);
    if (thread !== undefined) this.#removed.add(thread);
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
      const place = await this.registry.locate(id);
      // Others may have loaded it meanwhile, and sent it away again: its epoch is the one that it has now.
      const { epoch } = thread;
      if (place?.kind === "leaving" && place.thread === thread) await raceAbort(place.done, signal);
      else if (place?.kind === "loaded" && place.thread === thread) return;
      else if (place?.kind !== "unloaded" || place.unloaded.epoch !== epoch) throw new ThreadClosedError(id);
      else await this.maker.reload(id, place.unloaded, { signal });
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
      await this.registry.left(thread, incarnation.endReason === undefined ? "kept" : "gone");
      return false;
    }
    incarnation.end("unloaded");
    if (!thread.isClosed) this.#parking.park(thread);
    await this.registry.left(thread, thread.isClosed ? "gone" : "unloaded");
    return true;
  }

  /** A thread's actor has ended, by itself or by a failure. */
  async #reap(threadId: ThreadId): Promise<void> {
    const found = (await this.registry.find(threadId)) ?? [];
    for (const thread of [found, this.#removed.find(threadId)].flat()) await this.#endAsItDid(thread);
  }

  async #endAsItDid(thread: LiveThread): Promise<void> {
    const { status } = thread.incarnation.actor.getSnapshot() as { status: string };
    if (thread.isLoaded && status !== "active") await this.#end(thread, status === "error" ? "crashed" : "closed");
  }

  async #end(thread: LiveThread, reason: EndReason): Promise<void> {
    const { incarnation, id } = thread;
    incarnation.end(reason);
    const hasLeft = await this.registry.leave(thread, "always");
    await this.#closeWriter(incarnation);
    const comesBack = hasLeft && !this.isClosing && !thread.isEnding && this.#counters.restarts(reason);
    if (comesBack) this.#parking.park(thread);
    else {
      thread.close();
      await this.#deleteEphemeral(incarnation);
    }
    if (hasLeft) await this.registry.left(thread, comesBack ? "unloaded" : "gone");
    else await this.registry.forget(id, incarnation.epoch);
    if (comesBack) {
      this.#counters.noteEnd(id);
      return;
    }
    this.#removed.delete(thread);
    this.#counters.forget(id);
    this.#noteClosed(id);
  }

  /** What was never to last goes with its thread. */
  async #deleteEphemeral({ store, threadId }: Incarnation): Promise<void> {
    if (store === this.#ephemeral) await store.delete(threadId).catch(() => undefined);
  }

  async #closeWriter({ writer, threadId }: Incarnation): Promise<void> {
    const { clock, logger } = this.setup;
    const late = Promise.withResolvers<void>();
    const timer = clock.setTimeout(late.resolve, KILL_FLUSH_MS);
    const closing = writer
      .close()
      .catch((error: unknown) => logger.error({ threadId, err: error }, "a thread's last lines could not be stored"));
    await Promise.race([closing, late.promise]);
    clock.clearTimeout(timer);
  }

  async #restart(threadId: ThreadId): Promise<void> {
    try {
      const place = await this.registry.locate(threadId);
      if (place?.kind === "unloaded" && !this.isClosing) await this.maker.reload(threadId, place.unloaded);
    } catch (error) {
      this.setup.logger.error({ threadId, err: error }, "a crashed thread could not be restarted");
      this.#counters.noteEnd(threadId);
    }
  }

  async #giveUp(threadId: ThreadId, crashes: number): Promise<void> {
    this.setup.logger.error({ threadId, crashes }, "a thread crashed too often and stays down");
    await this.#giveUpOn(threadId);
  }

  async #giveUpOn(threadId: ThreadId): Promise<void> {
    await this.registry.forget(threadId);
    this.#parking.take(threadId)?.close();
    this.#counters.forget(threadId);
    this.#noteClosed(threadId);
  }

  #noteClosed(threadId: ThreadId): void {
    for (const watcher of this.watchers.closed) watcher(threadId);
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
      incarnations: this.#env.incarnations.size,
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
    this.actor.send({ type: "manager.drain" });
    this.#sweep.stop();
    this.#counters.close();
    const report = await shutDownThreads({
      registry: this.registry,
      removed: () => this.#removed.all(),
      clock: this.setup.clock,
      deadlineMs,
      kill: (thread) => this.kill(thread),
    });
    this.maker.close();
    // Threads that did not come to be in time, and those that nobody holds any more.
    const left = [...this.#env.incarnations.values()];
    for (const incarnation of left) incarnation.end("killed");
    await Promise.all(left.map((incarnation) => this.#closeWriter(incarnation)));
    for (const thread of this.#parking.clear()) thread.close();
    await this.#closeStores();
    this.actor.send({ type: "manager.stop" });
    return report;
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
