/**
 * One life of a thread, from its boot to its end: binds the actor to the store, the turn and the event log.
 *
 * Everything that a thread says comes through one door, the listener that is attached before the actor starts. The door
 * stores what must last, takes it into the history, stamps it into the log and shows it, in this order (T7). Nothing
 * else appends, nothing else shows. After the end the door is shut: late events of an old incarnation are dropped (S7).
 */

import { type AnyActorRef, createActor } from "xstate";
import {
  isEmptyInput,
  lifeOf,
  refusal,
  type Submission,
  type ThreadContext,
  type ThreadInput,
  type ThreadTag,
  taskKindOf,
} from "../../machines/thread.machine.ts";
import { backoffDelay } from "../kernel/backoff.ts";
import { raceAbort } from "../kernel/cancellation.ts";
import { type Clock, sleep } from "../kernel/clock.ts";
import { EventLog } from "../kernel/event-log.ts";
import type { Release } from "../kernel/slots.ts";
import { textOfThrown } from "../kernel/thrown.ts";
import type { ModelClient } from "../model/model-client.ts";
import { HeldFolders } from "../process/sandbox/held-folders.ts";
import { namedRoots } from "../process/sandbox/writable-area.ts";
import type { AgentStatus } from "../protocol/agent-status.ts";
import type { BuiltInToolName } from "../protocol/built-in-tool-names.ts";
import { SessionConfiguredNotFirstEventError, ThreadBusyError } from "../protocol/errors.ts";
import type { ErrorEvent, EventMsg, SessionConfiguredEvent, TaskStartedEvent, ThreadEvent } from "../protocol/event.ts";
import { INITIAL_SUBMISSION_ID, isUuid, type SubmissionId, type ThreadId, toSubmissionId } from "../protocol/ids.ts";
import { isPersisted } from "../protocol/persistence.ts";
import type { ResponseItem } from "../protocol/response-item.ts";
import type { RolloutItem } from "../protocol/rollout.ts";
import { INSPECT, shownById } from "../protocol/shown-as.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";
import type { RateLimitSnapshot, TokenUsageInfo } from "../protocol/token-usage.ts";
import type { UserInput } from "../protocol/user-input.ts";
import type { SkillInjection } from "../services/skills-manager.ts";
import type { ThreadStore, ThreadWriter } from "../store/thread-store.ts";
import { agentStatusAfter } from "../turn/agent-status-after.ts";
import { INTERNAL_SUBMISSION } from "../turn/announcement.ts";
import { Approvals } from "../turn/approvals.ts";
import { History } from "../turn/history.ts";
import { Inbox } from "../turn/inbox.ts";
import type { Told } from "../turn/initial-context.ts";
import type { ToolSet } from "../turn/tool-set.ts";
import type { BuiltInTool } from "../turn/tools/built-in-tool.ts";
import { Terminals } from "../turn/tools/exec/terminals.ts";
import { McpSession } from "../turn/tools/mcp/mcp-session.ts";
import { endTurns } from "../turn/turn-actors.ts";
import type { TurnHost } from "../turn/turn-host.ts";
import type { TurnRun } from "../turn/turn-run.ts";
import { type Emission, guardFirst, readEmission, readFirst } from "./emitted.ts";
import type { HistoryHolder } from "./history-cache.ts";
import { HistoryLoader } from "./history-loader.ts";
import { HostedThread } from "./hosted-thread.ts";
import { type Activity, type EndReason, interruptionOf, type LifeEnd } from "./life-end.ts";
import { OwnLife } from "./own-life.ts";
import type { ChosenLogic, OwnLogicInput } from "./own-logic.ts";
import type { SubmittedOp } from "./own-turns.ts";
import { modelChanged } from "./rebuild.ts";
import { SubmissionLedger } from "./submission-ledger.ts";
import type { Handing } from "./submissions.ts";
import type { ThreadEnv } from "./thread-env.ts";

/** The tools whose commands and writes go into the sandbox. */
const confinesWhatItDoes = (tool: BuiltInToolName): boolean =>
  tool === "shell" || tool === "unified_exec" || tool === "apply_patch";

export type IncarnationOptions = {
  readonly env: ThreadEnv;
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
};

/** Whoever shows a thread's events to its observers. */
export interface EventSink {
  notify(event: ThreadEvent): void;
}

/** How long a turn's end is tried to be stored: about three seconds. */
const STORE_TRIES = 5;
const STORE_BACKOFF = { baseMs: 100, factor: 2 } as const;

/** What a thread that did not end on purpose says of it. */
function failureOf(reason: EndReason, error: unknown): ErrorEvent | undefined {
  if (reason === "crashed") {
    return { type: "error", message: `the thread crashed: ${textOfThrown(error)}`, codex_error_info: "other" };
  }
  if (reason !== "lost") return undefined;
  return error instanceof ThreadBusyError
    ? { type: "error", message: `the thread was taken over: ${error.message}`, codex_error_info: "lease_lost" }
    : {
        type: "error",
        message: `the thread can't be stored: ${textOfThrown(error)}`,
        codex_error_info: "store_failed",
      };
}

const ACTIVITIES = ["idle", "closing", "rollingBack", "running", "answering"] as const satisfies ThreadTag[];

export class Incarnation implements TurnHost, HistoryHolder {
  readonly threadId: ThreadId;
  readonly epoch: number;
  readonly env: ThreadEnv;
  readonly store: ThreadStore;
  readonly writer: ThreadWriter;
  readonly #life: string;
  tools: ToolSet;
  readonly log: EventLog<ThreadEvent>;
  readonly actor: AnyActorRef;
  /** The handle that the thread's observers are attached to. */
  sink: EventSink | undefined;
  config: ResolvedThreadConfig;
  readonly origin: IncarnationOptions["origin"];
  isFresh: boolean;
  told: Told | undefined;
  usage: TokenUsageInfo | undefined;
  rateLimits: RateLimitSnapshot | undefined;
  turn: TurnRun | undefined;
  readonly terminals = new Terminals();
  readonly folders = new HeldFolders();
  history: History | undefined;
  status: AgentStatus = "pending_init";
  /** What the last turn failed by, which {@link status} does not say once that turn is complete. */
  #lastError: string | undefined;
  sessionConfigured: SessionConfiguredEvent | undefined;
  /** Unix milliseconds of the last op or turn end. */
  lastActiveAt: number;
  #submissions = 0;
  #ledger: SubmissionLedger | undefined;
  #end: LifeEnd | undefined;
  /** Nothing comes through the door any more. */
  #isShut = false;
  /** How the turn began that has not ended, as told by the events. */
  #openTurn: { readonly id: SubmissionId; readonly msg: TaskStartedEvent } | undefined;
  #leaving: Promise<void> | undefined;
  #inbox: Inbox | undefined;
  #approvals: Approvals | undefined;
  /** The tools that need no connection. */
  readonly #ownTools: ToolSet;
  #mcp: McpSession | undefined;
  #mcpTools: readonly BuiltInTool[] = [];
  #loader: HistoryLoader | undefined;
  #refusal: SessionConfiguredNotFirstEventError | undefined;
  #onFirst: (() => void) | undefined;
  #prepared: SessionConfiguredEvent | undefined;
  #hasWarnedOfModel = false;
  /** Where the logic is an embedder's own. */
  readonly #own: OwnLife | undefined;
  readonly #logicThread: HostedThread | undefined;

  constructor({ env, store, writer, config, tools, origin, logic, configured, items = null }: IncarnationOptions) {
    this.threadId = writer.threadId;
    this.epoch = writer.epoch;
    this.env = env;
    this.store = store;
    this.writer = writer;
    this.tools = tools;
    this.#ownTools = tools;
    this.config = config;
    this.origin = origin;
    this.isFresh = origin === "new";
    this.lastActiveAt = env.clock.now();
    this.log = new EventLog({ capacity: env.eventCapacity, guard: guardFirst });
    const name: ThreadInput = { threadId: this.threadId, epoch: this.epoch };
    this.#life = lifeOf(name);
    this.#prepared = configured;
    if (logic.isOwn) {
      this.#own = new OwnLife(this, env.turnSlots);
      this.#logicThread = new HostedThread(this);
    }
    const own: Omit<OwnLogicInput, keyof ThreadInput> | undefined = this.#logicThread && {
      config,
      extra: config.extra,
      sessionConfigured: configured,
      items,
      thread: this.#logicThread,
    };
    const input = { ...name, ...own };
    this.actor = shownById(createActor(logic.logic, { parent: env.parent, id: this.threadId, input }));
    this.actor.on("*", (emitted: unknown) => this.hear(emitted));
    this.actor.subscribe({ error: (error) => this.end("crashed", error), complete: () => this.#complete() });
    // A thread that was deleted and made anew under its id begins with the same epoch.
    env.incarnations.get(this.#life)?.end("lost");
    env.incarnations.set(this.#life, this);
  }

  /** Ids alone: the environment, the store and the settings hang on it. */
  toJSON(): object {
    const { threadId, epoch, status } = this;
    return { threadId, epoch, status };
  }

  [INSPECT](): object {
    return this.toJSON();
  }

  /**
   * Starts the actor and gives it its session. Answers at once when the first event comes at once.
   *
   * @throws SessionConfiguredNotFirstEventError (S4), also when nothing comes within `deadlineMs`; or the signal's reason.
   *   The actor is then closed; what to do with the rollout is the caller's.
   */
  boot(options: {
    deadlineMs: number;
    signal?: AbortSignal | undefined;
  }): SessionConfiguredEvent | Promise<SessionConfiguredEvent> {
    const msg = this.#prepared;
    this.#holdFolders();
    this.actor.start();
    this.actor.send({ type: "session.configure", msg });
    if (this.sessionConfigured !== undefined) return this.sessionConfigured;
    if (this.#refusal !== undefined || this.hasEnded) throw this.#refuse(this.#endedEarly());
    return this.#awaitFirst(options);
  }

  /** From the start on, so that no command of another thread can swap them before this thread's first one. */
  #holdFolders(): void {
    const { builtInTools, sandboxPolicy: policy, cwd } = this.config;
    if (!builtInTools.some(confinesWhatItDoes)) return;
    this.folders.hold(namedRoots({ policy, cwd, environment: this.env.commandEnvironment }));
  }

  async #awaitFirst({ deadlineMs, signal }: { deadlineMs: number; signal?: AbortSignal | undefined }) {
    const { promise, resolve } = Promise.withResolvers<void>();
    const settle = () => resolve();
    this.#onFirst = settle;
    const observer = this.actor.subscribe({ complete: settle, error: settle });
    const timer = this.clock.setTimeout(settle, deadlineMs);
    signal?.addEventListener("abort", settle, { once: true });
    if (signal?.aborted) settle();
    await promise;
    observer.unsubscribe();
    this.clock.clearTimeout(timer);
    signal?.removeEventListener("abort", settle);
    this.#onFirst = undefined;
    if (this.sessionConfigured !== undefined) return this.sessionConfigured;
    const silent = { detail: `no event came within ${deadlineMs} ms` };
    const refusal = this.#refuse(this.hasEnded ? this.#endedEarly() : silent);
    if (signal?.aborted) throw signal.reason;
    throw refusal;
  }

  /** How this life ended; undefined while it lasts. */
  get ended(): LifeEnd | undefined {
    return this.#end;
  }

  get endReason(): EndReason | undefined {
    return this.#end?.reason;
  }

  /** While the thread leaves memory: resolves when it has, or stays after all. New ops wait for it. */
  get leaving(): Promise<void> | undefined {
    return this.#leaving;
  }

  /** The thread begins to leave memory: it takes no more ops until `done`. */
  leave(done: Promise<void>): void {
    this.#leaving = done;
  }

  /** It stays after all, or has left. */
  left(): void {
    this.#leaving = undefined;
  }

  /** Whether the actor has ended, by itself or by a failure. */
  get hasEnded(): boolean {
    return this.actor.getSnapshot().status !== "active";
  }

  #endedEarly(): { detail: string; cause?: unknown } {
    const { status, error } = this.actor.getSnapshot() as { status: string; error?: unknown };
    return {
      detail: status === "error" ? `the thread logic failed: ${textOfThrown(error)}` : "the thread logic ended",
      cause: error,
    };
  }

  #refuse(why: { received?: string; detail?: string; cause?: unknown }): SessionConfiguredNotFirstEventError {
    this.#refusal ??= new SessionConfiguredNotFirstEventError(why);
    this.end("refused");
    return this.#refusal;
  }

  /** What the actor emits. That of an embedder's own logic is outside data, and read first. */
  hear(emitted: unknown): void {
    if (this.#own === undefined) this.#admit([readEmission(emitted)]);
    else if (!this.#isShut) this.#admit(this.#own.read(emitted, this.sessionConfigured === undefined));
    this.#own?.noteRecorded();
  }

  #admit(emissions: readonly Emission[]): void {
    for (const emission of emissions) {
      if (this.#isShut) return;
      try {
        if (this.sessionConfigured === undefined) {
          this.#admitFirst(emission);
        } else if (emission.kind === "record") {
          this.writer.append(emission.item);
          if (this.#own !== undefined && emission.item.type === "response_item") this.#noteItem(emission.item.payload);
        } else if (emission.kind === "event") {
          this.#admitEvent(emission);
        } else {
          this.env.logger.warn({ threadId: this.threadId, type: emission.type }, "a thread emitted what is no event");
        }
      } catch (error) {
        this.env.logger.error({ threadId: this.threadId, err: error }, "an event could not be admitted");
      }
    }
  }

  #admitFirst(emission: Emission): void {
    const first = readFirst(emission);
    if ("received" in first) {
      this.#refuse(first);
      this.#onFirst?.();
      return;
    }
    const prepared = this.#prepared ?? first.configured;
    const { configured, wrong } = this.#own?.configured(first.configured, prepared) ?? { ...first, wrong: [] };
    this.sessionConfigured = configured;
    this.#prepared = undefined;
    this.#show(INITIAL_SUBMISSION_ID, configured);
    this.#own?.reportFirst(wrong);
    this.#onFirst?.();
  }

  #admitEvent({ id, msg, recorded }: { id: SubmissionId; msg: EventMsg; recorded: boolean }): void {
    if (msg.type === "raw_response_item") {
      this.writer.append({ type: "response_item", payload: msg.item });
      this.#noteItem(msg.item);
    } else if (!recorded && isPersisted(msg, this.writer.historyMode)) {
      this.writer.append({ type: "event_msg", payload: msg });
    }
    if (!this.#isBesideTurn(msg)) {
      this.status = agentStatusAfter(this.status, msg);
      if (msg.type === "task_started") this.#openTurn = { id, msg };
      if (msg.type === "task_started" || msg.type === "task_complete") this.#lastError = errorOf(msg);
      if (msg.type === "task_complete" || msg.type === "turn_aborted") {
        this.#openTurn = undefined;
        this.#rest();
      }
    }
    this.#show(id, msg);
    // However its logic goes on: what has said its last word has ended.
    if (this.#own !== undefined && msg.type === "shutdown_complete") this.end("closed");
  }

  #noteItem(item: ResponseItem): void {
    this.isFresh = false;
    this.history?.append(item);
    this.#loader?.noteRecorded();
  }

  /** An input without items is over at once (SPEC 4.8): while a turn runs, that says nothing of the thread. */
  #isBesideTurn(msg: EventMsg): boolean {
    return this.turn !== undefined && msg.type === "task_complete" && msg.turn_id === undefined;
  }

  /** A turn has ended: from now on the history is only kept as long as there is room for it (T9). */
  #rest(): void {
    this.touch();
    this.keepHistory();
  }

  #show(id: SubmissionId, msg: EventMsg): void {
    const { threadId, epoch } = this;
    const event = this.log.append((seq) => ({ threadId, seq, epoch, id, msg }));
    this.sink?.notify(event);
    this.env.onEvent(event);
  }

  /** As {@link status}, for whoever started the thread: a turn that failed is told as failed. */
  get outcome(): AgentStatus {
    const { status } = this;
    const isDone = typeof status === "object" && "completed" in status;
    return isDone && this.#lastError !== undefined ? { errored: this.#lastError } : status;
  }

  /** The thread is in use. */
  touch(): void {
    this.lastActiveAt = this.clock.now();
    this.env.onActive(this);
  }

  /** What is in memory stays there only as long as there is room for it. */
  keepHistory(): void {
    if (this.history !== undefined && this.turn === undefined) this.env.histories.keep(this);
  }

  // What a turn needs of its thread.

  get clock(): Clock {
    return this.env.clock;
  }

  get model(): ModelClient {
    return this.env.modelFor(this.config);
  }

  contextWindow(model: string, provider: string): number | null {
    return this.env.contextWindow(model, provider);
  }

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

  /** Whether the turn runs, or waits for its turn. */
  isAtWorkOn(turnId: string): boolean {
    if (this.turn?.turnId === turnId || this.#openTurn?.msg.turn_id === turnId) return true;
    const { queue = [] } = this.#context();
    return queue.some((task) => (task.turnId ?? task.id) === turnId);
  }

  /** The op was given to the thread: whatever of it nothing else will store, is stored now (T7). */
  noteSubmission(submission: Submission, { id: chosen, isNew, durability }: Handing): void {
    const { id, turnId: named } = submission;
    const { turn } = this;
    const task = this.#inbox?.taskOf(id);
    const starts = taskKindOf(submission.op) !== undefined;
    const { deferred, queue = [] } = this.#context();
    const joined = task === turn?.id ? turn?.turnId : queue.find((waiting) => waiting.id === task)?.turnId;
    const own = named ?? (starts && isUuid(id) ? id : undefined);
    const hasBegun = turn?.id === id || this.#openTurn?.id === id;
    const isHeld = this.#own?.holds(id) === true;
    const isWaiting =
      isHeld ||
      (deferred !== undefined && (task !== undefined || (starts && !hasBegun && !isEmptyInput(submission.op))));
    const isNamed = chosen !== undefined && isNew !== true;
    if (!isNamed && !isWaiting) return;
    const turnId = hasBegun
      ? (turn?.turnId ?? this.#openTurn?.msg.turn_id ?? own)
      : task === undefined || task === id
        ? own
        : joined;
    this.ledger.note(submission, {
      isNamed,
      isWaiting: isWaiting && durability !== "memory",
      turnId: turnId ?? undefined,
    });
  }

  /** Gives the op to the logic: at once, or when a turn of an own logic's may run. */
  take(event: SubmittedOp): void {
    if (event.op.type === "shutdown") this.#logicThread?.close();
    if (this.#own === undefined) this.deliver(event);
    else this.#own.give(event);
  }

  deliver(event: SubmittedOp): void {
    this.#logicThread?.offer(event);
    this.actor.send(event);
  }

  get historyMode() {
    return this.writer.historyMode;
  }

  get logger() {
    return this.env.logger;
  }

  /** The turn that runs, as an own logic has told of it. */
  get ownTurn(): OwnLife["turns"]["running"] {
    return this.#own?.turns.running;
  }

  /**
   * Ends an own logic that has not ended by itself when it was asked to, and has no turn to finish: what it had to say is
   * said. False for any other.
   */
  retire(): boolean {
    if (this.#own === undefined || this.#end !== undefined || this.#own.turns.running !== undefined) return false;
    this.#own.shutDown();
    return true;
  }

  /** The actor has come to its end by itself. */
  #complete(): void {
    if (this.sessionConfigured !== undefined && this.#end === undefined) this.#own?.complete();
    this.end("closed");
  }

  noteTaken(id: SubmissionId): void {
    this.#ledger?.noteTaken(id);
  }

  get waitingOps(): number {
    const { deferred = [], questions = [] } = this.#context();
    return deferred.length + questions.length + (this.#inbox?.size ?? 0) + (this.#own?.turns.waiting ?? 0);
  }

  get approvals(): Approvals {
    this.#approvals ??= new Approvals((pending) => this.env.approvals.note(this, pending));
    return this.#approvals;
  }

  publish(id: SubmissionId, msg: EventMsg, options?: { recorded: true }): void {
    if (this.#speaks) this.actor.send({ type: "event.publish", id, msg, ...options });
    else this.#admit([{ kind: "event", id, msg, recorded: options?.recorded === true }]);
  }

  /** Whether what is said of the thread goes through its actor. One that has ended, or is another's, gets no word to say. */
  get #speaks(): boolean {
    return this.#end === undefined && this.#own === undefined;
  }

  record(item: RolloutItem): void {
    if (this.#speaks) this.actor.send({ type: "rollout.record", item });
    else this.#admit([{ kind: "record", item }]);
    if (item.type === "compacted") this.#ledger?.repeat();
  }

  flush(): Promise<void> {
    return this.writer.flush();
  }

  sync(): Promise<void> {
    return this.writer.sync();
  }

  async syncOrEnd(): Promise<void> {
    for (let attempt = 1; this.#end === undefined; attempt += 1) {
      try {
        await this.writer.sync();
        return;
      } catch (error) {
        this.noteStoreFailure(error);
        if (attempt > STORE_TRIES) this.end("lost", error);
        else if (this.#end === undefined) await sleep(this.clock, backoffDelay(attempt, STORE_BACKOFF));
      }
    }
  }

  /** A write has failed. One that can't succeed any more, since another writer has the thread, ends this life. */
  noteStoreFailure(error: unknown): void {
    if (error instanceof ThreadBusyError) this.end("lost", error);
  }

  openHistory(signal: AbortSignal): Promise<void> | undefined {
    if (this.isFresh) this.history ??= new History();
    if (this.history !== undefined) return undefined;
    this.#loader ??= new HistoryLoader(this, () => {
      this.#loader = undefined;
      this.keepHistory();
    });
    return raceAbort(this.#loader.loaded, signal);
  }

  openTools(signal: AbortSignal): Promise<void> | undefined {
    const { mcpServers } = this.config;
    if (this.#mcp === undefined && Object.keys(mcpServers).length === 0) return undefined;
    return this.mcp.open(mcpServers, signal).then((tools) => {
      if (tools === this.#mcpTools) return;
      this.#mcpTools = tools;
      this.tools = this.#ownTools.with(tools);
    });
  }

  /** The thread's part in the MCP servers. */
  get mcp(): McpSession {
    this.#mcp ??= new McpSession(this.env.mcp, (msg) => this.publish(INITIAL_SUBMISSION_ID, msg));
    return this.#mcp;
  }

  /** SPEC 5.1: said once, of a resumed thread that was recorded with another model. */
  warnOfModel(recorded: string | undefined): void {
    if (this.origin !== "resumed" || recorded === undefined || this.#hasWarnedOfModel) return;
    this.#hasWarnedOfModel = true;
    if (recorded !== this.config.model) this.publish(INTERNAL_SUBMISSION, modelChanged(recorded, this.config.model));
  }

  skillsFor(items: readonly UserInput[]): Promise<SkillInjection> {
    return this.env.skills.injectionFor(this.config.cwd, items);
  }

  reserveTurn(signal: AbortSignal): Release | Promise<Release> {
    return this.env.turnSlots.acquire({ signal });
  }

  returnTurn(signal: AbortSignal): Release | Promise<Release> {
    return this.env.turnSlots.reacquire({ signal });
  }

  closeInput({ id }: TurnRun): void {
    this.actor.send({ type: "turn.ending", task: id });
  }

  signalTurn(event: { type: "approval.requested" } | { type: "approval.resolved" }): void {
    const snapshot = this.actor.getSnapshot() as { children?: Record<string, AnyActorRef | undefined> };
    snapshot.children?.turn?.send(event);
  }

  dropHistory(): boolean {
    if (this.turn !== undefined) return false;
    this.history = undefined;
    return true;
  }

  /** What the thread does. The built-in logic says so by the tags of its state, any other by its events. */
  get activity(): Activity {
    if (this.#end !== undefined || this.hasEnded) return "gone";
    if (this.sessionConfigured === undefined) return "starting";
    if (this.#own !== undefined) return this.#own.turns.isBusy || this.status === "running" ? "running" : "idle";
    return ACTIVITIES.find((tag) => this.#hasTag(tag)) ?? "idle";
  }

  /** Whether input that comes now joins the running turn. */
  get takesInput(): boolean {
    return this.#own === undefined ? this.#hasTag("takesInput") : this.#own.turns.running !== undefined;
  }

  #hasTag(tag: ThreadTag): boolean {
    const { tags } = this.actor.getSnapshot() as { tags?: ReadonlySet<string> };
    return tags?.has(tag) ?? false;
  }

  /** Whether the thread may leave memory: it has nothing to do, and holds nothing that would end with it. */
  get isIdle(): boolean {
    return this.activity === "idle" && this.#loader === undefined && !this.terminals.areBusy;
  }

  /**
   * Ends this life: shuts the door, stops the actor and whatever it runs, and lets go of all memory. Synchronous and
   * idempotent; the writer is left to whoever ends it, since closing it takes time.
   *
   * @param error what it crashed of, or what made its end necessary
   */
  end(reason: EndReason, error?: unknown): void {
    if (this.#end !== undefined) return;
    const { epoch } = this;
    this.#end = error === undefined ? { reason, epoch } : { reason, epoch, error };
    if (this.sessionConfigured !== undefined) this.#sayLast(this.#end);
    this.#isShut = true;
    this.#logicThread?.close();
    const ended = new DOMException("the thread has ended", "AbortError");
    this.turn?.abort(ended);
    this.turn?.vacate();
    this.turn = undefined;
    this.#loader?.abort(ended);
    this.#mcp?.close();
    this.terminals.kill();
    void this.folders.dispose();
    this.env.histories.forget(this);
    this.history = undefined;
    if (this.env.incarnations.get(this.#life) === this) this.env.incarnations.delete(this.#life);
    this.log.close();
    this.#onFirst?.();
    if (!this.hasEnded) this.env.stop(this.actor);
    this.env.onEnd(this);
  }

  /** Whoever waits is answered: turns get their end, ops that wait are refused, and what went wrong is told. */
  #sayLast({ reason, error, epoch }: LifeEnd): void {
    const { threadId } = this;
    const failure = failureOf(reason, error);
    // The manager logs crashes, since it decides what follows them.
    if (reason === "lost") this.env.logger.error({ threadId, epoch, err: error }, failure?.message);
    const { queue = [], deferred = [], questions = [] } = this.#context();
    const said = this.log.next;
    const before = this.status;
    endTurns(this, queue, { failure, isLost: reason === "lost" });
    const open = this.#openTurn;
    if (this.#own !== undefined) this.#own.sayLast(failure);
    else if (open !== undefined) {
      if (failure !== undefined) this.publish(open.id, failure);
      this.publish(open.id, interruptionOf(open.msg));
    }
    for (const { id } of [...deferred, ...questions]) this.publish(id, failure ?? refusal("the thread has ended"));
    if (failure === undefined) return;
    if (this.log.next === said) this.publish(INITIAL_SUBMISSION_ID, failure);
    // Whoever waits for what it was to do hears that it won't be done; one that had nothing to do is as it was.
    this.status = before === "running" ? { errored: failure.message } : before;
  }

  /** The machine's own, where the logic is the built-in one. */
  #context(): Partial<ThreadContext> {
    if (this.#own !== undefined) return {};
    const { context } = this.actor.getSnapshot() as { context?: Partial<ThreadContext> };
    return Array.isArray(context?.deferred) ? context : {};
  }
}

const errorOf = (msg: EventMsg): string | undefined => (msg.type === "task_complete" ? msg.error?.message : undefined);
