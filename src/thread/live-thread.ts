/**
 * A thread as its holders see it: one handle over all of its incarnations.
 *
 * The handle outlives restarts and unloading; observers stay attached to it. What is said to an unloaded thread loads
 * it again. `home` is whoever can do that.
 */
import { Observable } from "rxjs";
import type { AnyActorRef } from "xstate";
import { raceAbort, withDeadline } from "../kernel/cancellation.ts";
import { isLagged } from "../kernel/event-log.ts";
import type { AgentStatus } from "../protocol/agent-status.ts";
import { InvalidRequestError, NoActiveTurnError, ThreadClosedError } from "../protocol/errors.ts";
import type { Event, EventMsg, SessionConfiguredEvent, ThreadEvent } from "../protocol/event.ts";
import { type SubmissionId, type ThreadId, toSubmissionId } from "../protocol/ids.ts";
import { type Op, parseOp } from "../protocol/op.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";
import type { UserInput } from "../protocol/user-input.ts";
import type { PendingApproval } from "../turn/approvals.ts";
import type { Incarnation } from "./incarnation.ts";
import { shownToModel, withOutput } from "./output-schema.ts";
import { acceptOp, acceptOpOnce } from "./submissions.ts";
import type {
  ActiveTurn,
  EventsOptions,
  InterruptOptions,
  RunOptions,
  ShutdownOutcome,
  Thread,
  TurnResult,
  WaitOptions,
} from "./thread.ts";
import { TurnWatch } from "./turn-watch.ts";

/** Where a handle turns to when its thread is not in memory, or is to be ended by force. */
export interface ThreadHome {
  /** Loads the thread again. @throws ThreadClosedError when it is closed for good */
  load(thread: LiveThread, signal: AbortSignal | undefined): Promise<Incarnation>;
  /** Ends the thread now, whatever it does. */
  kill(thread: LiveThread): Promise<void>;
  /** Whether somebody observes the thread: then it must be found again when it is loaded the next time. */
  pin(thread: LiveThread): void;
}

const DEFAULT_SHUTDOWN_MS = 10_000;

export class LiveThread implements Thread {
  readonly id: ThreadId;
  readonly #home: ThreadHome;
  #incarnation: Incarnation;
  #isClosed = false;
  #isEnding = false;
  #listeners: Set<(event: ThreadEvent) => void> | undefined;
  /** Those that wait for the next incarnation; resolved with undefined when there will be none. */
  #waiting: Set<(next: Incarnation | undefined) => void> | undefined;
  #pull: AsyncIterator<ThreadEvent, undefined> | undefined;
  #pulled: Promise<IteratorResult<ThreadEvent, undefined>> | undefined;

  constructor(home: ThreadHome, incarnation: Incarnation) {
    this.id = incarnation.threadId;
    this.#home = home;
    this.#incarnation = incarnation;
  }

  // For the manager.

  /** The current incarnation, or the last one when the thread is unloaded. */
  get incarnation(): Incarnation {
    return this.#incarnation;
  }

  get isLoaded(): boolean {
    return this.#incarnation.endReason === undefined;
  }

  /** Closed for good: nothing loads it again through this handle. */
  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Its holder has asked for its end: it is not to be restarted. */
  get isEnding(): boolean {
    return this.#isEnding;
  }

  get isObserved(): boolean {
    return (this.#listeners?.size ?? 0) > 0 || (this.#waiting?.size ?? 0) > 0;
  }

  /** The thread lives again. */
  adopt(next: Incarnation): void {
    if (this.#incarnation.endReason === "unloaded") next.status = this.#incarnation.status;
    this.#incarnation = next;
    this.#release(next);
  }

  /** The thread will not live again. */
  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#release(undefined);
  }

  #release(next: Incarnation | undefined): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    for (const resolve of waiting ?? []) resolve(next);
  }

  /** Shows an event to the handle's observers. A listener that throws is its owner's problem, told in a macrotask. */
  notify(event: ThreadEvent): void {
    if (this.#listeners === undefined) return;
    for (const listener of this.#listeners) listener(event);
  }

  // The public face.

  get rolloutPath(): string | null {
    return this.#incarnation.writer.rolloutPath;
  }

  get actor(): AnyActorRef | undefined {
    return this.isLoaded ? this.#incarnation.actor : undefined;
  }

  get epoch(): number {
    return this.#incarnation.epoch;
  }

  get status(): AgentStatus {
    return this.#incarnation.status;
  }

  get sessionConfigured(): SessionConfiguredEvent {
    const { sessionConfigured } = this.#incarnation;
    if (sessionConfigured === undefined) throw new ThreadClosedError(this.id);
    return sessionConfigured;
  }

  get config(): ResolvedThreadConfig {
    return this.#incarnation.config;
  }

  get activeTurn(): ActiveTurn | undefined {
    const { turn } = this.#incarnation;
    if (turn === undefined || turn.ended) return undefined;
    return { turnId: turn.turnId, submissionId: turn.id, takesInput: turn.takesInput, startedAt: turn.startedAt };
  }

  get pendingApprovals(): readonly PendingApproval[] {
    return this.#incarnation.approvals.pending;
  }

  get events$(): Observable<ThreadEvent> {
    return new Observable((subscriber) => {
      const listener = (event: ThreadEvent) => subscriber.next(event);
      this.#listeners ??= new Set();
      this.#listeners.add(listener);
      this.#home.pin(this);
      if (this.#isClosed) subscriber.complete();
      const onClosed = this.#whenClosed(() => subscriber.complete());
      return () => {
        this.#listeners?.delete(listener);
        onClosed();
      };
    });
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

  #whenClosed(fn: () => void): () => void {
    let isOff = false;
    const wait = () => {
      this.#waiting ??= new Set();
      this.#waiting.add(resolve);
    };
    const resolve = (next: Incarnation | undefined) => {
      if (isOff) return;
      if (next === undefined) fn();
      else wait();
    };
    if (!this.#isClosed) wait();
    return () => {
      isOff = true;
      this.#waiting?.delete(resolve);
    };
  }

  async submit(op: Op, options: WaitOptions = {}): Promise<SubmissionId> {
    options.signal?.throwIfAborted();
    const parsed = parseOp(op);
    const incarnation = await this.#living(parsed, options.signal);
    return acceptOp(incarnation, parsed, options);
  }

  async submitWithId({ id, op }: { id: string; op: Op }, options: WaitOptions = {}): Promise<SubmissionId> {
    options.signal?.throwIfAborted();
    if (typeof id !== "string" || id === "")
      throw new InvalidRequestError("submission id: must be a text, and not empty");
    const parsed = parseOp(op);
    const incarnation = await this.#living(parsed, options.signal);
    return acceptOpOnce(incarnation, { id: toSubmissionId(id), op: parsed }, options);
  }

  /** No await when the thread is in memory, so that ops keep the order of their submission (T3). */
  #living(op: Op | undefined, signal?: AbortSignal): Incarnation | Promise<Incarnation> {
    if (this.#isClosed) throw new ThreadClosedError(this.id, op);
    if (this.isLoaded && this.#incarnation.unloading === undefined) return this.#incarnation;
    return this.#home.load(this, signal);
  }

  async nextEvent(options: WaitOptions = {}): Promise<Event> {
    for (;;) {
      this.#pull ??= this.#eventsFrom(this.#incarnation, 0);
      this.#pulled ??= this.#pull.next();
      const { done, value } = await this.#bounded("the next event", this.#pulled, options);
      this.#pulled = undefined;
      if (done) throw new ThreadClosedError(this.id);
      if (value.msg.type !== "session_configured") return { id: value.id, msg: value.msg };
    }
  }

  events({ after, signal }: EventsOptions = {}): AsyncIterableIterator<ThreadEvent, undefined> {
    return this.#eventsFrom(this.#incarnation, this.#startOf(after), signal);
  }

  /** A place of an earlier incarnation replays the current one whole. */
  #startOf(after: EventsOptions["after"]): number | undefined {
    if (after === undefined || typeof after === "number") return after;
    return after.epoch === this.epoch ? after.seq : -1;
  }

  #eventsFrom(
    start: Incarnation,
    after: number | undefined,
    signal?: AbortSignal,
  ): AsyncIterableIterator<ThreadEvent, undefined> {
    let incarnation = start;
    let cursor = start.log.cursor({ after, signal });
    const next = async (): Promise<IteratorResult<ThreadEvent, undefined>> => {
      for (;;) {
        const { done, value } = await cursor.next();
        if (!done)
          return { done: false, value: isLagged(value) ? this.#laggedEvent(incarnation, value.lagged) : value };
        const following = await this.#after(incarnation, signal);
        if (following === undefined) return { done: true, value: undefined };
        incarnation = following;
        cursor = following.log.cursor({ after: -1, signal });
      }
    };
    return {
      next,
      return: async () => {
        await cursor.return();
        return { done: true, value: undefined };
      },
      [Symbol.asyncIterator]() {
        return this;
      },
    };
  }

  #laggedEvent(incarnation: Incarnation, { from, to }: { from: number; to: number }): ThreadEvent {
    const msg: EventMsg = { type: "lagged", from, to };
    return { threadId: this.id, seq: to, epoch: incarnation.epoch, id: toSubmissionId(""), msg };
  }

  /** The incarnation that follows this one, as soon as there is one; undefined when there will be none. */
  #after(previous: Incarnation, signal: AbortSignal | undefined): Promise<Incarnation | undefined> {
    if (this.#incarnation !== previous) return Promise.resolve(this.#incarnation);
    if (this.#isClosed) return Promise.resolve(undefined);
    const { promise, resolve } = Promise.withResolvers<Incarnation | undefined>();
    this.#waiting ??= new Set();
    this.#waiting.add(resolve);
    this.#home.pin(this);
    return raceAbort(promise, signal).finally(() => this.#waiting?.delete(resolve));
  }

  async run<Output = unknown>(
    input: string | readonly UserInput[],
    options: RunOptions<Output> = {},
  ): Promise<TurnResult<Output>> {
    const items: UserInput[] = typeof input === "string" ? [{ type: "text", text: input }] : [...input];
    const { outputSchema } = options;
    const schema = outputSchema === undefined ? {} : { final_output_json_schema: shownToModel(outputSchema) };
    const op = parseOp({ type: "user_input", items, ...schema });
    options.signal?.throwIfAborted();
    const incarnation = await this.#living(op, options.signal);
    const watch = new TurnWatch(this.id, this.#eventsFrom(incarnation, undefined));
    try {
      const id = await acceptOp(incarnation, op, {});
      const result = await this.#bounded("the turn", watch.resultOf(id), options);
      return outputSchema === undefined ? result : await withOutput(result, outputSchema);
    } catch (error) {
      if (options.signal?.aborted || watch.isOpen) void this.interrupt().catch(() => undefined);
      throw error;
    } finally {
      watch.stop();
    }
  }

  async interrupt({ turnId, signal, deadlineMs }: InterruptOptions = {}): Promise<void> {
    signal?.throwIfAborted();
    if (this.#isClosed) throw new ThreadClosedError(this.id);
    const incarnation = this.#incarnation;
    const running = this.isLoaded ? incarnation.turn : undefined;
    if (turnId !== undefined && running?.turnId !== turnId) {
      throw new NoActiveTurnError(
        running === undefined ? undefined : `expected active turn id ${turnId} but found ${running.turnId}`,
      );
    }
    if (!this.isLoaded) return;
    const watch = new TurnWatch(this.id, this.#eventsFrom(incarnation, undefined));
    try {
      acceptOp(incarnation, { type: "interrupt" }, {}).catch(() => undefined);
      if (running === undefined || running.ended) return;
      await this.#bounded("the interrupt", watch.endOf(running.id), { signal, deadlineMs });
    } finally {
      watch.stop();
    }
  }

  async shutdown(options: WaitOptions = {}): Promise<ShutdownOutcome> {
    if (this.#isClosed) return "completed";
    if (!this.isLoaded) {
      await this.#home.kill(this);
      return "completed";
    }
    this.#isEnding = true;
    const closed = Promise.withResolvers<void>();
    const off = this.#whenClosed(closed.resolve);
    try {
      acceptOp(this.#incarnation, { type: "shutdown" }, {}).catch(() => undefined);
      await this.#bounded("the shutdown", closed.promise, { deadlineMs: DEFAULT_SHUTDOWN_MS, ...options });
      return "completed";
    } catch (error) {
      await this.#home.kill(this);
      if (options.signal?.aborted) throw error;
      return "timedOut";
    } finally {
      off();
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.shutdown();
  }

  #bounded<T>(what: string, promise: Promise<T>, { signal, deadlineMs }: WaitOptions): Promise<T> {
    if (deadlineMs === undefined) return raceAbort(promise, signal);
    return withDeadline(`${what} of thread ${this.id}`, promise, {
      deadlineMs,
      signal,
      clock: this.#incarnation.env.clock,
    });
  }
}
