/**
 * What stands behind the supervisor actor: makes the parts of one manager, and answers what messages, handles and agents
 * ask of its threads. It knows nothing of the facade, so that the facade can be let go of.
 */
import type { AnyActorRef } from "xstate";
import type { SupervisorSignal } from "../../machines/supervisor.machine.ts";
import { RankedSlots } from "../kernel/ranked-slots.ts";
import type { BudgetUse } from "../protocol/budget.ts";
import { ManagerClosedError } from "../protocol/errors.ts";
import type { ThreadEvent } from "../protocol/event.ts";
import { INITIAL_SUBMISSION_ID, type ThreadId } from "../protocol/ids.ts";
import { INSPECT } from "../protocol/shown-as.ts";
import type { Priority } from "../protocol/thread-config.ts";
import { memoryStore } from "../store/memory/memory-store.ts";
import { MemoryNotes, type StandingNotes } from "../store/standing-notes.ts";
import { ApprovalBoard } from "../thread/approval-board.ts";
import { HistoryCache } from "../thread/history-cache.ts";
import type { LiveThread } from "../thread/live-thread.ts";
import { SharedPasts } from "../thread/shared-pasts.ts";
import type { Handing } from "../thread/submissions.ts";
import type { ThreadEnv } from "../thread/thread-env.ts";
import type { ThreadHome } from "../thread/thread-home.ts";
import { houseTurn, threadLogic } from "../thread/thread-logic.ts";
import type { BudgetChange } from "../turn/spending.ts";
import { McpPool } from "../turn/tools/mcp/mcp-pool.ts";
import { slotTracing } from "../turn/traces.ts";
import { AgentTree } from "./agent-tree.ts";
import { Budgets } from "./budgets.ts";
import type { Capacity } from "./capacity.ts";
import { capacityOf } from "./capacity-now.ts";
import { DeadLetters } from "./dead-letters.ts";
import { EndNotices } from "./end-notices.ts";
import { Groups } from "./groups.ts";
import { Logics } from "./logics.ts";
import { shutDownManager } from "./manager-shutdown.ts";
import { MemberLives } from "./member-lives.ts";
import { Messages } from "./messages.ts";
import { Monitors } from "./monitors.ts";
import type { ManagerSetup } from "./options.ts";
import type { Registry } from "./registry.ts";
import { ResidencySweep } from "./residency.ts";
import type { RestartStanding } from "./restart-standing.ts";
import { Rooms } from "./rooms.ts";
import { shutDownTree } from "./shutdown.ts";
import type { ShutdownReport } from "./shutdown-report.ts";
import { Supervisor } from "./supervisor.ts";
import { hasArrived } from "./thread-boot.ts";
import { ThreadFinder } from "./thread-finder.ts";
import { type LifeWatchers, ThreadLives } from "./thread-lives.ts";
import { ThreadMaker } from "./thread-maker.ts";
import type { AgentThreads } from "./threads.ts";
import { Timers } from "./timers.ts";
import { TurnAgents } from "./turn-agents.ts";
import { UnloadedHandles } from "./unloaded-handles.ts";
import { standingOf } from "./urgency.ts";

/** Those who watch all threads of a manager. */
export type Watchers = LifeWatchers & { readonly events: Set<(event: ThreadEvent) => void> };

export class ManagerRuntime implements ThreadHome<LiveThread>, AgentThreads {
  readonly setup: ManagerSetup;
  readonly scope = Object.freeze({});
  readonly #supervisor: Supervisor;
  readonly maker: ThreadMaker;
  readonly turnSlots: RankedSlots;
  readonly budgets: Budgets;
  readonly timers: Timers;
  readonly approvals: ApprovalBoard;
  readonly mcp: McpPool;
  readonly watchers: Watchers = { events: new Set(), created: new Set(), closed: new Set(), crashed: new Set() };
  readonly deadLetters: DeadLetters;
  readonly monitors: Monitors;
  readonly groups: Groups;
  readonly messages: Messages;
  readonly tree: AgentTree;
  readonly notices: EndNotices;
  readonly #env: ThreadEnv;
  readonly ephemeral: ReturnType<typeof memoryStore>;
  readonly unloaded = new UnloadedHandles();
  readonly rooms: Rooms;
  readonly #sweep: ResidencySweep;
  readonly #finder = new ThreadFinder(this);
  readonly #lives: ThreadLives;
  readonly #members: MemberLives;
  /** Of a store that keeps none. */
  readonly #passingNotes = new MemoryNotes();
  readonly #over = new AbortController();
  #closing: Promise<ShutdownReport> | undefined;

  constructor(setup: ManagerSetup) {
    this.setup = setup;
    const { clock, limits } = setup;
    this.turnSlots = new RankedSlots(limits.runningTurns, {
      ...{ clock, agingMs: limits.turnAgingMs },
      standingOf: (id) => standingOf(this.registry, id as ThreadId),
      // A turn that only waits lends its place.
      onFreed: () => this.noteActivity(),
      watchWait: ({ id, isAgain }, wait) =>
        slotTracing.run(
          () => ({ scope: this.scope, threadId: id as ThreadId, kind: isAgain ? "again" : "first" }),
          wait,
        ),
    });
    this.mcp = new McpPool({ environment: setup.environment, cwd: setup.config.cwd, clock });
    this.approvals = new ApprovalBoard((threadId) => this.registry.kin.subtreeOf(threadId));
    this.ephemeral = memoryStore({ clock });
    this.deadLetters = new DeadLetters(setup);
    this.#lives = new ThreadLives(this);
    this.#members = new MemberLives(this, this.#lives);
    this.groups = new Groups(this, this.#members);
    this.tree = new AgentTree(this);
    this.notices = new EndNotices(this);
    const logics = new Logics(setup, threadLogic(this.#lives.incarnations.byName));
    this.messages = this.#makeMessages(logics);
    this.monitors = new Monitors({
      logger: setup.logger,
      notesOf: (config) => this.notesOf(config),
      configOf: (threadId) => this.registry.configOf(threadId),
      header: (threadId) => setup.store.header(threadId),
      // One that is taken out between the two looks is found by the second.
      isKnown: async (threadId) =>
        (await this.registry.locate(threadId)) !== undefined || this.#lives.isRemoved(threadId),
      endLinked: (threadId) => this.#lives.endWithAnother(threadId),
    });
    this.budgets = this.#makeBudgets();
    this.timers = new Timers({
      ...{ clock, logger: setup.logger },
      lasting: this.notesOf({ ephemeral: false }),
      notesOf: (threadId) => this.notesOf(this.registry.configOf(threadId) ?? { ephemeral: false }),
      isRemoved: (threadId) => this.#lives.isRemoved(threadId),
      bring: (threadId) => this.#finder.bring(threadId),
    });
    this.#supervisor = new Supervisor({ threads: this, lives: this.#lives, limits, clock, inspect: setup.inspect });
    this.registry.kin.watchers.add((threadId) => this.budgets.accounts.noteAlone(threadId));
    this.rooms = new Rooms({
      limit: limits.residentThreads,
      patienceMs: limits.roomDeadlineMs,
      leaveIdle: () => this.registry.leaveIdle(),
      evict: (thread) => this.#lives.takeOut(thread),
      allWait: () => this.registry.allWait(),
    });
    this.#env = this.#makeEnv();
    this.maker = new ThreadMaker({
      setup,
      env: this.#env,
      incarnations: this.#lives.incarnations,
      registry: this.registry,
      home: this,
      ephemeral: this.ephemeral,
      unloaded: this.unloaded,
      rooms: this.rooms,
      budgets: this.budgets,
      logics,
      onLost: (threadId, error) => this.signal({ type: "lease.lost", threadId, error }),
      onArriving: (threadId) => this.#readBeside(threadId),
      onLoaded: (thread, made) => {
        if (!this.isClosing) this.#sweep.arm();
        this.#lives.noteLoaded(thread, made.restart);
        if (hasArrived(made)) {
          this.notices.noteArrived(thread.id);
          this.monitors.noteArrived(thread.id);
        }
        this.notices.noteLoaded(thread);
        this.monitors.noteLoaded(thread.id);
        this.messages.noteLoaded(thread);
        this.noteActivity();
      },
    });
    this.#sweep = new ResidencySweep({
      options: setup.residency,
      clock,
      threads: () => this.registry.all(),
      unload: (thread) => this.#lives.unload(thread),
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

  get clock() {
    return this.setup.clock;
  }

  get over(): AbortSignal {
    return this.#over.signal;
  }

  get supervision() {
    return this.setup.supervision;
  }

  get cwd(): string {
    return this.setup.config.cwd;
  }

  get store() {
    return this.setup.store;
  }

  get models() {
    return this.setup.models;
  }

  signal(signal: SupervisorSignal): void {
    this.#supervisor.signal(signal);
  }

  /** What stands beside the lines of threads with these settings. */
  notesOf({ ephemeral }: { readonly ephemeral: boolean }): StandingNotes {
    return (ephemeral ? this.ephemeral.notes : this.setup.store.notes) ?? this.#passingNotes;
  }

  /** What earlier processes have set fires from now on. */
  beginTimers(): void {
    if (this.setup.timers === "own") return;
    this.timers.takeUp().catch((err: unknown) => {
      if (!this.isClosing) this.setup.logger.warn({ err }, "the timers of stored threads could not be taken up");
    });
  }

  async #readBeside(threadId: ThreadId): Promise<void> {
    this.budgets.accounts.noteArriving(threadId);
    if (this.setup.timers === "all") await this.timers.noteArriving(threadId);
  }

  #makeBudgets(): Budgets {
    const { clock, logger, prices, store } = this.setup;
    return new Budgets({
      ...{ clock, logger, prices },
      notesOf: (config) => this.notesOf(config),
      parentOf: (threadId) => this.registry.kin.parentOf(threadId),
      hasAgents: (threadId) => this.registry.kin.hasUnder(threadId),
      configOf: (threadId) => this.registry.configOf(threadId),
      header: (threadId) => store.header(threadId),
      tell: (threadId, msg) => this.registry.peek(threadId)?.incarnation.publish(INITIAL_SUBMISSION_ID, msg),
    });
  }

  #makeMessages(logics: Logics): Messages {
    const runtime = this;
    const { clock, logger, limits } = this.setup;
    const messages = new Messages({
      ...{ clock, logger, mailboxCapacity: limits.mailbox, deadLetters: this.deadLetters },
      get isClosing() {
        return runtime.isClosing;
      },
      get: (threadId, signal) => this.get(threadId, signal),
      peek: (threadId) => this.registry.peek(threadId),
      logicOf: (config) => logics.of(config),
      treeOf: (threadId) => this.registry.kin.subtreeOf(this.registry.kin.rootOf(threadId)),
      notesOf: (config) => this.notesOf(config),
    });
    this.watchers.closed.add(({ threadId, reason, error }) =>
      messages.noteEnded(threadId, reason === "lost" ? "moved" : "ended", error),
    );
    return messages;
  }

  #makeEnv(): ThreadEnv {
    const { clock, logger, modelFor, models, limits, residency, skills } = this.setup;
    const { events } = this.watchers;
    const histories = new HistoryCache(residency.historyBytes);
    return {
      scope: this.scope,
      clock,
      over: this.over,
      logger,
      parent: this.actor,
      stop: (ref) => this.signal({ type: "thread.stop", ref }),
      startChild: async (parentThreadId, config, signal) =>
        (await this.maker.spawn(config, { parentThreadId, signal })).thread,
      modelFor,
      contextWindow: (model, provider) => models.contextWindow(model, provider),
      listModels: (provider) => models.listModels({ provider }),
      turnSlots: this.turnSlots,
      budgets: this.budgets,
      turnLogic: houseTurn(this.#lives.incarnations.byName),
      approvals: this.approvals,
      agents: new TurnAgents(this),
      messages: this.messages,
      commandEnvironment: this.setup.environment,
      mcp: this.mcp,
      histories,
      pasts: new SharedPasts(histories),
      skills,
      eventCapacity: Math.min(Number.MAX_SAFE_INTEGER, Math.max(1, limits.events)),
      mailboxCapacity: limits.mailbox,
      roomDeadlineMs: limits.roomDeadlineMs,
      onEvent: (event) => {
        this.noteActivity();
        for (const watcher of events) watcher(event);
      },
    };
  }

  noteActivity(): void {
    if (this.rooms.hasWaiters) this.rooms.poke();
  }

  // What is asked for.

  ids(): ThreadId[] | Promise<ThreadId[]> {
    return this.registry.ids();
  }

  get(threadId: ThreadId, signal?: AbortSignal): Promise<LiveThread> {
    return this.#finder.get(threadId, signal);
  }

  remove(threadId: ThreadId, signal?: AbortSignal): Promise<LiveThread | undefined> {
    return this.#lives.remove(threadId, signal);
  }

  locate(threadId: ThreadId) {
    return this.registry.locate(threadId);
  }

  lineageOf(threadId: ThreadId) {
    return this.registry.kin.lineageOf(threadId);
  }

  agentsUnder(threadId: ThreadId): ThreadId[] {
    return this.registry.kin.allUnder(threadId);
  }

  /** Ends a thread that nobody has seen, and deletes what was stored of it. */
  async discard(threadId: ThreadId): Promise<void> {
    const thread = await this.registry.find(threadId);
    if (thread === undefined) return;
    const { store } = thread.incarnation;
    await this.#lives.endBy(thread, "refused");
    await store.delete(threadId).catch((error: unknown) => {
      this.setup.logger.warn({ threadId, err: error }, "the rollout of an abandoned thread could not be deleted");
    });
  }

  // What handles ask for.

  load(thread: LiveThread, signal: AbortSignal | undefined): Promise<void> {
    return this.#finder.load(thread, signal);
  }

  async changeBudget(thread: LiveThread, change: BudgetChange): Promise<void> {
    await this.budgets.change(thread.id, thread.config, change);
  }

  async changePriority(thread: LiveThread, priority: Priority): Promise<void> {
    await this.load(thread, undefined);
    const { session } = thread.incarnation;
    session.configure({ ...session.config, priority });
    for (const threadId of [thread.id, ...this.agentsUnder(thread.id)]) this.turnSlots.rerank(threadId);
  }

  budgetOf(thread: LiveThread): Promise<BudgetUse | undefined> {
    return this.budgets.useOf(thread.id, thread.config);
  }

  async kill(thread: LiveThread): Promise<void> {
    await this.#lives.endBy(thread, "killed");
  }

  giveAway(threadId: ThreadId): Promise<void> {
    return this.#lives.giveAway(threadId);
  }

  restartsOf(threadId: ThreadId): RestartStanding {
    return this.#lives.down.standingOf(threadId);
  }

  noteObserved(thread: LiveThread): void {
    this.#lives.noteObserved(thread);
  }

  noteUndelivered({ id: to }: LiveThread, { op, id }: Pick<Handing, "op" | "id">, error: unknown): void {
    if (!this.messages.carries(id)) this.deadLetters.note({ to, id: id ?? null, message: op, error });
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

  /** Resolves when nothing is being written beside the thread any more. */
  async notesAtRest(threadId: ThreadId): Promise<void> {
    const { budgets, messages, timers, monitors, notices } = this;
    const all = [budgets.accounts, messages.mail, timers, monitors, notices];
    await Promise.all(all.map((one) => one.rest(threadId)));
  }

  capacity(): Capacity {
    return capacityOf(this);
  }

  shutdownTree(threadId: ThreadId, deadlineMs: number): Promise<ShutdownReport> {
    return shutDownTree(threadId, deadlineMs, { registry: this.registry, lives: this.#members, clock: this.clock });
  }

  left(): ReturnType<ThreadLives["left"]> {
    return this.#lives.left();
  }

  leftBeside(): ReturnType<AgentThreads["leftBeside"]> {
    const { groups, monitors, timers, budgets, notices } = this;
    return {
      ...groups.left(),
      ...{ watches: monitors.size, away: monitors.away, timers: timers.size },
      ...{ accounts: budgets.accounts.size, notices: notices.size },
    };
  }

  // The end.

  /** Ends everything, within the deadline. A second call gives the same report. */
  shutdown(deadlineMs: number): Promise<ShutdownReport> {
    this.#closing ??= shutDownManager(this, { lives: this.#lives, sweep: this.#sweep, deadlineMs }).finally(() =>
      this.#over.abort(new ManagerClosedError()),
    );
    return this.#closing;
  }

  get isClosing(): boolean {
    return this.#closing !== undefined;
  }
}
