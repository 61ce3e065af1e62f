import { Observable } from "rxjs";
import type { ModelPreset } from "../model/model-preset.ts";
import type { Price } from "../protocol/budget.ts";
import { checkCallOptions, checkObject } from "../protocol/call-options.ts";
import { definedFields } from "../protocol/defined-fields.ts";
import type { TaskOutcome } from "../protocol/errors.ts";
import type { ThreadEvent } from "../protocol/event.ts";
import { givenThreadId, type SubmissionId, type ThreadId } from "../protocol/ids.ts";
import type { ForkAnchor, InitialHistory } from "../protocol/initial-history.ts";
import type { MessageTo, Recipient, ReplyFrom, RequestTo, ThreadMessage } from "../protocol/message.ts";
import type { Op } from "../protocol/op.ts";
import type { SessionSource } from "../protocol/session-source.ts";
import { INSPECT } from "../protocol/shown-as.ts";
import type { ResolvedThreadConfig, ThreadConfig } from "../protocol/thread-config.ts";
import type { UserInput } from "../protocol/user-input.ts";
import type { AuthManager } from "../services/auth-manager.ts";
import type { ModelsManager } from "../services/models-manager.ts";
import type { SkillsManager } from "../services/skills-manager.ts";
import type { StoredThread, ThreadPage, ThreadQuery, ThreadStore } from "../store/thread-store.ts";
import { checkCall, checkFork } from "../thread/call-checks.ts";
import type { LiveThread } from "../thread/live-thread.ts";
import type { Published, PublishReport, RequestOptions, SendOptions } from "../thread/messaging.ts";
import type { NewThread, Thread, WaitOptions, WhenFull } from "../thread/thread.ts";
import type { TurnResult } from "../thread/turn-result.ts";
import { inTime, whileOpen } from "../thread/wait-options.ts";
import type { QuestionAnswered, ThreadApproval } from "../turn/pending-approval.ts";
import { AgentControl } from "./agent-control.ts";
import type { AgentNode } from "./agent-node.ts";
import { ask } from "./ask.ts";
import type { Capacity, ThreadCapacity } from "./capacity.ts";
import { capacityAt, capacityOf } from "./capacity-now.ts";
import type { DeadLetter } from "./dead-letters.ts";
import type { FanOutOptions, Task } from "./fan-out.ts";
import type { GroupOptions } from "./group-options.ts";
import type { ThreadMail } from "./letter.ts";
import { setUp, type ThreadManagerOptions } from "./options.ts";
import { type RecoverOptions, type RecoverReport, recoverThreads } from "./recovery.ts";
import type { RestartStanding } from "./restart-standing.ts";
import { ManagerRuntime } from "./runtime.ts";
import { bindRuntime } from "./runtime-of.ts";
import type { ShutdownReport } from "./shutdown-report.ts";
import {
  type GatherOptions,
  gather,
  type Inputs,
  type MapOptions,
  map,
  type PromptOptions,
  type ResultOf,
  race,
} from "./side-by-side.ts";
import { bindScope } from "./spawn-trace.ts";
import { supervisorFace } from "./supervisor-face.ts";
import type { ForkSource, SupervisorMessage, SupervisorRef } from "./supervisor-messages.ts";
import type { ThreadEnd } from "./thread-end.ts";
import type { Escalation, ThreadGroup } from "./thread-group.ts";
import type { ThreadOptions } from "./thread-options.ts";
import type { Threads } from "./threads-face.ts";
import {
  type ForkPoint,
  type TournamentHost,
  type TournamentOptions,
  type TournamentResult,
  tournament,
} from "./tournament.ts";

const DEFAULT_SHUTDOWN_MS = 10_000;

/**
 * The typed face of one supervisor and its threads. Every method is one message to {@link supervisor}; an orchestrator
 * may send those itself (see `ask`). Every wait can be aborted, and rejects with the signal's reason then.
 */
export class ThreadManager implements Threads<Thread> {
  readonly #runtime: ManagerRuntime;
  readonly #supervisor: SupervisorRef;

  private constructor(runtime: ManagerRuntime) {
    this.#runtime = runtime;
    this.#supervisor = supervisorFace(runtime.actor);
    bindRuntime(this, runtime);
    bindScope(this, runtime.scope);
    runtime.beginTimers();
  }

  /** @throws InvalidRequestError that names the wrong option */
  static async create(options: ThreadManagerOptions = {}): Promise<ThreadManager> {
    return new ThreadManager(new ManagerRuntime(setUp(options)));
  }

  /** The manager in JSON, a log or on a console: how much of what there is, and none of its settings. */
  toJSON(): object {
    return this.#runtime.toJSON();
  }

  [INSPECT](): object {
    return { ThreadManager: this.toJSON() };
  }

  /** The supervisor's actor; it takes the messages `thread.spawn`, `resume`, `fork`, `remove`, `get`, `list` and `send`. */
  get supervisor(): SupervisorRef {
    return this.#supervisor;
  }

  get store(): ThreadStore {
    return this.#runtime.setup.store;
  }

  /**
   * Starts a new thread. When this resolves the thread is stored, registered, and has emitted SessionConfigured.
   * @throws SessionConfiguredNotFirstEventError, LimitReachedError, DuplicateThreadError, InvalidRequestError,
   *   ManagerClosedError. On every error, and on abort, nothing is left behind.
   */
  startThread(config?: ThreadConfig, options: ThreadOptions = {}): Promise<NewThread> {
    return this.#ask({ type: "thread.spawn", ...definedFields({ config }), options }, options);
  }

  /** Resumes the thread of a rollout file, wherever it lies; it is appended to. @throws RolloutNotFoundError, RolloutCorruptError, ThreadBusyError */
  resumeThreadFromRollout(
    config: ThreadConfig | undefined,
    rolloutPath: string,
    options: ThreadOptions = {},
  ): Promise<NewThread> {
    return this.#ask({ type: "thread.resume", rolloutPath, ...definedFields({ config }), options }, options);
  }

  /** Starts from a history in memory: new, resumed (under its own id) or forked (under a new one). */
  resumeThreadWithHistory(
    config: ThreadConfig | undefined,
    history: InitialHistory,
    options: ThreadOptions = {},
  ): Promise<NewThread> {
    return this.#ask({ type: "thread.resume", history, ...definedFields({ config }), options }, options);
  }

  /** Resumes a stored thread by its id. One that is loaded is given as it is. @throws RolloutNotFoundError, ThreadBusyError */
  resumeThread(threadId: ThreadId | string, config?: ThreadConfig, options: ThreadOptions = {}): Promise<NewThread> {
    return this.#ask(
      { type: "thread.resume", threadId: threadId as ThreadId, ...definedFields({ config }), options },
      options,
    );
  }

  /**
   * Forks a thread at an anchor, for the same price whatever the history's length. Settings come from `config` alone.
   * @throws RolloutNotFoundError, InvalidForkPointError
   */
  async forkThread(
    fork: { from: ForkSource | string; at?: ForkAnchor; config?: ThreadConfig },
    options: ThreadOptions = {},
  ): Promise<NewThread> {
    checkFork(fork);
    const { from, at, config } = fork;
    return this.#ask(
      { type: "thread.fork", from: from as ForkSource, ...definedFields({ at, config }), options },
      options,
    );
  }

  /**
   * Takes a thread out, and gives it back still working; undefined when it was not there. `thread.shutdown` ends it. One
   * whose store hangs while it leaves memory is ended, and given back all the same.
   */
  async removeThread(threadId: ThreadId | string, options: WaitOptions = {}): Promise<Thread | undefined> {
    checkCall("removeThread", options);
    return this.#ask({ type: "thread.remove", threadId: threadId as ThreadId }, options);
  }

  /** Ends the thread where it is open, and deletes what is stored of it; its forks keep what they need. @throws RolloutNotFoundError */
  async deleteThread(threadId: ThreadId | string, options: WaitOptions = {}): Promise<void> {
    const open = await this.removeThread(threadId, options);
    await open?.shutdown(options);
    const id = givenThreadId(threadId, "threadId");
    const remove = async () => {
      await this.#runtime.notesAtRest(id);
      if (open?.config.ephemeral !== true) await this.store.delete(id);
      this.#runtime.monitors.noteDeleted(id);
    };
    await inTime(`the deletion of thread ${id}`, remove, options, this.#runtime);
  }

  /** @throws ThreadNotFoundError */
  async getThread(threadId: ThreadId | string, options: WaitOptions = {}): Promise<Thread> {
    checkCall("getThread", options);
    return this.#ask({ type: "thread.get", threadId: threadId as ThreadId }, options);
  }

  /** A thread that is in memory at this moment; never loads one. */
  loadedThread(threadId: ThreadId): Thread | undefined {
    return this.#runtime.registry.peek(threadId);
  }

  /** The threads in memory, in no defined order. */
  async listThreadIds(): Promise<ThreadId[]> {
    return [...(await this.#ask<readonly ThreadId[]>({ type: "thread.list" }, {}))];
  }

  /**
   * The threads that are stored, a page at a time. Sub-agents are left out unless asked for. A thread whose turn runs here
   * is not interrupted, though its turn is open: `interrupted` finds it neither way, and its page may be shorter for it.
   */
  async listThreads(query?: ThreadQuery): Promise<ThreadPage> {
    checkCall("listThreads", query);
    const page = await whileOpen(this.store.list(query), this.#runtime.over);
    const works = ({ threadId, openTurn }: StoredThread) =>
      openTurn !== null && this.#runtime.registry.peek(threadId)?.activeTurn !== undefined;
    if (!page.threads.some(works)) return page;
    const threads =
      query?.interrupted === undefined
        ? page.threads.map((row) => (works(row) ? { ...row, interrupted: false } : row))
        : page.threads.filter((row) => !works(row));
    return { ...page, threads };
  }

  /**
   * Loads the stored threads whose turn a dead process has left open, a few at a time, and goes on with their turns, as
   * `recovery: "continue"` says: each with the folder, the policies and the model of its last request. Archived ones are left
   * alone. Resolves when all are loaded; their turns then run.
   *
   * @returns what became of each; one that is busy elsewhere, or fails, keeps no other from being loaded
   * @throws the signal's reason; what the store throws while it lists
   */
  recoverThreads(options: RecoverOptions = {}): Promise<RecoverReport> {
    return whileOpen(recoverThreads(this, options), this.#runtime.over);
  }

  /** Hands an op to a thread. @throws ThreadNotFoundError, and as Thread.submit */
  async sendOp(
    threadId: ThreadId | string,
    op: Op,
    options: WaitOptions & { id?: string; whenFull?: WhenFull } = {},
  ): Promise<SubmissionId> {
    checkCall("sendOp", options);
    const { id } = options;
    return this.#ask({ type: "thread.send", threadId: threadId as ThreadId, op, ...definedFields({ id }) }, options);
  }

  /** Says something to a thread beside prompts, as {@link Thread.send} does; its receiver sees it as from nobody (null). */
  async send<const To extends Recipient>(to: To, message: MessageTo<To>, options?: SendOptions): Promise<SubmissionId> {
    return whileOpen(this.#runtime.messages.outside.send(to, message, options), this.#runtime.over);
  }

  /** Asks a thread, as {@link Thread.request} does. */
  async request<const To extends Recipient, const Message extends RequestTo<To>>(
    to: To,
    message: Message,
    options?: RequestOptions,
  ): Promise<ReplyFrom<To, Message>> {
    return whileOpen(this.#runtime.messages.outside.request(to, message, options), this.#runtime.over);
  }

  /** Publishes in the tree that a thread is in, as {@link Thread.publish} does. */
  async publish(
    tree: ThreadId | string,
    topic: string,
    message: ThreadMessage,
    options?: SendOptions,
  ): Promise<PublishReport> {
    return this.#runtime.messages.publish({ tree: givenThreadId(tree, "tree"), from: null }, topic, message, options);
  }

  /** What is published on a topic in the tree that a thread is in, from now on. @throws InvalidRequestError */
  published$(tree: ThreadId | string, topic: string): Observable<Published> {
    return this.#runtime.messages.published(givenThreadId(tree, "tree"), topic);
  }

  /** The durable messages that wait for a thread, and those that were set aside (SEMANTICS 9.7). @throws ThreadNotFoundError */
  async mailOf(threadId: ThreadId | string): Promise<ThreadMail> {
    const { id, config } = await this.getThread(threadId);
    return this.#runtime.messages.mail.of(id, config);
  }

  async #ask<T>(message: SupervisorMessage, options: WaitOptions & { whenFull?: WhenFull }): Promise<T> {
    checkObject("options", options);
    const { signal, deadlineMs, whenFull } = options;
    const { clock } = this.#runtime.setup;
    const answer = ask(this.supervisor, message, { signal, deadlineMs, whenFull, clock }) as Promise<T>;
    return whileOpen(answer, this.#runtime.over);
  }

  /**
   * Puts each input through `run`, at most `concurrency` at once; the results stand in the order of the inputs. Without `run`,
   * each input is the prompt of one turn of a new thread. Threads that a task starts by its context end with it. The first failure
   * stops the others, unless `onFailure` is `"settle"`: then each failure stands among the results, as in Promise.allSettled.
   *
   * @throws FanOutError, which has the failure as its cause and what the others came to; the signal's reason, or
   *   DeadlineExceededError, once all that was started has ended; InvalidRequestError
   */
  map<I, R>(inputs: Inputs<I>, options: MapOptions<I, R> & { onFailure: "settle" }): Promise<TaskOutcome<Awaited<R>>[]>;
  map<I, R>(inputs: Inputs<I>, options: MapOptions<I, R>): Promise<Awaited<R>[]>;
  map(
    inputs: Inputs<string | readonly UserInput[]>,
    options: PromptOptions & { onFailure: "settle" },
  ): Promise<TaskOutcome<TurnResult>[]>;
  map(inputs: Inputs<string | readonly UserInput[]>, options?: PromptOptions): Promise<TurnResult[]>;
  async map<I>(inputs: Inputs<I>, options?: MapOptions<I, unknown> | PromptOptions): Promise<unknown[]> {
    return map(this.#fanOut, inputs, options);
  }

  /**
   * Runs different tasks side by side and gives their results, in the order of the tasks. A task is a function of its context, or
   * a promise, which is only waited for. Failures, and what is thrown, as in {@link map}.
   */
  gather<const T extends readonly (Task<unknown> | PromiseLike<unknown>)[]>(
    tasks: T,
    options: GatherOptions & { onFailure: "settle" },
  ): Promise<{ -readonly [K in keyof T]: TaskOutcome<ResultOf<T[K]>> }>;
  gather<const T extends readonly (Task<unknown> | PromiseLike<unknown>)[]>(
    tasks: T,
    options?: GatherOptions,
  ): Promise<{ -readonly [K in keyof T]: ResultOf<T[K]> }>;
  async gather(tasks: readonly (Task<unknown> | PromiseLike<unknown>)[], options?: GatherOptions): Promise<unknown> {
    return gather(this.#fanOut, tasks, options);
  }

  /**
   * The result of the first task that has one; the others are stopped, and their threads end. One that fails is out.
   * @throws FanOutError when all have failed, and as {@link map}
   */
  race<T>(tasks: readonly (Task<T> | PromiseLike<T>)[], options?: FanOutOptions): Promise<T> {
    return race(this.#fanOut, tasks, options);
  }

  /**
   * Forks a place `count` times, has each fork go its way, side by side, and keeps the best: by the highest `score`, or by what
   * `judge` says. A fork that fails is out. The winner's thread lives on; the others end, or as `losers` says.
   *
   * @throws FanOutError when no fork has come to a result, and as {@link map}: all forks are then deleted
   */
  tournament<R = string | null>(
    forkPoint: ForkPoint,
    count: number,
    options: TournamentOptions<R>,
  ): Promise<TournamentResult<R>> {
    return tournament(this.#fanOut, forkPoint, count, options);
  }

  get #fanOut(): TournamentHost {
    const { clock, limits } = this.#runtime.setup;
    return {
      clock,
      maxTurns: limits.runningTurns,
      startThread: (config, options) => this.startThread(config, options),
      forkThread: ({ from, at, config }, options) =>
        this.forkThread({ from, ...definedFields({ at, config }) }, options),
      deleteThread: (threadId) => this.deleteThread(threadId),
    };
  }

  /** The models on offer, for a thread of this config (or of the manager's own). */
  listModels(config?: ThreadConfig): Promise<ModelPreset[]> {
    const provider = config?.modelProvider ?? this.#runtime.setup.config.modelProvider;
    return this.modelsManager.listModels({ provider });
  }

  /** The settings of a thread whose own config says nothing. */
  get config(): ResolvedThreadConfig {
    return this.#runtime.setup.config;
  }

  /** The variables that commands inherit, but for secrets. */
  get environment(): Readonly<Record<string, string | undefined>> {
    return this.#runtime.setup.environment;
  }

  /** Whose agent a thread is; undefined for one that no living thread has started. */
  parentOf(threadId: ThreadId): ThreadId | undefined {
    return this.#runtime.registry.kin.parentOf(threadId);
  }

  get sessionSource(): SessionSource {
    return this.#runtime.setup.sessionSource;
  }

  get authManager(): AuthManager {
    return this.#runtime.setup.auth;
  }

  get modelsManager(): ModelsManager {
    return this.#runtime.setup.models;
  }

  get skillsManager(): SkillsManager {
    return this.#runtime.setup.skills;
  }

  /** What an agent may do with other agents. It holds this manager weakly. */
  agentControl(): AgentControl {
    return new AgentControl(this);
  }

  /**
   * A group of threads and groups that are supervised together (SEMANTICS 4.6 to 4.16): a new one, or by its name the one that is open or
   * stored. Resolves when the members of a stored one are back.
   * @throws InvalidRequestError, ThreadBusyError when another manager has it, StoreIoError, ManagerClosedError
   */
  async group(options: GroupOptions = {}): Promise<ThreadGroup> {
    return this.#runtime.groups.open(options);
  }

  /** Groups that gave up with nobody above them. */
  get escalations$(): Observable<Escalation> {
    return watch(this.#runtime.groups.watchers);
  }

  /** Each thread that comes to be in memory: new, resumed, forked or loaded again. */
  get threadCreated$(): Observable<Thread> {
    const { created } = this.#runtime.watchers;
    return watch<Thread, LiveThread>(created);
  }

  /** Each thread that has ended for good, in whatever way. */
  get threadClosed$(): Observable<ThreadEnd> {
    return watch(this.#runtime.watchers.closed);
  }

  /** Each life of a thread that has ended by a failure of its actor, whether the thread is restarted or not. */
  get threadCrashed$(): Observable<ThreadEnd> {
    return watch(this.#runtime.watchers.crashed);
  }

  /** Each approval and each question to the user that is answered, from now on, whoever answers it. */
  get questionAnswered$(): Observable<QuestionAnswered> {
    return watch(this.#runtime.approvals.watchers);
  }

  /**
   * Each message that reached nobody, from now on: its thread was not there, was closed, or refused it (SEMANTICS 2.6). What its sender
   * took back, by a signal or a deadline, is none.
   */
  get deadLetters$(): Observable<DeadLetter> {
    return watch(this.#runtime.deadLetters.watchers);
  }

  /** How many of them there have been, and the newest hundred. */
  get deadLetters(): { readonly total: number; readonly recent: readonly DeadLetter[] } {
    const { total, recent } = this.#runtime.deadLetters;
    return { total, recent };
  }

  /** Every event of every thread, from now on. */
  get events$(): Observable<ThreadEvent> {
    return watch(this.#runtime.watchers.events);
  }

  /**
   * The approvals that a thread and its sub-agents wait for. An `exec_approval` or `patch_approval` op with the call's
   * id, sent to any thread above the one that asks, answers it; the first answer wins.
   */
  pendingApprovals(threadId: ThreadId | string): readonly ThreadApproval[] {
    return this.#runtime.approvals.pendingAt(givenThreadId(threadId, "threadId"));
  }

  /** How much there is room for now; with a thread's id also where it stands. Waits for nothing. */
  capacity(): Capacity;
  capacity(threadId: ThreadId | string): ThreadCapacity;
  capacity(threadId?: ThreadId | string): Capacity | ThreadCapacity {
    return threadId === undefined
      ? capacityOf(this.#runtime)
      : capacityAt(this.#runtime, givenThreadId(threadId, "threadId"));
  }

  /** How a thread stands with its restarts: back-off, and what is left of its intensity. Waits for nothing, and counts nothing. */
  restartsOf(threadId: ThreadId | string): RestartStanding {
    return this.#runtime.restartsOf(givenThreadId(threadId, "threadId"));
  }

  /** What tokens of a model cost by the `prices` that the manager was made with; undefined where these do not say. */
  priceOf(model: string, provider: string): Price | undefined {
    return this.#runtime.setup.prices(model, provider);
  }

  /**
   * A thread and its agents, open and stored; without one, the trees of all open threads that no open thread has started.
   * @throws ThreadNotFoundError
   */
  tree(): Promise<readonly AgentNode[]>;
  tree(root: ThreadId | string): Promise<AgentNode>;
  tree(root?: ThreadId | string): Promise<AgentNode | readonly AgentNode[]> {
    const { tree } = this.#runtime;
    return root === undefined ? tree.all() : tree.of(givenThreadId(root, "root"));
  }

  /**
   * Ends a thread and all agents under it, children before parents and the last started first; what still runs at the deadline (default
   * 10,000 ms) is ended by force. Nobody can be started under it meanwhile. @throws ThreadNotFoundError
   */
  async shutdownTree(threadId: ThreadId | string, options: { deadlineMs?: number } = {}): Promise<ShutdownReport> {
    checkCallOptions("shutdownTree", options, ["deadlineMs"]);
    const { deadlineMs = DEFAULT_SHUTDOWN_MS } = options;
    return this.#runtime.shutdownTree(givenThreadId(threadId, "threadId"), deadlineMs);
  }

  /** The thread's forks and their forks, and its sub-threads' lineage as far as it is stored. */
  descendants(threadId: ThreadId | string): Promise<readonly ThreadId[]> {
    return this.store.descendants(givenThreadId(threadId, "threadId"));
  }

  ancestors(threadId: ThreadId | string): Promise<readonly ThreadId[]> {
    return this.store.ancestors(givenThreadId(threadId, "threadId"));
  }

  /**
   * Ends all threads side by side and closes the manager. After `deadlineMs` (default 10,000) what still runs is ended
   * by force, and two seconds later the answer comes, whatever has not ended then: it is reported as timed out, and ends
   * behind the answer. Called again, it gives the same report.
   */
  async shutdown(options: { deadlineMs?: number } = {}): Promise<ShutdownReport> {
    checkCallOptions("shutdown", options, ["deadlineMs"]);
    const { deadlineMs = DEFAULT_SHUTDOWN_MS } = options;
    return this.#runtime.shutdown(deadlineMs);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }
}

function watch<T, S extends T = T>(watchers: Set<(value: S) => void>): Observable<T> {
  return new Observable((subscriber) => {
    const watcher = (value: S) => subscriber.next(value);
    watchers.add(watcher);
    return () => watchers.delete(watcher);
  });
}
