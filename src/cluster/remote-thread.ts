/** A thread of a cluster, as a program holds it: the same face as a thread of a manager, over any workers that come to run it. */
import type { Observable } from "rxjs";
import { onceAborted } from "../kernel/abort-listeners.ts";
import { withDeadline } from "../kernel/cancellation.ts";
import { systemClock } from "../kernel/clock.ts";
import type { AgentStatus } from "../protocol/agent-status.ts";
import type { BudgetUse } from "../protocol/budget.ts";
import { ThreadClosedError } from "../protocol/errors.ts";
import type { Event, SessionConfiguredEvent, ThreadEvent } from "../protocol/event.ts";
import { newTurnId, type SubmissionId, type ThreadId, toSubmissionId } from "../protocol/ids.ts";
import type { MessageTo, Recipient, ReplyFrom, RequestTo, ThreadMessage } from "../protocol/message.ts";
import { type Op, parseOp } from "../protocol/op.ts";
import type { RolloutLine } from "../protocol/rollout.ts";
import {
  dueAtOf,
  readWhen,
  type ScheduledTimer,
  type ScheduleOptions,
  storedTimerSchema,
  type When,
} from "../protocol/schedule.ts";
import type { ServerAnswer, ServerAsk } from "../protocol/server-ask.ts";
import type { Priority, ResolvedThreadConfig } from "../protocol/thread-config.ts";
import type { TokenUsageInfo } from "../protocol/token-usage.ts";
import type { UserInput } from "../protocol/user-input.ts";
import { parseWith } from "../protocol/validation.ts";
import {
  checkCall,
  checkNamed,
  checkTurns,
  givenBudgetChange,
  givenPriority,
  givenSubmissionId,
} from "../thread/call-checks.ts";
import { withKnownInput } from "../thread/known-input.ts";
import type { PublishReport, RequestOptions, SendOptions } from "../thread/messaging.ts";
import { type StepOptions, Steps, type StepWork } from "../thread/steps.ts";
import type {
  ActiveTurn,
  EventsOptions,
  InterruptOptions,
  NamedSubmission,
  RollbackOptions,
  RolledBackTurns,
  RunOptions,
  ShutdownOutcome,
  SubmissionOutcome,
  SubmitOptions,
  WaitOptions,
  WatchedThread,
} from "../thread/thread.ts";
import type { TurnResult } from "../thread/turn-result.ts";
import type { Link, LinkOptions, Monitor, MonitorOptions } from "../thread/watching.ts";
import type { PendingApproval } from "../turn/pending-approval.ts";
import type { ReviewTarget } from "../turn/review/target.ts";
import type { BudgetChange } from "../turn/spending.ts";
import type { ClusterSubscription, ClusterThread } from "./cluster-thread.ts";
import { Feed, type FeedSource } from "./feed.ts";
import { MessageLine } from "./message-line.ts";
import { REFUSED_OF_THREADS, refuseMembers } from "./refused-members.ts";
import { RemoteSteps } from "./remote-steps.ts";
import { RemoteStream } from "./remote-stream.ts";
import { RemoteSubmissions } from "./remote-submissions.ts";
import { RemoteTurns } from "./remote-turns.ts";
import { RemoteView } from "./remote-view.ts";
import { RemoteWatches } from "./remote-watch.ts";
import type { ThreadHost } from "./thread-host.ts";
import { type Facts, type LiveState, type Look, type Message, type StepAnswer, shownConfig } from "./wire.ts";

const DEFAULT_SHUTDOWN_MS = 10_000;

export class RemoteThread implements ClusterThread, FeedSource {
  readonly id: ThreadId;
  readonly #host: ThreadHost;
  readonly #origin: Facts;
  readonly #view: RemoteView;
  /** Where what it tells from the start begins, and the life in which it was at work then. */
  readonly #from: { readonly position: number; readonly lateIn: number | undefined };
  readonly #stream = new RemoteStream({
    open: () => this.#openFeed(),
    isOver: () => this.#isClosed || this.#host.signal.aborted,
    from: () => Math.max(this.#from.position, this.#view.facts.position),
    status: () => this.status,
    bounded: (what, work, options) => this.#bounded(what, work, options),
    ended: () => new ThreadClosedError(this.id),
  });
  readonly #submissions: RemoteSubmissions;
  readonly #turns = new RemoteTurns({
    bounded: (what, work, options, op) => this.#bounded(what, work, options, op),
    send: (message, signal) => this.#submissions.send(message, signal),
    reached: async (position) => this.#stream.feed?.reached(position),
    end: () => this.#view.facts.position,
    lines: (signal, from = this.#origin.position) => this.lines(from, undefined, signal),
    interrupt: () => this.interrupt(),
  });
  #watches: RemoteWatches | undefined;
  #steps: Steps | undefined;
  /** Fires when the thread has ended. */
  readonly #ended = new AbortController();
  readonly #line: MessageLine;

  /** @param since from where on it tells its events: from how it stood at that look, or all of them */
  constructor(host: ThreadHost, { note: { facts: now, state, run }, position }: Look, since: "now" | "start" = "now") {
    const isWhole = since === "start";
    const facts = isWhole ? { ...now, position: 0 } : now;
    this.id = facts.threadId;
    this.#host = host;
    this.#origin = facts;
    this.#view = new RemoteView(facts, run);
    if (state === "closed") this.#noteEnd();
    this.#line = new MessageLine(host, this.id, {
      view: this.#view,
      news: () => this.#stream.feed?.poke(),
      closed: () => {
        this.#noteEnd();
      },
      failed: (text) => this.#stream.feed?.tellFailure(toSubmissionId(""), text),
    });
    this.#submissions = new RemoteSubmissions({
      ...{ threadId: this.id, view: this.#view, line: this.#line },
      feed: () => this.#stream.feed,
      isClosed: () => this.#isClosed,
      look: (signal) => this.look(signal),
      takeLook: (look) => this.takeLook(look),
      lines: (signal) => this.lines(0, undefined, signal),
      bounded: (what, work, options, op) => this.#bounded(what, work, options, op),
    });
    this.#from = isWhole
      ? { position: 0, lateIn: undefined }
      : { position: Math.max(position, facts.position), lateIn: run?.epoch };
    if (run !== null) this.#line.follow(run);
  }

  /** The connection has been closed. */
  disconnect(): void {
    this.#watches?.close(this.#host.signal.reason);
    this.#stream.feed?.close();
  }

  get #isClosed(): boolean {
    return this.#ended.signal.aborted;
  }

  #noteEnd(): void {
    this.#ended.abort(new ThreadClosedError(this.id));
  }

  // What it shows.

  get threadId(): ThreadId {
    return this.id;
  }

  get rolloutPath(): string | null {
    return this.#view.facts.configured.rollout_path;
  }

  get epoch(): number {
    return this.#view.epoch;
  }

  get status(): AgentStatus {
    return this.#view.status;
  }

  get sessionConfigured(): SessionConfiguredEvent {
    return this.#view.facts.configured;
  }

  get config(): ResolvedThreadConfig {
    return shownConfig(this.#view.facts.config);
  }

  get tokenUsage(): TokenUsageInfo | null {
    return this.#view.facts.tokenUsage;
  }

  get activeTurn(): ActiveTurn | undefined {
    return this.#view.activeTurn;
  }

  get pendingApprovals(): readonly PendingApproval[] {
    return this.#view.pendingApprovals;
  }

  get pendingUserQuestions(): readonly PendingApproval[] {
    return this.#view.pendingUserQuestions;
  }

  get events$(): Observable<ThreadEvent> {
    return this.#stream.events$;
  }

  get status$(): Observable<AgentStatus> {
    return this.#stream.status$;
  }

  async refresh(options: WaitOptions = {}): Promise<void> {
    checkCall("refresh", options);
    await this.#bounded(
      "the look",
      async (signal) => {
        const look = await this.look(signal);
        this.takeLook(look);
        const { run } = look.note;
        if (run !== null && !this.#view.isStated(run.epoch) && this.#stream.feed?.isHeard)
          await this.#stream.feed.stated();
      },
      options,
    );
  }

  /** How the thread stood just now, as somebody has asked. */
  takeLook({ note: { facts, run, state } }: Look): void {
    if (state === "closed") this.#noteEnd();
    if (run === null) {
      // What was begun just now may not have reached its worker yet.
      if (this.#line.running === undefined) this.#view.absorb(facts);
    } else if (run.invocation !== this.#line.running?.invocation) this.#line.follow(run);
  }

  // Its events.

  get isAwaiting(): boolean {
    return this.#line.running !== undefined;
  }

  look(signal?: AbortSignal): Promise<Look> {
    return this.#host.calls.look(this.id, signal);
  }

  lines(from: number, to: number | undefined, signal?: AbortSignal): AsyncIterable<readonly RolloutLine[]> {
    return this.#host.calls.lines(this.id, from, to, signal);
  }

  note(event: ThreadEvent): void {
    this.#host.hear(this.id, event.msg);
    this.#view.note(event);
    this.#turns.note(event.msg);
  }

  noteState(state: LiveState): void {
    this.#view.noteState(state);
  }

  events(options: EventsOptions = {}): AsyncIterableIterator<ThreadEvent, undefined> {
    checkCall("events", options);
    return this.#stream.events(options);
  }

  async nextEvent(options: WaitOptions = {}): Promise<Event> {
    checkCall("nextEvent", options);
    return this.#stream.nextEvent(options);
  }

  #openFeed(): Feed {
    const { position: ordinal, epoch, configured } = this.#origin;
    return new Feed(this, { ordinal, epoch, configured, lateIn: this.#from.lateIn });
  }

  // What it is told.

  async submit(op: Op, options: SubmitOptions = {}): Promise<SubmissionId> {
    return this.#submissions.submit({ id: newTurnId(), op, isNew: true }, options);
  }

  async submitWithId(submission: NamedSubmission, options: SubmitOptions = {}): Promise<SubmissionId> {
    checkNamed(submission);
    return this.#submissions.submit(submission, options);
  }

  /** As submit, for whoever has just looked. */
  async submitAfter(
    look: Look,
    { id, op }: { readonly id?: string | undefined; readonly op: Op },
    options: SubmitOptions = {},
  ): Promise<SubmissionId> {
    const submission = id === undefined ? { id: newTurnId(), op, isNew: true } : { id: givenSubmissionId(id), op };
    return this.#submissions.submit(submission, options, look);
  }

  async ready(options: WaitOptions = {}): Promise<void> {
    checkCall("ready", options);
    options.signal?.throwIfAborted();
    if (this.#isClosed) throw new ThreadClosedError(this.id);
  }

  async outcomeOf(id: string, options: WaitOptions = {}): Promise<SubmissionOutcome | undefined> {
    return this.#submissions.outcomeOf(id, options);
  }

  budget(): Promise<BudgetUse | undefined> {
    return this.#host.calls.budgetOf(this.id);
  }

  async setBudget(change: BudgetChange): Promise<void> {
    await this.#submissions.message({ kind: "budget", id: newTurnId(), change: givenBudgetChange(change) });
  }

  /** Also for its later turns, on whichever worker. */
  async setPriority(given: Priority): Promise<void> {
    const priority = givenPriority(given);
    await this.#submissions.message({ kind: "priority", id: newTurnId(), priority });
  }

  async send<const To extends Recipient>(to: To, message: MessageTo<To>, options?: SendOptions): Promise<SubmissionId> {
    if (this.#isClosed) throw new ThreadClosedError(this.id, message);
    return this.#host.messages.send(this.id, to, message, options);
  }

  async request<const To extends Recipient, const Message extends RequestTo<To>>(
    to: To,
    message: Message,
    options: RequestOptions = {},
  ): Promise<ReplyFrom<To, Message>> {
    checkCall("request", options);
    if (this.#isClosed) throw new ThreadClosedError(this.id, message);
    const { signal = this.#ended.signal } = options;
    const both = AbortSignal.any([signal, this.#ended.signal]);
    return this.#host.messages.request(this.id, to, message, { ...options, signal: both }) as Promise<never>;
  }

  async publish(topic: string, message: ThreadMessage, options?: SendOptions): Promise<PublishReport> {
    if (this.#isClosed) throw new ThreadClosedError(this.id, message);
    return this.#host.messages.publish({ from: this.id, tree: this.id }, topic, message, options);
  }

  subscribe(topic: string): ClusterSubscription {
    if (this.#isClosed) throw new ThreadClosedError(this.id);
    return this.#host.messages.subscribe(this.id, topic);
  }

  monitor(other: WatchedThread, options?: MonitorOptions): Monitor {
    return this.#watching.monitor(other, options);
  }

  async monitors(): Promise<readonly Monitor[]> {
    return this.#watching.monitors();
  }

  link(other: WatchedThread, options?: LinkOptions): Link {
    return this.#watching.link(other, options);
  }

  get #watching(): RemoteWatches {
    if (this.#isClosed) throw new ThreadClosedError(this.id);
    this.#watches ??= new RemoteWatches(this.#host, this.id);
    return this.#watches;
  }

  async receive(message: Message, signal: AbortSignal): Promise<void> {
    await this.#submissions.send(message, signal);
  }

  /** The function runs here; a worker writes down what became of it. */
  async step<T>(id: string, work: StepWork<T>, options: StepOptions = {}): Promise<T> {
    checkCall("step", options);
    options.signal?.throwIfAborted();
    if (this.#isClosed) throw new ThreadClosedError(this.id);
    this.#steps ??= this.#stepping();
    const steps = this.#steps;
    return this.#bounded(`step \`${id}\``, (signal) => steps.run(id, work, { ...options, signal }), options);
  }

  #stepping(): Steps {
    const steps = new Steps(
      new RemoteSteps({
        threadId: this.id,
        ask: async (ask, signal) => {
          const what = `what a worker says of step \`${ask.step}\``;
          return (await this.#host.messages.ask(this, { kind: "step", ask }, { what, signal })) as StepAnswer;
        },
        closedError: () => new ThreadClosedError(this.id),
      }),
    );
    onceAborted(this.#ended.signal, () => steps.close());
    return steps;
  }

  async askServer(ask: ServerAsk, options: WaitOptions = {}): Promise<ServerAnswer> {
    checkCall("askServer", options);
    if (this.#isClosed) throw new ThreadClosedError(this.id);
    const what = `the answer of MCP server ${ask.server}`;
    return (await this.#host.messages.ask(this, { kind: "mcp", ask }, { ...options, what })) as ServerAnswer;
  }

  /** The engine keeps it, and gives the op by way of any worker. */
  async schedule(when: When, given: Op, options: ScheduleOptions = {}): Promise<ScheduledTimer> {
    checkCall("schedule", options);
    const { id = newTurnId() } = options;
    if (this.#isClosed) throw new ThreadClosedError(this.id, given);
    const set = newTurnId();
    const op = withKnownInput(parseOp(given));
    const timer = parseWith(
      storedTimerSchema,
      { ...{ id, set, op, next: 0, fired: 0 }, ...readWhen(when, Date.now()) },
      "schedule",
    );
    await this.#bounded("the timer", () => this.#host.calls.setTimer(this.id, timer), {});
    return { id, dueAt: dueAtOf(timer), cancel: () => this.#host.calls.cancelTimer(this.id, id, set) };
  }

  cancelTimer(id: string): ReturnType<ScheduledTimer["cancel"]> {
    return this.#host.calls.cancelTimer(this.id, id);
  }

  // Turns.

  run<Output = unknown>(
    input: string | readonly UserInput[],
    options?: RunOptions<Output>,
  ): Promise<TurnResult<Output>> {
    return this.#turns.run(input, options);
  }

  async compact(options: WaitOptions = {}): Promise<TurnResult> {
    checkCall("compact", options);
    return this.#turns.runOp({ type: "compact" }, options);
  }

  async review(target: ReviewTarget, options: WaitOptions = {}): Promise<TurnResult> {
    checkCall("review", options);
    return this.#turns.runOp({ type: "review", review_request: { target } }, options);
  }

  async interrupt(options: InterruptOptions = {}): Promise<void> {
    checkCall("interrupt", options);
    if (this.#isClosed) throw new ThreadClosedError(this.id);
    const { turnId } = options;
    await this.#submissions.message({ kind: "interrupt", id: newTurnId(), turnId }, options, "the interrupt");
  }

  async rollback(turns: RolledBackTurns, options: RollbackOptions = {}): Promise<void> {
    checkCall("rollback", options);
    checkTurns(turns);
    const id = givenSubmissionId(options.id ?? newTurnId());
    await this.#bounded("the rollback", (signal) => this.#submissions.rollBack({ id, turns }, signal), options);
  }

  async shutdown(options: WaitOptions = {}): Promise<ShutdownOutcome> {
    checkCall("shutdown", options);
    const { signal, deadlineMs = DEFAULT_SHUTDOWN_MS } = options;
    if (this.#isClosed) return "completed";
    await this.#bounded(
      "the shutdown",
      async (inner) => {
        await this.interrupt({ signal: inner }).catch(() => undefined);
        await this.#host.calls.close(this.id, inner);
        await this.#stream.feed?.reached((await this.look(inner)).position);
      },
      { signal, deadlineMs },
    );
    this.#noteEnd();
    this.#view.noteShutdown();
    this.#watches?.close(new ThreadClosedError(this.id));
    this.#stream.feed?.close();
    return "completed";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  async #bounded<T>(
    what: string,
    work: (signal: AbortSignal) => Promise<T>,
    { signal, deadlineMs }: WaitOptions,
    op?: Op,
  ): Promise<T> {
    const { signal: end } = this.#host;
    const both = signal === undefined ? end : AbortSignal.any([signal, end]);
    try {
      return await withDeadline(what, work, { signal: both, deadlineMs, clock: systemClock });
    } catch (error) {
      if (!(error instanceof ThreadClosedError)) throw error;
      this.#noteEnd();
      throw new ThreadClosedError(this.id, op);
    }
  }
}

refuseMembers(RemoteThread.prototype, REFUSED_OF_THREADS);
