/**
 * One life of a thread, from its boot to its end: binds the actor to the store, the turn and the event log.
 *
 * What it knows has three owners, each of which writes its own fields alone: what the session is (session.ts), its history
 * (thread-history.ts), and where its life stands (life.ts). What it says comes through one door (door.ts), the listener
 * that is attached before the actor starts.
 */

import type { AnyActorRef } from "xstate";

import {
  lifeOf,
  type Submission,
  type ThreadContext,
  type ThreadInput,
  type ThreadTag,
} from "../../machines/thread.machine.ts";

import type { TurnMachineEvent } from "../../machines/turn.machine.ts";
import { backoffDelay } from "../kernel/backoff.ts";
import { type Clock, sleep } from "../kernel/clock.ts";
import type { Release } from "../kernel/slots.ts";
import { textOfThrown } from "../kernel/thrown.ts";
import type { ModelClient, ModelRequest } from "../model/model-client.ts";
import { HeldFolders } from "../process/sandbox/held-folders.ts";
import { namedRoots } from "../process/sandbox/writable-area.ts";
import type { AgentStatus } from "../protocol/agent-status.ts";
import type { BuiltInToolName } from "../protocol/built-in-tool-names.ts";
import { type BudgetExceededError, InvalidRequestError, ThreadBusyError } from "../protocol/errors.ts";
import type { EventMsg, SessionConfiguredEvent } from "../protocol/event.ts";
import { INITIAL_SUBMISSION_ID, type SubmissionId, type ThreadId, toSubmissionId } from "../protocol/ids.ts";
import type { RolloutItem } from "../protocol/rollout.ts";
import { INSPECT, shownById } from "../protocol/shown-as.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";
import type { RateLimitSnapshot, TokenUsageInfo } from "../protocol/token-usage.ts";
import type { UserInput } from "../protocol/user-input.ts";
import type { SkillInjection } from "../services/skills-manager.ts";
import type { ThreadStore, ThreadWriter } from "../store/thread-store.ts";
import { INTERNAL_SUBMISSION } from "../turn/announcement.ts";
import { Approvals } from "../turn/approvals.ts";
import type { History } from "../turn/history.ts";
import { Inbox } from "../turn/inbox.ts";
import type { Told } from "../turn/initial-context.ts";
import type { Reservation } from "../turn/spending.ts";
import { noteTask } from "../turn/task-notes.ts";
import { inLogic, type TurnScope } from "../turn/tool-scope.ts";
import type { ToolSet } from "../turn/tool-set.ts";
import { Terminals } from "../turn/tools/exec/terminals.ts";
import { McpSession } from "../turn/tools/mcp/mcp-session.ts";
import type { TurnHost } from "../turn/turn-host.ts";
import type { TurnRun } from "../turn/turn-run.ts";
import { Door, type Refusal } from "./door.ts";
import { HostedThread } from "./hosted-thread.ts";
import { HouseTurn } from "./house-turn.ts";
import { sayLastWords } from "./last-words.ts";
import { Life } from "./life.ts";
import type { Activity, EndReason, LifeEnd } from "./life-end.ts";
import { actorOf, type LogicActor } from "./logic-actor.ts";
import type { OpenWork } from "./open-work.ts";
import { OwnLife } from "./own-life.ts";
import type { ChosenLogic, OwnLogicInput } from "./own-logic.ts";
import type { SubmittedOp } from "./own-turns.ts";
import { modelChanged, type Rebuilt } from "./rebuild.ts";
import { type Saved, StateKeeper } from "./saved-state.ts";
import { Session } from "./session.ts";
import { leaseTracing, type StoreWriteTrace, storeWriteTracing } from "./store-traces.ts";
import { SubmissionLedger } from "./submission-ledger.ts";
import type { ThreadEnv } from "./thread-env.ts";
import { ThreadHistory } from "./thread-history.ts";
import { ThreadTools } from "./thread-tools.ts";
import type { TurnResult } from "./turn-result.ts";

/** What an own logic's turns wait for. */
const scopeOf = (threadId: ThreadId, turns: OwnLife["turns"]): TurnScope => ({
  threadId,
  get isOver() {
    return !turns.hasOwed;
  },
  beginWait: () => turns.beginWait(),
  endWait: async () => turns.endWait(),
});

/** The tools whose commands and writes go into the sandbox. */
const confinesWhatItDoes = (tool: BuiltInToolName): boolean =>
  tool === "shell" || tool === "unified_exec" || tool === "apply_patch";

/** All incarnations of a manager that live. */
export type Incarnations = {
  /** By {@link lifeOf}: where provided implementations find them. */
  readonly byName: Map<string, Incarnation>;
  /** A thread was given an op, or has ended a turn. */
  readonly onActive: (incarnation: Incarnation) => void;
  /** A thread's life has ended, for whatever reason; told in that moment. */
  readonly onEnd: (incarnation: Incarnation) => void;
};

export type IncarnationOptions = {
  readonly env: ThreadEnv;
  readonly incarnations: Incarnations;
  readonly store: ThreadStore;
  readonly writer: ThreadWriter;
  readonly config: ResolvedThreadConfig;
  readonly tools: ToolSet;
  /** `new` also for a fork or a resume of a thread that has no history yet. */
  readonly origin: "new" | "resumed" | "forked";
  readonly logic: ChosenLogic;
  /** What the thread is to emit first. */
  readonly configured: SessionConfiguredEvent;
  /** The stored items, oldest first; null when they were not read. */
  readonly items?: readonly RolloutItem[] | null;
  /** What an own logic goes on from. */
  readonly saved?: Saved | undefined;
  /** What earlier lives have left undone, and this one is to go on with. */
  readonly work?: OpenWork | undefined;
};

type BootOptions = { readonly deadlineMs: number; readonly signal?: AbortSignal | undefined };

/** How long a turn's end is tried to be stored: about three seconds. */
const STORE_TRIES = 5;
const STORE_BACKOFF = { baseMs: 100, factor: 2 } as const;

const ACTIVITIES = ["idle", "closing", "rollingBack", "running", "answering"] as const satisfies ThreadTag[];

export class Incarnation implements TurnHost {
  readonly threadId: ThreadId;
  readonly env: ThreadEnv;
  readonly store: ThreadStore;
  readonly writer: ThreadWriter;
  readonly origin: IncarnationOptions["origin"];
  readonly actor: AnyActorRef;
  readonly session: Session;
  readonly past: ThreadHistory;
  readonly life: Life;
  readonly door: Door;
  readonly terminals = new Terminals();
  readonly folders = new HeldFolders();
  readonly #name: string;
  readonly #incarnations: Incarnations;
  readonly #tools: ThreadTools;
  /** Where the logic is an embedder's own. */
  readonly #own: OwnLife | undefined;
  readonly #logicThread: HostedThread | undefined;
  readonly #scope: TurnScope | undefined;
  #houseTurn: HouseTurn | undefined;
  readonly #made: LogicActor;
  readonly #keeper: StateKeeper | undefined;
  /** What earlier lives have left undone; until it is taken up. */
  #work: OpenWork | undefined;
  /** What the logic says that it keeps. */
  #state: unknown;
  #submissions = 0;
  #ledger: SubmissionLedger | undefined;
  #inbox: Inbox | undefined;
  #approvals: Approvals | undefined;
  #hasWarnedOfModel = false;
  /** The lease is given back. */
  #isReleased = false;

  constructor({
    env,
    incarnations,
    store,
    writer,
    logic,
    configured,
    items = null,
    saved,
    work,
    ...options
  }: IncarnationOptions) {
    this.#work = work;
    const { config, origin, tools } = options;
    const { threadId, epoch } = writer;
    this.threadId = threadId;
    this.env = env;
    this.store = store;
    this.writer = writer;
    this.origin = origin;
    this.#incarnations = incarnations;
    this.session = new Session(config);
    this.life = new Life(epoch, env.clock.now());
    this.past = new ThreadHistory(this, origin === "new");
    this.#tools = new ThreadTools(
      tools,
      () => new McpSession(env.mcp, (msg) => this.publish(INITIAL_SUBMISSION_ID, msg)),
    );
    const name: ThreadInput = { threadId, epoch };
    this.#name = lifeOf(name);
    if (logic.isOwn) {
      const life = new OwnLife(this, env.turnSlots, () => env.standingOf(threadId));
      this.#own = life;
      this.#logicThread = new HostedThread(this);
      this.#scope = scopeOf(threadId, life.turns);
    }
    this.door = new Door(this, configured, this.#own);
    const own: Omit<OwnLogicInput, keyof ThreadInput> | undefined = this.#logicThread && {
      config,
      extra: config.extra,
      sessionConfigured: configured,
      items,
      thread: this.#logicThread,
      ...(logic.keeps?.what === "state" && saved?.state !== undefined && { saved: saved.state }),
    };
    const input = { ...name, ...own };
    this.#made = actorOf(logic, { parent: env.parent, id: threadId, input }, saved);
    this.actor = shownById(this.#made.actor);
    this.#keeper = this.#keeperFor(logic);
    this.actor.on("*", (emitted: unknown) => this.hear(emitted));
    this.actor.subscribe({ error: (error) => this.end("crashed", error), complete: () => this.#complete() });
    // A thread that was deleted and made anew under its id begins with the same epoch.
    incarnations.byName.get(this.#name)?.end("lost");
    incarnations.byName.set(this.#name, this);
  }

  /** Ids alone: the environment, the store and the settings hang on it. */
  toJSON(): object {
    const { threadId, epoch, status } = this;
    return { threadId, epoch, status };
  }

  [INSPECT](): object {
    return this.toJSON();
  }

  /** Who stores the state of an own logic that keeps one. */
  #keeperFor({ keeps }: ChosenLogic): StateKeeper | undefined {
    if (keeps === undefined) return undefined;
    if (keeps.what === "state") return new StateKeeper(this, keeps.how, () => this.#state);
    const keeper = new StateKeeper(this, keeps.how, () => {
      const isActive = !this.hasEnded && this.sessionConfigured !== undefined;
      return isActive ? this.actor.getPersistedSnapshot() : undefined;
    });
    this.actor.subscribe({ next: () => keeper.note(), error: () => undefined });
    return keeper;
  }

  /** @throws InvalidRequestError for a logic that was not defined to keep any */
  saveState(state: unknown): void {
    if (this.#keeper === undefined) {
      throw new InvalidRequestError('save: this logic keeps no state; define it with `persist: "snapshot"`');
    }
    this.#state = state;
    this.#keeper.note();
  }

  complain(what: string): void {
    this.#own?.complain(what);
  }

  // The beginning.

  /**
   * Starts the actor and gives it its session. Answers at once when the first event comes at once.
   *
   * @throws SessionConfiguredNotFirstEventError (S4), also when nothing comes within `deadlineMs`; or the signal's reason.
   *   The actor is then closed; what to do with the rollout is the caller's.
   */
  boot(msg: SessionConfiguredEvent, options: BootOptions): SessionConfiguredEvent | Promise<SessionConfiguredEvent> {
    this.#holdFolders();
    const { isRestored, problem } = this.#made;
    // In the state that it is in, it may have no ear for its configuration.
    if (isRestored) this.hear({ type: msg.type, id: INITIAL_SUBMISSION_ID, msg });
    this.#inLogic(() => {
      this.actor.start();
      if (!isRestored) this.actor.send({ type: "session.configure", msg });
    });
    if (this.sessionConfigured !== undefined) {
      if (problem !== undefined) this.complain(`it starts anew, since ${problem}`);
      return this.sessionConfigured;
    }
    if (this.door.refusal !== undefined || this.hasEnded) throw this.door.refuse(this.#endedEarly());
    return this.#awaitFirst(options);
  }

  /** From the start on, so that no command of another thread can swap them before this thread's first one. */
  #holdFolders(): void {
    const { builtInTools, sandboxPolicy: policy, cwd } = this.config;
    if (!builtInTools.some(confinesWhatItDoes)) return;
    this.folders.hold(namedRoots({ policy, cwd, environment: this.env.commandEnvironment }));
  }

  async #awaitFirst({ deadlineMs, signal }: BootOptions): Promise<SessionConfiguredEvent> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const settle = () => resolve();
    this.door.onFirst(settle);
    const observer = this.actor.subscribe({ complete: settle, error: settle });
    const timer = this.clock.setTimeout(settle, deadlineMs);
    signal?.addEventListener("abort", settle, { once: true });
    if (signal?.aborted) settle();
    await promise;
    observer.unsubscribe();
    this.clock.clearTimeout(timer);
    signal?.removeEventListener("abort", settle);
    this.door.onFirst(undefined);
    if (this.sessionConfigured !== undefined) return this.sessionConfigured;
    const silent = { detail: `no event came within ${deadlineMs} ms` };
    const refusal = this.door.refuse(this.hasEnded ? this.#endedEarly() : silent);
    if (signal?.aborted) throw signal.reason;
    throw refusal;
  }

  /** Whether the actor has ended, by itself or by a failure. */
  get hasEnded(): boolean {
    return this.actor.getSnapshot().status !== "active";
  }

  #endedEarly(): Refusal {
    const { status, error } = this.actor.getSnapshot() as { status: string; error?: unknown };
    return {
      detail: status === "error" ? `the thread logic failed: ${textOfThrown(error)}` : "the thread logic ended",
      cause: error,
    };
  }

  /** What the thread said first; undefined until then. */
  get sessionConfigured(): SessionConfiguredEvent | undefined {
    return this.door.configured;
  }

  // What comes through the door.

  hear(emitted: unknown): void {
    this.door.hear(emitted);
  }

  noteRefused(): void {
    this.end("refused");
  }

  noteLastWord(): void {
    this.end("closed");
  }

  /** From now on the history is only kept as long as there is room for it (T9). */
  noteTurnEnd(): void {
    this.touch();
    this.keepHistory();
  }

  publish(id: SubmissionId, msg: EventMsg, options?: { recorded: true }): void {
    if (this.#speaks) {
      this.actor.send({ type: "event.publish", id, msg, ...options });
      return;
    }
    if (this.turn?.id === id || this.#houseTurn?.id === id) this.#own?.noteHouse(id, msg);
    this.door.admit({ kind: "event", id, msg, recorded: options?.recorded === true });
    this.#houseTurn?.hear(id, msg);
  }

  record(item: RolloutItem): void {
    if (this.#speaks) this.actor.send({ type: "rollout.record", item });
    else this.door.admit({ kind: "record", item });
    if (item.type === "compacted") this.#ledger?.repeat();
  }

  /** The turn's end is about to be stored: what waits behind it is to be found by whoever goes on. */
  noteEnding(): void {
    if (this.config.recovery === "continue") this.#ledger?.repeat();
  }

  /** A call waits for its approval, and has done nothing so far; or may begin now, which is stored before it does. */
  async noteAsking(run: TurnRun, callId: string, state: "asking" | "begun"): Promise<void> {
    noteTask(this, run, { asking: { call_id: callId, open: state === "asking" } });
    if (state === "begun" && run.config.recovery === "continue") await this.flush();
  }

  /** Whether this life goes on with what the submission has asked for in an earlier one. */
  goesOnWith(id: SubmissionId): boolean {
    const { task, queue = [], held = [] } = this.#work ?? {};
    return task?.id === id || queue.some((each) => each.id === id) || held.some((op) => op.submission.id === id);
  }

  /** What earlier lives have left undone: once, for whoever has this life take it up. */
  claimWork(): OpenWork | undefined {
    const work = this.#work;
    this.#work = undefined;
    return work;
  }

  /** Whether what is said of the thread goes through its actor. One that has ended, or is another's, gets no word to say. */
  get #speaks(): boolean {
    return this.ended === undefined && this.#own === undefined;
  }

  // What the session is.

  get epoch(): number {
    return this.life.epoch;
  }

  get config(): ResolvedThreadConfig {
    return this.session.config;
  }

  get status(): AgentStatus {
    return this.session.status;
  }

  get told(): Told | undefined {
    return this.session.told;
  }

  noteTold(told: Told): void {
    this.session.noteTold(told);
  }

  get usage(): TokenUsageInfo | undefined {
    return this.session.usage;
  }

  noteUsage(usage: TokenUsageInfo): void {
    this.session.noteUsage(usage);
  }

  get rateLimits(): RateLimitSnapshot | undefined {
    return this.session.rateLimits;
  }

  noteRateLimits(rateLimits: RateLimitSnapshot): void {
    this.session.noteRateLimits(rateLimits);
  }

  /** SPEC 5.1: said once, of a resumed thread that was recorded with another model. */
  warnOfModel(recorded: string | undefined): void {
    if (this.origin !== "resumed" || recorded === undefined || this.#hasWarnedOfModel) return;
    this.#hasWarnedOfModel = true;
    if (recorded !== this.config.model) this.publish(INTERNAL_SUBMISSION, modelChanged(recorded, this.config.model));
  }

  // Its history.

  get history(): History | undefined {
    return this.past.history;
  }

  get isFresh(): boolean {
    return this.past.isFresh;
  }

  openHistory(signal: AbortSignal): Promise<void> | undefined {
    return this.past.open(signal);
  }

  keepHistory(): void {
    this.past.keep();
  }

  /** The stored lines were read. */
  recall(rebuilt: Rebuilt): void {
    this.session.recall(rebuilt);
    this.warnOfModel(rebuilt.model);
  }

  // What is submitted to it.

  get inbox(): Inbox {
    this.#inbox ??= new Inbox();
    return this.#inbox;
  }

  /** The submissions that the thread has seen. */
  get ledger(): SubmissionLedger {
    this.#ledger ??= new SubmissionLedger(this);
    return this.#ledger;
  }

  /** How many submission ids the thread's own counter has given. */
  get submissions(): number {
    return this.#submissions;
  }

  nextSubmissionId(): SubmissionId {
    return toSubmissionId(String(this.#submissions++));
  }

  noteTaken(id: SubmissionId): void {
    this.#ledger?.noteTaken(id);
  }

  get waitingOps(): number {
    const { deferred = [], questions = [] } = this.remembered;
    return deferred.length + questions.length + (this.#inbox?.size ?? 0) + this.#heldByLogic;
  }

  /** Ops that wait for an own logic's turns, or that it was given and has not begun with. */
  get #heldByLogic(): number {
    if (this.#own === undefined) return 0;
    const { waiting, unnamed } = this.#own.turns;
    return waiting + Math.max(unnamed, this.#logicThread?.unread ?? 0);
  }

  /** The logic has its turns one at a time. */
  holdWhileRunning(): void {
    this.#own?.turns.holdWhileRunning();
  }

  /** The task that the op is held for. */
  taskOf(id: SubmissionId): SubmissionId | undefined {
    return this.#inbox?.taskOf(id);
  }

  /** Whether an own logic was given the input, which stands in no line yet. */
  holds(id: SubmissionId): boolean {
    return this.#own?.holds(id) === true;
  }

  /** Whether the turn runs, or waits for its turn. */
  isAtWorkOn(turnId: string): boolean {
    if (this.turn?.turnId === turnId || this.session.openTurn?.msg.turn_id === turnId) return true;
    const { queue = [] } = this.remembered;
    return queue.some((task) => (task.turnId ?? task.id) === turnId);
  }

  /** Gives the op to the logic: at once, or when a turn of an own logic's may run. */
  take(event: SubmittedOp): void {
    if (event.op.type === "shutdown") {
      this.life.askToEnd();
      this.#keeper?.close();
      this.#logicThread?.close();
    }
    if (this.#own === undefined) this.deliver(event);
    else this.#own.give(event);
    const { op } = event;
    const isAnswer = op.type === "exec_approval" || op.type === "patch_approval";
    if (isAnswer && op.decision === "abort") this.#houseTurn?.interrupt();
  }

  deliver(event: SubmittedOp): void {
    this.#logicThread?.offer(event);
    this.#inLogic(() => this.actor.send(event));
    if (event.op.type === "interrupt") this.#houseTurn?.interrupt();
  }

  /** What an own logic does from here on is part of its turns. */
  #inLogic(work: () => void): void {
    if (this.#scope === undefined) work();
    else inLogic(this.#scope, work);
  }

  /** Has the house run a turn for an own logic. @throws InvalidRequestError while one runs */
  async runHouseTurn(submission: Submission, signal: AbortSignal): Promise<TurnResult<never>> {
    if (this.#houseTurn !== undefined) {
      throw new InvalidRequestError("startTurn: the thread runs such a turn already; await it before the next one");
    }
    const turn = new HouseTurn(this, submission);
    this.#houseTurn = turn;
    const waits = this.#own?.turns;
    waits?.beginWait();
    try {
      return await turn.run(signal);
    } finally {
      this.#houseTurn = undefined;
      const back = waits?.endWait();
      if (back !== undefined) await back;
    }
  }

  /** A request of an own logic's works in the place of its turn. */
  workInTurn(signal: AbortSignal): Release | Promise<Release> {
    return this.#own?.turns.work(signal) ?? (() => undefined);
  }

  /** The logic itself only waits for what works. */
  async whileAsking<T>(work: () => Promise<T>): Promise<T> {
    this.#own?.turns.beginWait();
    try {
      return await work();
    } finally {
      await this.#own?.turns.endWait();
    }
  }

  // What a turn needs of its thread.

  get clock(): Clock {
    return this.env.clock;
  }

  get logger() {
    return this.env.logger;
  }

  get historyMode() {
    return this.writer.historyMode;
  }

  get model(): ModelClient {
    return this.env.modelFor(this.config);
  }

  contextWindow(model: string, provider: string): number | null {
    return this.env.contextWindow(model, provider);
  }

  get turn(): TurnRun | undefined {
    return this.life.turn;
  }

  beginTurn(run: TurnRun): void {
    this.life.beginTurn(run);
  }

  endTurn(): void {
    this.life.endTurn();
  }

  get approvals(): Approvals {
    this.#approvals ??= new Approvals((pending) => this.env.approvals.note(this, pending));
    return this.#approvals;
  }

  get tools(): ToolSet {
    return this.#tools.current;
  }

  get mcp(): McpSession {
    return this.#tools.mcp;
  }

  openTools(signal: AbortSignal): Promise<void> | undefined {
    return this.#tools.open(this.config.mcpServers, signal);
  }

  skillsFor(items: readonly UserInput[]): Promise<SkillInjection> {
    return this.env.skills.injectionFor(this.config.cwd, items);
  }

  reserveRequest(run: TurnRun, { model }: ModelRequest): Promise<Reservation | undefined> | undefined {
    const estimate = () => (this.history?.estimatedTokens ?? 0) + (this.usage?.last_token_usage.output_tokens ?? 0);
    return this.env.budgets.reserve(this, run, { model, estimate });
  }

  /** A budget is used up: the turn ends as by an interrupt; a question of an own logic's fails. */
  cutShort(run: TurnRun, why: BudgetExceededError): void {
    if (this.#own === undefined || run === this.turn)
      this.signalTurn({ type: "turn.interrupt", reason: "interrupted" });
    else run.abort(why);
  }

  reserveTurn(signal: AbortSignal): Release | Promise<Release> {
    if (this.#own !== undefined) return this.#own.turns.work(signal);
    return this.env.turnSlots.acquire(signal, () => this.env.standingOf(this.threadId));
  }

  returnTurn(signal: AbortSignal): Release | Promise<Release> {
    if (this.#own !== undefined) return this.#own.turns.work(signal);
    return this.env.turnSlots.reacquire(signal, this.threadId);
  }

  closeInput({ id }: TurnRun): void {
    // Input for an own logic never joins a turn of the house.
    if (this.#own !== undefined) return;
    this.actor.send({ type: "turn.ending", task: id });
  }

  signalTurn(event: TurnMachineEvent): void {
    if (this.#own !== undefined) {
      this.#houseTurn?.send(event);
      return;
    }
    const snapshot = this.actor.getSnapshot() as { children?: Record<string, AnyActorRef | undefined> };
    snapshot.children?.turn?.send(event);
  }

  flush(): Promise<void> {
    return this.#stored("flush");
  }

  sync(): Promise<void> {
    return this.#stored("sync");
  }

  #stored(kind: StoreWriteTrace["kind"]): Promise<void> {
    const { threadId, env, session, writer } = this;
    return storeWriteTracing.run(
      () => ({
        scope: env.scope,
        threadId,
        turnId: this.turn?.turnId ?? session.openTurn?.msg.turn_id ?? undefined,
        kind,
      }),
      () => writer[kind](),
    );
  }

  /** Stores what was said, and gives the lease back. */
  closeWriter(): Promise<void> {
    const { threadId, epoch, env, writer } = this;
    if (this.#isReleased) return writer.close();
    return leaseTracing.run(
      () => ({ scope: env.scope, threadId, kind: "release", epoch }),
      async () => {
        await writer.close();
        this.#isReleased = true;
      },
    );
  }

  async syncOrEnd(): Promise<void> {
    for (let attempt = 1; this.ended === undefined; attempt += 1) {
      try {
        await this.sync();
        return;
      } catch (error) {
        this.#noteStoreFailure(error);
        if (attempt > STORE_TRIES) this.end("lost", error);
        else if (this.ended === undefined) await sleep(this.clock, backoffDelay(attempt, STORE_BACKOFF));
      }
    }
  }

  /** A write has failed. One that can't succeed any more, since another writer has the thread, ends this life. */
  #noteStoreFailure(error: unknown): void {
    if (error instanceof ThreadBusyError) this.end("lost", error);
  }

  // What it does.

  /** The thread is in use. */
  touch(): void {
    this.life.touch(this.clock.now());
    this.#incarnations.onActive(this);
  }

  /** What the thread does. The built-in logic says so by the tags of its state, any other by its events. */
  get activity(): Activity {
    if (this.ended !== undefined || this.hasEnded) return "gone";
    if (this.sessionConfigured === undefined) return "starting";
    if (this.#own !== undefined) return this.#own.turns.isBusy || this.status === "running" ? "running" : "idle";
    return ACTIVITIES.find((tag) => this.#hasTag(tag)) ?? "idle";
  }

  /** Whether input that comes now joins the running turn. */
  get takesInput(): boolean {
    return this.#own === undefined ? this.#hasTag("takesInput") : this.#own.turns.takesInput;
  }

  #hasTag(tag: ThreadTag): boolean {
    const { tags } = this.actor.getSnapshot() as { tags?: ReadonlySet<string> };
    return tags?.has(tag) ?? false;
  }

  /** The turn that runs, as an own logic has announced it. */
  get ownTurn(): OwnLife["turns"]["running"] {
    return this.#own?.turns.running;
  }

  /** Whether the thread may leave memory: it has nothing to do, and holds nothing that would end with it. */
  get isIdle(): boolean {
    return this.activity === "idle" && !this.past.isLoading && !this.terminals.areBusy;
  }

  /** What the machine remembers, where the logic is the built-in one. */
  get remembered(): Partial<ThreadContext> {
    if (this.#own !== undefined) return {};
    const { context } = this.actor.getSnapshot() as { context?: Partial<ThreadContext> };
    return Array.isArray(context?.deferred) ? context : {};
  }

  // The end.

  /** How this life ended; undefined while it lasts. */
  get ended(): LifeEnd | undefined {
    return this.life.ended;
  }

  /**
   * Ends an own logic that has not ended by itself when it was asked to, and has no turn to finish: what it had to say is
   * said. False for any other.
   */
  retire(): boolean {
    if (this.#own === undefined || this.ended !== undefined || this.#own.turns.running !== undefined) return false;
    this.#own.shutDown();
    return true;
  }

  /** The actor has come to its end by itself. */
  #complete(): void {
    if (this.sessionConfigured !== undefined && this.ended === undefined) this.#own?.complete();
    this.end("closed");
  }

  /**
   * Ends this life: shuts the door, stops the actor and whatever it runs, and lets go of all memory. Synchronous and
   * idempotent; its owner ends the writer, since closing it takes time.
   *
   * @param error what it crashed of, or what made its end necessary
   */
  end(reason: EndReason, error?: unknown): void {
    const end = this.life.end(reason, error);
    if (end === undefined) return;
    const { threadId, epoch } = this;
    this.logger.debug({ threadId, epoch, reason }, "life ended");
    if (this.sessionConfigured !== undefined) sayLastWords(this, end, this.#own);
    this.door.shut();
    this.#logicThread?.close();
    const why = new DOMException("the thread has ended", "AbortError");
    this.turn?.abort(why);
    this.turn?.vacate();
    this.endTurn();
    this.#tools.close();
    this.terminals.kill();
    void this.folders.dispose();
    this.past.close(why);
    const { byName, onEnd } = this.#incarnations;
    if (byName.get(this.#name) === this) byName.delete(this.#name);
    if (!this.hasEnded) this.env.stop(this.actor);
    onEnd(this);
  }
}
