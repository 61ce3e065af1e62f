/**
 * What stands behind the supervisor actor: it serves the messages that the actor admits, and looks after the threads
 * that exist. It knows nothing of the facade, so that the facade can be let go of.
 *
 * S5  Remove and shutdown answer even when a thread hangs: nothing here waits for a thread without a deadline.
 * S7  A crashed thread leaves the registry at once and comes back under the same handle, in a new incarnation.
 */
import { type AnyActorRef, createActor } from "xstate";
import { supervisorMachine } from "../../machines/supervisor.machine.ts";
import { Slots } from "../kernel/slots.ts";
import { ManagerClosedError, ThreadClosedError, ThreadNotFoundError } from "../protocol/errors.ts";
import type { ThreadEvent } from "../protocol/event.ts";
import { parseThreadId, type ThreadId } from "../protocol/ids.ts";
import { memoryStore } from "../store/memory-store.ts";
import { ApprovalBoard } from "../thread/approval-board.ts";
import { HistoryCache } from "../thread/history-cache.ts";
import type { EndReason, Incarnation } from "../thread/incarnation.ts";
import type { LiveThread, ThreadHome } from "../thread/live-thread.ts";
import type { ThreadEnv } from "../thread/thread-env.ts";
import { threadLogic } from "../thread/thread-logic.ts";
import type { Outcome, Replies, SupervisorMessage } from "./messages.ts";
import type { ManagerSetup } from "./options.ts";
import { Parking } from "./parking.ts";
import { Registry } from "./registry.ts";
import { ResidencySweep } from "./residency.ts";
import { RestartCounters } from "./restarts.ts";
import { type ShutdownReport, shutDownThreads } from "./shutdown.ts";
import { ThreadMaker, type ThreadOptions } from "./thread-maker.ts";

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
  readonly watchers: Watchers = { events: new Set(), created: new Set(), closed: new Set() };
  readonly #env: ThreadEnv;
  readonly #ephemeral: ReturnType<typeof memoryStore>;
  readonly #parking = new Parking();
  readonly #sweep: ResidencySweep;
  readonly #counters: RestartCounters;
  /** Threads that were removed and live on for whoever holds them. */
  readonly #removed = new Set<LiveThread>();
  #closing: Promise<ShutdownReport> | undefined;

  constructor(setup: ManagerSetup) {
    this.setup = setup;
    const { clock, limits } = setup;
    this.registry = new Registry(limits);
    this.turnSlots = new Slots(limits.runningTurns);
    this.approvals = new ApprovalBoard((threadId, ancestor) => this.registry.isUnder(threadId, ancestor));
    this.#ephemeral = memoryStore({ clock });
    this.actor = createActor(this.#supervisorLogic(), { clock }).start();
    this.#env = this.#makeEnv();
    this.maker = new ThreadMaker({
      setup,
      env: this.#env,
      registry: this.registry,
      home: this,
      ephemeral: this.#ephemeral,
      parking: this.#parking,
      onEvicted: (thread) => void this.#unload(thread),
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
    return supervisorMachine.provide({
      actions: {
        serve: ({ event }) => void this.#answer(event as SupervisorMessage),
        refuse: ({ event }) => {
          if ("reply" in event) event.reply?.({ ok: false, error: new ManagerClosedError() });
        },
        reap: ({ event }) => void this.#reap(event as { type: string; threadId?: ThreadId }),
      },
    });
  }

  #makeEnv(): ThreadEnv {
    const { clock, logger, modelFor, limits, residency, skills } = this.setup;
    const incarnations = new Map<string, Incarnation>();
    const { events } = this.watchers;
    return {
      clock,
      logger,
      parent: this.actor,
      logic: this.setup.threadLogic ?? threadLogic(incarnations),
      modelFor,
      turnSlots: this.turnSlots,
      approvals: this.approvals,
      histories: new HistoryCache(Math.max(1, residency.historyBytes)),
      skills,
      eventCapacity: Math.max(1, limits.events),
      mailboxCapacity: limits.mailbox,
      incarnations,
      onEvent: (event) => {
        for (const watcher of events) watcher(event);
      },
    };
  }

  // The messages.

  async #answer(message: SupervisorMessage): Promise<void> {
    const reply = message.reply as ((outcome: Outcome<unknown>) => void) | undefined;
    let outcome: Outcome<unknown>;
    try {
      outcome = { ok: true, value: await this.#serve(message) };
    } catch (error) {
      outcome = { ok: false, error };
      if (reply === undefined)
        this.setup.logger.warn(
          { err: error, message: message.type },
          "a message failed, and nobody asked for the answer",
        );
    }
    try {
      reply?.(outcome);
    } catch (error) {
      this.setup.logger.error({ err: error, message: message.type }, "a reply function threw");
    }
  }

  #serve(message: SupervisorMessage): Promise<Replies[keyof Replies]> {
    const options: ThreadOptions = { ...(message as { options?: ThreadOptions }).options };
    const withSignal: ThreadOptions = message.signal === undefined ? options : { ...options, signal: message.signal };
    switch (message.type) {
      case "thread.spawn":
        return this.maker.spawn(message.config, withSignal);
      case "thread.resume":
        return this.#resume(message, withSignal);
      case "thread.fork":
        return this.#fork(message, withSignal);
      case "thread.remove":
        return this.remove(parseThreadId(message.threadId));
      case "thread.get":
        return this.get(parseThreadId(message.threadId), message.signal);
      case "thread.list":
        return Promise.resolve(this.registry.ids());
      case "thread.send":
        return this.#send(message);
    }
  }

  #resume(message: Extract<SupervisorMessage, { type: "thread.resume" }>, options: ThreadOptions) {
    const { rolloutPath, history, threadId, config } = message;
    if (rolloutPath !== undefined) return this.maker.resumeFile(rolloutPath, config, options);
    if (history !== undefined) return this.maker.resumeHistory(history, config, options);
    return this.maker.resume(parseThreadId(String(threadId)), config, options);
  }

  #fork(message: Extract<SupervisorMessage, { type: "thread.fork" }>, options: ThreadOptions) {
    const from = typeof message.from === "string" ? parseThreadId(message.from) : message.from;
    return this.maker.fork(from, message.at ?? "full", message.config, options);
  }

  async #send({ threadId, op, id, signal }: Extract<SupervisorMessage, { type: "thread.send" }>) {
    const thread = await this.get(parseThreadId(threadId), signal);
    return id === undefined ? thread.submit(op, { signal }) : thread.submitWithId({ id, op }, { signal });
  }

  /** The thread, loaded again if it has left memory. @throws ThreadNotFoundError */
  async get(threadId: ThreadId, signal?: AbortSignal): Promise<LiveThread> {
    const thread = await this.registry.find(threadId);
    if (thread !== undefined) return thread;
    const config = await this.registry.unloadedConfig(threadId);
    if (config === undefined) throw new ThreadNotFoundError(threadId);
    return this.maker.reload(threadId, config, { signal });
  }

  async remove(threadId: ThreadId): Promise<LiveThread | undefined> {
    const thread = await this.registry.remove(threadId);
    this.#counters.forget(threadId);
    if (thread?.isLoaded) this.#removed.add(thread);
    else this.#parking.take(threadId)?.close();
    return thread;
  }

  // What handles ask for.

  async load(thread: LiveThread, signal: AbortSignal | undefined): Promise<Incarnation> {
    await thread.incarnation.unloading;
    if (thread.isLoaded) return thread.incarnation;
    const config = await this.registry.unloadedConfig(thread.id);
    const found =
      config === undefined
        ? await this.registry.find(thread.id)
        : await this.maker.reload(thread.id, config, { signal });
    if (found === undefined) throw new ThreadClosedError(thread.id);
    return found.incarnation;
  }

  async kill(thread: LiveThread): Promise<void> {
    await this.#end(thread, "killed");
  }

  pin(thread: LiveThread): void {
    this.#parking.pin(thread);
  }

  // The lives of threads.

  #noteLoaded(thread: LiveThread): void {
    this.#sweep.arm();
    for (const watcher of this.watchers.created) watcher(thread);
  }

  /** Takes an idle thread out of memory, once everything that it said is stored; else it stays. */
  async #unload(thread: LiveThread): Promise<void> {
    const { incarnation } = thread;
    if (incarnation.unloading !== undefined || !thread.isLoaded) return;
    const done = Promise.withResolvers<void>();
    incarnation.unloading = done.promise;
    try {
      const mayLeave = incarnation.isIdle && (await this.registry.park(thread));
      if (mayLeave) await incarnation.writer.close();
      if (mayLeave && incarnation.endReason === undefined) {
        incarnation.end("unloaded");
        this.#parking.park(thread);
      } else {
        await this.registry.restore(thread);
      }
    } catch (error) {
      this.setup.logger.warn({ threadId: thread.id, err: error }, "a thread stays in memory since it can't be stored");
      await this.registry.restore(thread);
    } finally {
      incarnation.unloading = undefined;
      done.resolve();
    }
  }

  /** A thread's actor has ended, by itself or by a failure. */
  async #reap(event: { type: string; threadId?: ThreadId }): Promise<void> {
    const threadId = event.threadId ?? (event.type.replace(/^xstate\.(?:done|error)\.actor\./, "") as ThreadId);
    const found = await this.registry.find(threadId);
    for (const thread of [found, ...this.#removed]) {
      if (thread === undefined || thread.id !== threadId || !thread.isLoaded) continue;
      const { status } = thread.incarnation.actor.getSnapshot() as { status: string };
      if (status !== "active") await this.#end(thread, status === "error" ? "crashed" : "closed");
    }
  }

  async #end(thread: LiveThread, reason: EndReason): Promise<void> {
    const { incarnation } = thread;
    incarnation.end(reason);
    const comesBack =
      this.#closing === undefined &&
      !thread.isEnding &&
      this.#counters.restarts(reason) &&
      (await this.registry.park(thread));
    await this.#closeWriter(incarnation);
    if (comesBack) {
      this.#parking.park(thread);
      this.#counters.noteEnd(thread.id);
      return;
    }
    if (!this.#removed.delete(thread)) await this.registry.forget(thread);
    this.#counters.forget(thread.id);
    thread.close();
    this.#noteClosed(thread.id);
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
      const config = await this.registry.unloadedConfig(threadId);
      if (config !== undefined && this.#closing === undefined) await this.maker.reload(threadId, config);
    } catch (error) {
      this.setup.logger.error({ threadId, err: error }, "a crashed thread could not be restarted");
      this.#counters.noteEnd(threadId);
    }
  }

  async #giveUp(threadId: ThreadId, crashes: number): Promise<void> {
    this.setup.logger.error({ threadId, crashes }, "a thread crashed too often and stays down");
    await this.registry.remove(threadId);
    this.#parking.take(threadId)?.close();
    this.#noteClosed(threadId);
  }

  #noteClosed(threadId: ThreadId): void {
    for (const watcher of this.watchers.closed) watcher(threadId);
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
      removed: this.#removed,
      clock: this.setup.clock,
      deadlineMs,
      kill: (thread) => this.kill(thread),
    });
    for (const thread of this.#parking.clear()) thread.close();
    await this.#ephemeral.close();
    if (this.setup.ownsStore) await this.setup.store.close();
    this.actor.send({ type: "manager.stop" });
    this.actor.stop();
    return report;
  }
}
