/** A thread of a cluster, as a program holds it: the same face as a thread of a manager, over any workers that come to run it. */
import { Observable } from "rxjs";
import { isEmptyInput } from "../../machines/thread.machine.ts";
import { withDeadline } from "../kernel/cancellation.ts";
import { systemClock } from "../kernel/clock.ts";
import type { Post } from "../manager/post.ts";
import type { AgentStatus } from "../protocol/agent-status.ts";
import type { BudgetUse } from "../protocol/budget.ts";
import { InternalDefect, InvalidRequestError, SkeinError, ThreadClosedError } from "../protocol/errors.ts";
import type { Event, SessionConfiguredEvent, ThreadEvent } from "../protocol/event.ts";
import { newTurnId, type SubmissionId, type ThreadId, toSubmissionId } from "../protocol/ids.ts";
import type { MessageTo, Recipient } from "../protocol/message.ts";
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
import { type Priority, parseThreadConfig, type ResolvedThreadConfig } from "../protocol/thread-config.ts";
import type { TokenUsageInfo } from "../protocol/token-usage.ts";
import type { UserInput } from "../protocol/user-input.ts";
import { parseWith } from "../protocol/validation.ts";
import { withKnownInput } from "../thread/known-input.ts";
import type { SendOptions } from "../thread/messaging.ts";
import { shownToModel, withOutput } from "../thread/output-schema.ts";
import { traceOf } from "../thread/submission-ledger.ts";
import type {
  ActiveTurn,
  EventsOptions,
  InterruptOptions,
  NamedSubmission,
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
import type { ClusterThread } from "./cluster-thread.ts";
import { Feed, type FeedSource } from "./feed.ts";
import { MessageLine, type Running } from "./message-line.ts";
import { REFUSED_OF_THREADS, refuseMembers } from "./refused-members.ts";
import { RemoteEvents } from "./remote-events.ts";
import { RemoteView } from "./remote-view.ts";
import { RemoteWatches } from "./remote-watch.ts";
import type { ThreadHost } from "./thread-host.ts";
import { resultOf } from "./turn-results.ts";
import { type Facts, type LiveState, type Look, type Message, shownConfig, type TurnAnswer } from "./wire.ts";

const DEFAULT_SHUTDOWN_MS = 10_000;

export class RemoteThread implements ClusterThread, FeedSource {
  readonly id: ThreadId;
  readonly #host: ThreadHost;
  readonly #origin: Facts;
  readonly #view: RemoteView;
  /** Where what it tells from the start begins, and the life in which it was at work then. */
  readonly #from: { readonly position: number; readonly lateIn: number | undefined };
  #feed: Feed | undefined;
  #pull: RemoteEvents | undefined;
  #pulled: Promise<IteratorResult<ThreadEvent, undefined>> | undefined;
  #watches: RemoteWatches | undefined;
  #isClosed = false;
  readonly #line: MessageLine;

  /** @param since from where on it tells its events: from how it stood at that look, or all of them */
  constructor(host: ThreadHost, { note: { facts: now, state, run }, position }: Look, since: "now" | "start" = "now") {
    const isWhole = since === "start";
    const facts = isWhole ? { ...now, position: 0 } : now;
    this.id = facts.threadId;
    this.#host = host;
    this.#origin = facts;
    this.#view = new RemoteView(facts, run);
    this.#isClosed = state === "closed";
    this.#line = new MessageLine(host, this.id, {
      view: this.#view,
      news: () => this.#feed?.poke(),
      closed: () => {
        this.#isClosed = true;
      },
      failed: (text) => this.#feed?.tellFailure(toSubmissionId(""), text),
    });
    this.#from = isWhole
      ? { position: 0, lateIn: undefined }
      : { position: Math.max(position, facts.position), lateIn: run?.epoch };
    if (run !== null) this.#line.follow(run);
  }

  /** The connection has been closed. */
  disconnect(): void {
    this.#watches?.close(this.#host.signal.reason);
    this.#feed?.close();
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
    return new Observable((subscriber) =>
      this.#listen({
        from: Math.max(this.#from.position, this.#view.facts.position),
        event: (event) => subscriber.next(event),
        closed: () => subscriber.complete(),
      }),
    );
  }

  get status$(): Observable<AgentStatus> {
    return new Observable((subscriber) => {
      let last = this.status;
      subscriber.next(last);
      return this.events$.subscribe({
        next: () => {
          if (this.status === last) return;
          last = this.status;
          subscriber.next(last);
        },
        complete: () => subscriber.complete(),
      });
    });
  }

  async refresh(options: WaitOptions = {}): Promise<void> {
    await this.#bounded(
      "the look",
      async (signal) => {
        const look = await this.look(signal);
        this.takeLook(look);
        const { run } = look.note;
        if (run !== null && !this.#view.isStated(run.epoch) && this.#feed?.isHeard) await this.#feed.stated();
      },
      options,
    );
  }

  /** How the thread stood just now, as somebody has asked. */
  takeLook({ note: { facts, run, state } }: Look): void {
    if (state === "closed") this.#isClosed = true;
    if (run === null) {
      // What was begun just now may not have reached its worker yet.
      if (this.#line.running === undefined) this.#view.absorb(facts);
    } else if (run.invocation !== this.#line.running?.invocation) this.#line.follow(run);
  }

  // Its events.

  look(signal?: AbortSignal): Promise<Look> {
    return this.#host.look(this.id, signal);
  }

  lines(from: number, to: number | undefined, signal?: AbortSignal): AsyncIterable<readonly RolloutLine[]> {
    return this.#host.lines(this.id, from, to, signal);
  }

  note(event: ThreadEvent): void {
    this.#host.hear(this.id, event.msg);
    this.#view.note(event);
  }

  noteState(state: LiveState): void {
    this.#view.noteState(state);
  }

  get #events(): Feed {
    const { position: ordinal, epoch, configured } = this.#origin;
    this.#feed ??= new Feed(this, { ordinal, epoch, configured, lateIn: this.#from.lateIn });
    if (this.#isClosed || this.#host.signal.aborted) this.#feed.close();
    return this.#feed;
  }

  #listen(subscriber: Parameters<Feed["subscribe"]>[0]): () => void {
    return this.#events.subscribe(subscriber);
  }

  events({ after, signal }: EventsOptions = {}): AsyncIterableIterator<ThreadEvent, undefined> {
    const feed = this.#events;
    const start =
      after === undefined
        ? { index: feed.end, from: Math.max(this.#from.position, this.#view.facts.position) }
        : { index: feed.indexAfter(after), from: 0 };
    return new RemoteEvents(feed, { ...start, signal });
  }

  /** Calls that overlap get an event each, in their order. */
  async nextEvent(options: WaitOptions = {}): Promise<Event> {
    for (;;) {
      options.signal?.throwIfAborted();
      this.#pull ??= new RemoteEvents(this.#events, { index: 1, from: 0 });
      this.#pulled ??= this.#pull.next();
      const pulled = this.#pulled;
      const { done, value } = await this.#bounded("the next event", () => pulled, options);
      if (done) throw new ThreadClosedError(this.id);
      if (this.#pulled !== pulled) continue;
      this.#pulled = undefined;
      if (value.msg.type !== "session_configured") return { id: value.id, msg: value.msg };
    }
  }

  // What it is told.

  submit(op: Op, options: SubmitOptions = {}): Promise<SubmissionId> {
    return this.#submit({ id: newTurnId(), op, isNew: true }, options);
  }

  async submitWithId(submission: NamedSubmission, options: SubmitOptions = {}): Promise<SubmissionId> {
    checkSubmissionId(submission.id);
    return this.#submit(submission, options);
  }

  /** @param look how the thread stood just now, where somebody has asked */
  async #submit(
    { id, op: given, isNew, rerun }: NamedSubmission,
    options: SubmitOptions,
    look?: Look,
  ): Promise<SubmissionId> {
    options.signal?.throwIfAborted();
    const op = withKnownInput(parseOp(given));
    await this.#bounded(
      "the submission",
      async (signal) => {
        if (look !== undefined) this.takeLook(look);
        else if (this.#line.running === undefined) this.takeLook(await this.look(signal));
        if (op.type === "thread_rollback") return this.#rollBack({ id, turns: op.num_turns }, signal);
        const before = this.#line.running;
        const running = await this.#send({ kind: "op", id, op, isNew, rerun }, signal);
        // What the settings are from now on is known when it has been carried out.
        if (op.type === "override_turn_context" && running !== before) await running?.answer;
      },
      options,
      op,
    );
    this.#view.noteAnswered(op);
    return toSubmissionId(id);
  }

  /** As submit, for whoever has just looked. */
  submitAfter(
    look: Look,
    submission: { readonly id?: string | undefined; readonly op: Op },
    options: SubmitOptions = {},
  ): Promise<SubmissionId> {
    const { id, op } = submission;
    if (id === undefined) return this.#submit({ id: newTurnId(), op, isNew: true }, options, look);
    checkSubmissionId(id);
    return this.#submit({ id, op }, options, look);
  }

  async #send(message: Message, signal: AbortSignal): Promise<Running | undefined> {
    if (this.#isClosed) throw new ThreadClosedError(this.id, message.kind === "op" ? message.op : undefined);
    return this.#line.send(message, signal);
  }

  async ready(options: WaitOptions = {}): Promise<void> {
    options.signal?.throwIfAborted();
    if (this.#isClosed) throw new ThreadClosedError(this.id);
  }

  async outcomeOf(id: string, options: WaitOptions = {}): Promise<SubmissionOutcome | undefined> {
    checkSubmissionId(id);
    return this.#bounded(
      "the outcome",
      async (signal) => {
        const { note } = await this.look(signal);
        const trace = await traceOf(this.lines(0, undefined, signal), { id: toSubmissionId(id), threadId: this.id });
        if (trace === undefined) return note.run?.submissionId === id ? "running" : undefined;
        if (trace.end !== "open") return trace.end;
        return note.run === null ? "cut" : "running";
      },
      options,
    );
  }

  budget(): Promise<BudgetUse | undefined> {
    return this.#host.budgetOf(this.id);
  }

  async setBudget(change: BudgetChange): Promise<void> {
    await this.#message({ kind: "budget", id: newTurnId(), change });
  }

  /** Also for its later turns, on whichever worker. */
  async setPriority(given: Priority): Promise<void> {
    const { priority = given } = parseThreadConfig({ priority: given });
    await this.#message({ kind: "priority", id: newTurnId(), priority });
  }

  async send<const To extends Recipient>(to: To, message: MessageTo<To>, options?: SendOptions): Promise<SubmissionId> {
    if (this.#isClosed) throw new ThreadClosedError(this.id, message);
    return this.#host.sendFrom(this.id, to, message, options);
  }

  monitor(other: WatchedThread, options?: MonitorOptions): Monitor {
    return this.#watching.monitor(other, options);
  }

  link(other: WatchedThread, options?: LinkOptions): Link {
    return this.#watching.link(other, options);
  }

  get #watching(): RemoteWatches {
    if (this.#isClosed) throw new ThreadClosedError(this.id);
    this.#watches ??= new RemoteWatches(this.#host, this.id);
    return this.#watches;
  }

  /** Resolves when the engine has the message, or the worker that runs the thread. */
  async receive({ id, from, message }: Post, look: Look, signal: AbortSignal): Promise<void> {
    this.takeLook(look);
    await this.#host.check(this.id, message, signal);
    await this.#send({ kind: "message", id, from, message }, signal);
  }

  /** The engine keeps it, and gives the op by way of any worker. */
  async schedule(when: When, given: Op, { id = newTurnId() }: ScheduleOptions = {}): Promise<ScheduledTimer> {
    if (this.#isClosed) throw new ThreadClosedError(this.id, given);
    const set = newTurnId();
    const op = withKnownInput(parseOp(given));
    const timer = parseWith(
      storedTimerSchema,
      { ...{ id, set, op, next: 0, fired: 0 }, ...readWhen(when, Date.now()) },
      "schedule",
    );
    await this.#bounded("the timer", () => this.#host.setTimer(this.id, timer), {});
    return { id, dueAt: dueAtOf(timer), cancel: () => this.#host.cancelTimer(this.id, id, set) };
  }

  cancelTimer(id: string): ReturnType<ScheduledTimer["cancel"]> {
    return this.#host.cancelTimer(this.id, id);
  }

  /** Hands a message in, and waits until it was carried out. */
  async #message(message: Message, options: WaitOptions = {}, what = "the message"): Promise<void> {
    await this.#bounded(what, (signal) => this.#carryOut(message, signal), options);
  }

  /** @returns what the invocation came to that was made for the message */
  async #carryOut(message: Message, signal: AbortSignal): Promise<TurnAnswer | undefined> {
    if (this.#line.running === undefined) this.takeLook(await this.look(signal));
    const before = this.#line.running;
    const running = await this.#send(message, signal);
    return running === undefined || running === before ? undefined : running.answer;
  }

  // Turns.

  async run<Output = unknown>(
    input: string | readonly UserInput[],
    options: RunOptions<Output> = {},
  ): Promise<TurnResult<Output>> {
    if (typeof input !== "string" && !Array.isArray(input)) {
      throw new InvalidRequestError('run: give a text, or an array of input items such as { type: "text", text }');
    }
    const items: UserInput[] = typeof input === "string" ? [{ type: "text", text: input }] : [...input];
    const { outputSchema } = options;
    const schema = outputSchema === undefined ? {} : { final_output_json_schema: shownToModel(outputSchema) };
    const result = await this.#runOp({ type: "user_input", items, ...schema }, options);
    return outputSchema === undefined ? result : await withOutput(result, outputSchema);
  }

  compact(options: WaitOptions = {}): Promise<TurnResult> {
    return this.#runOp({ type: "compact" }, options);
  }

  review(target: ReviewTarget, options: WaitOptions = {}): Promise<TurnResult> {
    return this.#runOp({ type: "review", review_request: { target } }, options);
  }

  async #runOp(given: Op, options: WaitOptions): Promise<TurnResult<never>> {
    options.signal?.throwIfAborted();
    const op = withKnownInput(parseOp(given));
    const id = newTurnId();
    if (isEmptyInput(op)) return nothingOf(toSubmissionId(id));
    let isSent = false;
    let isOver = false;
    try {
      return await this.#bounded(
        "the turn",
        async (signal) => {
          const running = await this.#send({ kind: "op", id, op, isNew: true }, signal);
          isSent = true;
          if (running === undefined) throw new InternalDefect("a turn was sent to nobody");
          const answer = await running.answer;
          isOver = true;
          await this.#feed?.reached(answer.facts.position);
          return this.#resultIn(answer, toSubmissionId(id), signal);
        },
        options,
        op,
      );
    } catch (error) {
      const isGivenUp = options.signal?.aborted || (error instanceof SkeinError && error.code === "deadline_exceeded");
      if (isSent && !isOver && isGivenUp) void this.interrupt().catch(() => undefined);
      throw error;
    }
  }

  async #resultIn({ results }: TurnAnswer, id: SubmissionId, signal: AbortSignal): Promise<TurnResult<never>> {
    const sent = results[id];
    if (sent === undefined) throw new InternalDefect(`no worker says what became of submission ${id}`);
    const { items, ...rest } = sent;
    if (items !== null) return { ...rest, items };
    const turnId = rest.turnId ?? id;
    const whole = await resultOf(this.lines(this.#origin.position, undefined, signal), { id, turnId });
    return { ...rest, items: whole.items };
  }

  async interrupt({ turnId, ...options }: InterruptOptions = {}): Promise<void> {
    if (this.#isClosed) throw new ThreadClosedError(this.id);
    await this.#message({ kind: "interrupt", id: newTurnId(), turnId }, options, "the interrupt");
  }

  async rollback(turns: number, options: WaitOptions = {}): Promise<void> {
    if (!Number.isSafeInteger(turns) || turns < 1)
      throw new InvalidRequestError("rollback: give how many turns, from 1 on");
    await this.#bounded("the rollback", (signal) => this.#rollBack({ id: newTurnId(), turns }, signal), options);
  }

  async #rollBack({ id, turns }: { id: string; turns: number }, signal: AbortSignal): Promise<void> {
    const stop = this.#feed?.expectRollback(toSubmissionId(id));
    try {
      const answer = await this.#carryOut({ kind: "rollback", id, turns }, signal);
      await this.#feed?.reached(answer?.facts.position ?? 0);
    } finally {
      stop?.();
    }
  }

  async shutdown({ signal, deadlineMs = DEFAULT_SHUTDOWN_MS }: WaitOptions = {}): Promise<ShutdownOutcome> {
    if (this.#isClosed) return "completed";
    await this.#bounded(
      "the shutdown",
      async (inner) => {
        await this.interrupt({ signal: inner }).catch(() => undefined);
        await this.#host.close(this.id, inner);
        await this.#feed?.reached((await this.look(inner)).position);
      },
      { signal, deadlineMs },
    );
    this.#isClosed = true;
    this.#view.noteShutdown();
    this.#watches?.close(new ThreadClosedError(this.id));
    this.#feed?.close();
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
      this.#isClosed = true;
      throw new ThreadClosedError(this.id, op);
    }
  }
}

refuseMembers(RemoteThread.prototype, REFUSED_OF_THREADS);

/** @throws InvalidRequestError */
function checkSubmissionId(id: unknown): void {
  if (typeof id !== "string" || id === "")
    throw new InvalidRequestError("submission id: must be a text, and not empty");
}

const nothingOf = (submissionId: SubmissionId): TurnResult<never> => ({
  ...{ submissionId, turnId: null, status: "completed", lastAgentMessage: null, items: [], usage: null, error: null },
});
