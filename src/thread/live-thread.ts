/**
 * A thread as its holders see it: one handle over all of its incarnations.
 *
 * The handle outlives restarts and unloading; observers stay attached to it. What is said to an unloaded thread loads
 * it again. `home` can do that.
 */
import { Observable } from "rxjs";
import type { AnyActorRef } from "xstate";
import type { AgentStatus } from "../protocol/agent-status.ts";
import type { BudgetUse } from "../protocol/budget.ts";
import { DeadlineExceededError, InvalidRequestError, ThreadClosedError } from "../protocol/errors.ts";
import type { Event, SessionConfiguredEvent, ThreadEvent } from "../protocol/event.ts";
import { givenThreadId, type SubmissionId, type ThreadId, toSubmissionId } from "../protocol/ids.ts";
import type { MessageTo, Recipient, ReplyFrom, RequestTo, ThreadMessage } from "../protocol/message.ts";
import { type Op, parseOp } from "../protocol/op.ts";
import type { ScheduledTimer, ScheduleOptions, When } from "../protocol/schedule.ts";
import type { Priority, ResolvedThreadConfig } from "../protocol/thread-config.ts";
import type { TokenUsageInfo } from "../protocol/token-usage.ts";
import type { UserInput } from "../protocol/user-input.ts";
import { rolloutPathOf } from "../store/rollout-path.ts";
import type { PendingApproval } from "../turn/pending-approval.ts";
import type { ReviewTarget } from "../turn/review/target.ts";
import type { BudgetChange } from "../turn/spending.ts";
import type { BackgroundTerminals } from "../turn/tools/exec/background-terminals.ts";
import { activeTurnOf } from "./active-turn.ts";
import { Audience, type Observer } from "./audience.ts";
import { interruptTurn, rollBack, runTurn } from "./awaited-turns.ts";
import { checkCall, checkNamed, checkTurns, givenPriority, givenSubmissionId } from "./call-checks.ts";
import { EventPull, EventStream, type Lives, type PastLife } from "./event-stream.ts";
import type { Incarnation } from "./incarnation.ts";
import { runInput, withKnownInput } from "./known-input.ts";
import { type Addressee, Mailbox } from "./mailbox.ts";
import type { PublishReport, RequestOptions, SendOptions, Subscription, ThreadMessenger } from "./messaging.ts";
import { shownToModel, withOutput } from "./output-schema.ts";
import { statusOver } from "./status-over.ts";
import { StepLines } from "./step-lines.ts";
import { type StepOptions, Steps, type StepWork } from "./steps.ts";
import { type Handing, handOver, isGone, outcomeOf } from "./submissions.ts";
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
  Thread,
  WaitOptions,
  WatchedThread,
} from "./thread.ts";
import { threadFace } from "./thread-face.ts";
import type { ThreadHome } from "./thread-home.ts";
import type { TurnResult } from "./turn-result.ts";
import type { Observed } from "./turn-watch.ts";
import { bounded, whileOpen } from "./wait-options.ts";
import type { Link, LinkOptions, Monitor, MonitorOptions } from "./watching.ts";

const DEFAULT_SHUTDOWN_MS = 10_000;

export class LiveThread implements Thread, Lives, Observed, Addressee {
  readonly id: ThreadId;
  readonly #home: ThreadHome<LiveThread>;
  #incarnation: Incarnation;
  #isClosed = false;
  #isEnding = false;
  readonly #audience: Audience;
  readonly #mailbox: Mailbox;
  #steps: Steps | undefined;
  #pull: EventPull | undefined;

  constructor(home: ThreadHome<LiveThread>, incarnation: Incarnation) {
    this.id = incarnation.threadId;
    this.#home = home;
    this.#incarnation = incarnation;
    this.#audience = new Audience(() => home.noteObserved(this));
    this.#mailbox = new Mailbox(this);
  }

  // For the manager.

  /** The current incarnation, or the last one when the thread is unloaded. */
  get incarnation(): Incarnation {
    return this.#incarnation;
  }

  get isLoaded(): boolean {
    return this.#incarnation.ended === undefined;
  }

  get #cause(): unknown {
    return this.#incarnation.ended?.error;
  }

  closedError(op?: Op): ThreadClosedError {
    return new ThreadClosedError(this.id, op, this.#cause);
  }

  /** Closed for good: nothing loads it again through this handle. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Its holder has asked for its end: it is not to be restarted. */
  get isEnding(): boolean {
    return this.#isEnding;
  }

  /** Where its ops come in. */
  get mailbox(): Mailbox {
    return this.#mailbox;
  }

  get isObserved(): boolean {
    return this.#audience.isThere;
  }

  /** The thread lives again: its observers see all that the next incarnation has said so far, its first event first. */
  adopt(next: Incarnation): void {
    if (this.#incarnation !== next) this.#audience.noteOver(this.#incarnation);
    this.#incarnation = next;
    next.door.showTo(this);
    this.#mailbox.look();
    this.#audience.show(next);
  }

  /** The thread will not live again. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#mailbox.look();
    this.#steps?.close();
    this.#audience.close(this.#cause);
  }

  /** Shows an event to the handle's observers. */
  notify(event: ThreadEvent): void {
    this.#mailbox.look();
    this.#audience.notify(event);
  }

  observe(observer: Observer): () => void {
    if (this.#isClosed) {
      observer.closed(this.#cause);
      return () => undefined;
    }
    return this.#audience.add(observer);
  }

  /** The incarnation that follows, as soon as there is one; undefined when there will be none. */
  following(previous: Incarnation, signal: AbortSignal): Promise<Incarnation | undefined> {
    if (this.#incarnation !== previous) return Promise.resolve(this.#incarnation);
    if (this.#isClosed) return Promise.resolve(undefined);
    return this.#audience.next(signal);
  }

  goesOnWith(id: SubmissionId): boolean {
    return this.#incarnation.intake.goesOnWith(id);
  }

  get past(): PastLife {
    return this.#audience.past;
  }

  // The public face.

  get rolloutPath(): string | null {
    return rolloutPathOf(this.#incarnation.writer);
  }

  get actor(): AnyActorRef | undefined {
    if (!this.isLoaded) return undefined;
    return threadFace(this.#incarnation.actor, this.#incarnation.hasOwnLogic ? "nothing" : "children");
  }

  get epoch(): number {
    return this.#incarnation.epoch;
  }

  get status(): AgentStatus {
    return this.#incarnation.status;
  }

  /** The agent's final status, for its parent. */
  get outcome(): AgentStatus {
    return this.#incarnation.session.outcome;
  }

  get sessionConfigured(): SessionConfiguredEvent {
    const { sessionConfigured } = this.#incarnation;
    if (sessionConfigured === undefined) throw this.closedError();
    return sessionConfigured;
  }

  get config(): ResolvedThreadConfig {
    return this.#incarnation.config;
  }

  get tokenUsage(): TokenUsageInfo | null {
    return this.#incarnation.session.usage ?? null;
  }

  get activeTurn(): ActiveTurn | undefined {
    return activeTurnOf(this.#incarnation);
  }

  async setBudget(change: BudgetChange): Promise<void> {
    if (this.#isClosed) throw this.closedError();
    await this.#home.changeBudget(this, change);
  }

  async setPriority(given: Priority): Promise<void> {
    if (this.#isClosed) throw this.closedError();
    const priority = givenPriority(given);
    await this.#home.changePriority(this, priority);
  }

  async schedule(when: When, op: Op, options: ScheduleOptions = {}): Promise<ScheduledTimer> {
    if (this.#isClosed || this.#isEnding) throw this.closedError(op);
    const scheduled = this.#home.timers.schedule(this.id, when, withKnownInput(parseOp(op)), options);
    return whileOpen(scheduled, this.#incarnation.env.over);
  }

  get timers(): readonly { readonly id: string; readonly dueAt: number }[] {
    return this.#home.timers.of(this.id);
  }

  cancelTimer(id: string): ReturnType<ScheduledTimer["cancel"]> {
    return this.#home.timers.cancel(this.id, id);
  }

  budget(): Promise<BudgetUse | undefined> {
    return this.#home.budgetOf(this);
  }

  get pendingApprovals(): readonly PendingApproval[] {
    return this.#incarnation.questions.approvals.pending;
  }

  get pendingUserQuestions(): readonly PendingApproval[] {
    return this.#incarnation.questions.toUser;
  }

  get terminals(): BackgroundTerminals {
    return this.#incarnation.terminals;
  }

  get events$(): Observable<ThreadEvent> {
    return new Observable((subscriber) =>
      this.observe({ event: (event) => subscriber.next(event), closed: () => subscriber.complete() }),
    );
  }

  get status$(): Observable<AgentStatus> {
    return statusOver(this.events$, () => this.status);
  }

  submit(op: Op, options: SubmitOptions = {}): Promise<SubmissionId> {
    return this.#mailbox.submit({ op }, options);
  }

  async submitWithId(submission: NamedSubmission, options: SubmitOptions = {}): Promise<SubmissionId> {
    checkNamed(submission);
    const { id, op, rerun, isNew } = submission;
    return this.#mailbox.submit({ id: toSubmissionId(id), op, rerun, isNew }, options);
  }

  async outcomeOf(id: string, options: WaitOptions = {}): Promise<SubmissionOutcome | undefined> {
    checkCall("outcomeOf", options);
    options.signal?.throwIfAborted();
    const known = givenSubmissionId(id);
    return bounded(this, "the outcome", () => outcomeOf(this.#incarnation, known), options);
  }

  async ready(options: WaitOptions = {}): Promise<void> {
    return this.#mailbox.ready(options);
  }

  async inMemory(signal: AbortSignal | undefined): Promise<Incarnation> {
    while (isGone(this.#incarnation)) {
      if (this.#isClosed) throw this.closedError();
      await this.bringBack(signal);
    }
    return this.#incarnation;
  }

  async bringBack(signal: AbortSignal | undefined, op?: Op): Promise<void> {
    try {
      await this.#home.load(this, signal);
    } catch (error) {
      throw error instanceof ThreadClosedError ? this.closedError(op) : error;
    }
  }

  noteUndelivered(handing: Handing, error: unknown): void {
    this.#home.noteUndelivered(this, handing, error);
  }

  /** Calls that overlap get an event each, in their order. */
  async nextEvent(options: WaitOptions = {}): Promise<Event> {
    checkCall("nextEvent", options);
    options.signal?.throwIfAborted();
    this.#pull ??= new EventPull(new EventStream(this, this.#incarnation, { after: 0 }));
    const event = await this.#pull.next((within) => bounded(this, "the next event", within, options));
    if (event === undefined) throw this.closedError();
    return event;
  }

  events(options: EventsOptions = {}): AsyncIterableIterator<ThreadEvent, undefined> {
    checkCall("events", options);
    const { after, signal } = options;
    return new EventStream(this, this.#incarnation, { after: this.#startOf(after), signal });
  }

  /** A place of an earlier incarnation replays the current one whole. */
  #startOf(after: EventsOptions["after"]): number | undefined {
    if (after === undefined || typeof after === "number") return after;
    return after.epoch === this.epoch ? after.seq : -1;
  }

  async run<Output = unknown>(
    input: string | readonly UserInput[],
    options: RunOptions<Output> = {},
  ): Promise<TurnResult<Output>> {
    const items = runInput(input);
    checkCall("run", options);
    const { outputSchema } = options;
    const schema = outputSchema === undefined ? {} : { final_output_json_schema: shownToModel(outputSchema) };
    const result = await runTurn(this, { type: "user_input", items, ...schema }, options);
    return outputSchema === undefined ? result : await withOutput(result, outputSchema);
  }

  async compact(options: WaitOptions = {}): Promise<TurnResult> {
    checkCall("compact", options);
    return runTurn(this, { type: "compact" }, options);
  }

  async rollback(turns: RolledBackTurns, options: RollbackOptions = {}): Promise<void> {
    checkCall("rollback", options);
    options.signal?.throwIfAborted();
    checkTurns(turns);
    await rollBack(this, turns, options);
  }

  async review(target: ReviewTarget, options: WaitOptions = {}): Promise<TurnResult> {
    checkCall("review", options);
    return runTurn(this, { type: "review", review_request: { target } }, options);
  }

  async step<T>(id: string, work: StepWork<T>, options: StepOptions = {}): Promise<T> {
    checkCall("step", options);
    options.signal?.throwIfAborted();
    if (this.#isClosed) throw this.closedError();
    this.#steps ??= new Steps(new StepLines(this));
    const steps = this.#steps;
    return bounded(this, `step \`${id}\``, (signal) => steps.run(id, work, { ...options, signal }), options);
  }

  async interrupt(how: InterruptOptions = {}): Promise<void> {
    checkCall("interrupt", how);
    how.signal?.throwIfAborted();
    if (this.#isClosed) throw this.closedError();
    await interruptTurn(this, how);
  }

  monitor(other: WatchedThread, options?: MonitorOptions): Monitor {
    return this.#home.monitors.monitor(this.id, this.#otherThan(other), options);
  }

  async monitors(): Promise<readonly Monitor[]> {
    if (this.#isClosed) throw this.closedError();
    return this.#home.monitors.monitors(this.id);
  }

  link(other: WatchedThread, options?: LinkOptions): Link {
    return this.#home.monitors.link(this.id, this.#otherThan(other), options);
  }

  /** @throws ThreadClosedError, InvalidRequestError */
  #otherThan(thread: WatchedThread): ThreadId {
    if (this.#isClosed) throw this.closedError();
    const id = givenThreadId(typeof thread === "string" ? thread : thread?.id, "thread");
    if (id === this.id)
      throw new InvalidRequestError("a thread can't watch or be linked with itself; give another one");
    return id;
  }

  get #messenger(): ThreadMessenger {
    if (this.#isClosed) throw this.closedError();
    return this.#home.messages.messengerOf(this.id);
  }

  async send<const To extends Recipient>(to: To, message: MessageTo<To>, options?: SendOptions): Promise<SubmissionId> {
    return whileOpen(this.#messenger.send(to, message, options), this.#incarnation.env.over);
  }

  async request<const To extends Recipient, const Message extends RequestTo<To>>(
    to: To,
    message: Message,
    options?: RequestOptions,
  ): Promise<ReplyFrom<To, Message>> {
    return whileOpen(this.#messenger.request(to, message, options), this.#incarnation.env.over);
  }

  async publish(topic: string, message: ThreadMessage, options?: SendOptions): Promise<PublishReport> {
    return this.#messenger.publish(topic, message, options);
  }

  subscribe(topic: string): Subscription {
    return this.#messenger.subscribe(topic);
  }

  async shutdown(options: WaitOptions = {}): Promise<ShutdownOutcome> {
    checkCall("shutdown", options);
    const { signal, deadlineMs = DEFAULT_SHUTDOWN_MS } = options;
    if (this.#isClosed) return "completed";
    signal?.throwIfAborted();
    this.#isEnding = true;
    const closed = Promise.withResolvers<void>();
    const stop = this.observe({ event: () => undefined, closed: closed.resolve });
    try {
      await bounded(this, "the shutdown", () => this.#askToClose(closed.promise), { signal, deadlineMs });
      return "completed";
    } catch (error) {
      if (!(error instanceof DeadlineExceededError)) throw error;
      if (this.#incarnation.retire()) {
        await closed.promise;
        return this.#incarnation.writer.failure === undefined ? "completed" : "timedOut";
      }
      await this.#home.kill(this);
      return "timedOut";
    } finally {
      stop();
    }
  }

  async #askToClose(closed: Promise<void>): Promise<void> {
    const { leaving } = this.#incarnation.life;
    if (leaving !== undefined) await leaving;
    if (this.isLoaded) void handOver(this.#incarnation, { op: { type: "shutdown" } });
    else await this.#home.kill(this);
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }
}
