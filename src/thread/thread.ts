import type { Observable } from "rxjs";
import type { AnyActorRef } from "xstate";
import type { AgentStatus } from "../protocol/agent-status.ts";
import type { BudgetUse } from "../protocol/budget.ts";
import type { Event, SessionConfiguredEvent, ThreadEvent } from "../protocol/event.ts";
import type { SubmissionId, ThreadId, TurnId } from "../protocol/ids.ts";
import type { Op } from "../protocol/op.ts";
import type { ScheduledTimer, ScheduleOptions, When } from "../protocol/schedule.ts";
import type { Priority, ResolvedThreadConfig } from "../protocol/thread-config.ts";
import type { TokenUsageInfo } from "../protocol/token-usage.ts";
import type { UserInput } from "../protocol/user-input.ts";
import type { PendingApproval } from "../turn/pending-approval.ts";
import type { ReviewTarget } from "../turn/review/target.ts";
import type { BudgetChange } from "../turn/spending.ts";
import type { BackgroundTerminals } from "../turn/tools/exec/background-terminals.ts";
import type { ThreadMessenger } from "./messaging.ts";
import type { OutputSchema } from "./output-schema.ts";
import type { StepOptions, StepWork } from "./steps.ts";
import type { TurnResult } from "./turn-result.ts";
import type { WaitOptions, WhenFull } from "./wait-options.ts";
import type { Link, LinkOptions, Monitor, MonitorOptions } from "./watching.ts";

export type { WaitOptions, WhenFull };

/** `stored` (the default): what is acknowledged outlives the process. `memory`: it is taken, and stored soon after. */
export type Durability = "stored" | "memory";

/** How `submit` waits, and when it counts an op as taken. */
export type SubmitOptions = WaitOptions & {
  readonly durability?: Durability | undefined;
  /**
   * Default `wait`: in the order of submission, as long as the signal or the deadline says; without either until nothing in
   * line has moved for `limits.roomDeadlineMs`, and then OverloadedError.
   */
  readonly whenFull?: WhenFull | undefined;
};

/** An op under an id of the caller's. */
export type NamedSubmission = {
  readonly id: string;
  readonly op: Op;
  /** Runs one again that the thread has seen and whose turn was cut. One that is done, or runs, stays as it is. */
  readonly rerun?: boolean | undefined;
  /** The id was made for this submission alone: nothing is looked up for it. */
  readonly isNew?: boolean | undefined;
};

/** A place in a thread's events: a seq of the current incarnation, or of a given one. -1 is before the first. */
export type EventPlace = number | { readonly epoch: number; readonly seq: number };

/** Where a subscription starts. On abort it ends. */
export type EventsOptions = {
  /** Replay what comes after this place, then go on live. Without it, only what comes from now on. */
  readonly after?: EventPlace | undefined;
  readonly signal?: AbortSignal | undefined;
};

/** How `Thread.run` waits, and what the final message has to fit. */
export type RunOptions<Output = unknown> = WaitOptions & {
  /** What the final message has to fit; it is read into the result's `output`. A plain JSON Schema is not checked against. */
  readonly outputSchema?: OutputSchema<Output> | undefined;
};

/** The turn that runs now. */
export type ActiveTurn = {
  readonly turnId: TurnId;
  /** The submission that started it. */
  readonly submissionId: SubmissionId;
  /** `regular`, or `compact` for a compaction that was asked for. */
  readonly kind: string;
  /** Whether input that is submitted now joins it; else it starts the next turn. */
  readonly takesInput: boolean;
  /** Unix milliseconds. */
  readonly startedAt: number;
};

/** How `Thread.interrupt` waits. */
export type InterruptOptions = WaitOptions & {
  /** Only if this turn runs. @throws NoActiveTurnError otherwise */
  readonly turnId?: string;
};

/** What `Thread.rollback` takes back: the last turns, by the user's messages in them; or a turn and whatever came after it. */
export type RolledBackTurns = number | { readonly beforeTurn: string };

/** How `Thread.rollback` waits. */
export type RollbackOptions = WaitOptions & {
  /** The caller's own id of it: one that the thread has ever seen takes nothing back again. */
  readonly id?: string;
};

/** `timedOut`: the thread did not end by itself before the deadline, and was ended by force. */
export type ShutdownOutcome = "completed" | "timedOut";

/**
 * One durable conversation, in this process or on a cluster. A handle stays good over restarts and unloading: what is said to
 * an unloaded thread loads it again. After `shutdown` every call that needs a living thread throws ThreadClosedError.
 */
export interface ThreadHandle extends AsyncDisposable {
  readonly id: ThreadId;
  /** The file that the thread is stored in; null where the store has none. */
  readonly rolloutPath: string | null;
  readonly epoch: number;
  readonly status: AgentStatus;
  /** The status now, and each change. */
  readonly status$: Observable<AgentStatus>;
  /** Every event from now on. */
  readonly events$: Observable<ThreadEvent>;
  readonly sessionConfigured: SessionConfiguredEvent;
  /** The settings that the next turn runs with. */
  readonly config: ResolvedThreadConfig;
  /** The tokens of all turns and of the last request, as far as the thread has looked at its history; null when nobody told any. */
  readonly tokenUsage: TokenUsageInfo | null;
  /** undefined while the thread is idle or unloaded. */
  readonly activeTurn: ActiveTurn | undefined;
  /** Its budgets, and what is used of them; undefined while none was ever set. */
  budget(): Promise<BudgetUse | undefined>;
  /**
   * Raises or lowers its budgets, from the next model request on: what is left out stays, null takes a budget away. What is used
   * stays used. @throws InvalidRequestError, also for a budget of money where the model's price is not known
   */
  setBudget(change: BudgetChange): Promise<void>;
  /** Requests for approval that nobody has answered yet. */
  readonly pendingApprovals: readonly PendingApproval[];

  /**
   * Hands an op to the thread, in order (T3). Resolves when the thread has it, and when it and what the thread had said
   * before are stored (T7).
   * @throws InvalidRequestError, ThreadClosedError (gives the op back), OverloadedError; StoreIoError or ThreadBusyError when
   *   it was taken and could not be stored
   */
  submit(op: Op, options?: SubmitOptions): Promise<SubmissionId>;
  /**
   * Resolves when there is room for an op, after all that wait for room already. A thread that is out of memory has room.
   * @throws ThreadClosedError when the thread ends meanwhile
   */
  ready(options?: WaitOptions): Promise<void>;
  /**
   * As submit, under an id of the caller's. An id that the thread has ever seen runs nothing again, over reloads and process
   * restarts; {@link outcomeOf} says what became of it. A UUID also names the turn.
   */
  submitWithId(submission: NamedSubmission, options?: SubmitOptions): Promise<SubmissionId>;
  /** What became of a submission; undefined for an id that the thread has not seen. Reads the whole history. */
  outcomeOf(id: string, options?: WaitOptions): Promise<SubmissionOutcome | undefined>;
  /** The next event in order, starting after SessionConfigured. @throws ThreadClosedError when there will be none */
  nextEvent(options?: WaitOptions): Promise<Event>;
  /**
   * Every event in order, over restarts and reloads, until the thread is closed. Events that are no longer in memory
   * are told by one `lagged` event that names them (T2).
   */
  events(options?: EventsOptions): AsyncIterableIterator<ThreadEvent, undefined>;
  /** One user turn to its end; input for a running turn joins it and ends with it. An abort interrupts the turn. */
  run<Output = unknown>(
    input: string | readonly UserInput[],
    options?: RunOptions<Output>,
  ): Promise<TurnResult<Output>>;
  /**
   * Has the changes of the thread's folder reviewed by a thread made for it, in one turn of this one, which it takes away
   * from whatever runs. `lastAgentMessage` is what was found; the ExitedReviewMode among the items holds the findings.
   * On abort the review is interrupted.
   */
  review(target: ReviewTarget, options?: WaitOptions): Promise<TurnResult>;
  /** Ends the running turn, and resolves when it has ended. Without one it resolves at once. */
  interrupt(options?: InterruptOptions): Promise<void>;
  /** Has the history summarised, in a turn of its own; resolves with its end. */
  compact(options?: WaitOptions): Promise<TurnResult>;
  /**
   * Takes the last turns back, so many or a turn and all after it: the model does not know them any more, and their lines stay.
   * Resolves when that is stored. Done once for each `id`, as {@link submitWithId} has it.
   * @throws InvalidRequestError while a turn runs, for less than one turn, or for a turn that the thread does not have
   */
  rollback(turns: RolledBackTurns, options?: RollbackOptions): Promise<void>;
  /** Ends the running turn, stores everything and closes the thread. Default deadline 10,000 ms; then by force. */
  shutdown(options?: WaitOptions): Promise<ShutdownOutcome>;
}

/** A thread of this process: what it has beside its conversation lives in the process too. */
export interface Thread extends ThreadHandle, ThreadMessenger {
  /** The XState actor of the current incarnation; undefined while the thread is unloaded. */
  readonly actor: AnyActorRef | undefined;
  /**
   * Changes its `priority` among turns that wait for a place, also of one that waits: it has waited since it asked. Agents are no more
   * urgent than whoever started them. Not stored: who resumes the thread gives it again. @throws InvalidRequestError, ThreadClosedError
   */
  setPriority(priority: Priority): Promise<void>;
  /** The commands of exec_command that go on behind the calls that started them; they end with the thread. */
  readonly terminals: BackgroundTerminals;
  /**
   * What its model, or an MCP server, has asked the user, and nobody has answered yet: a `user_input_answer` op with the call's id
   * answers the one, a `resolve_elicitation` op the other.
   */
  readonly pendingUserQuestions: readonly PendingApproval[];
  /**
   * Has the op given to the thread at a time, also over unloading and restarts of the process; resolves when that is stored. The op
   * says which timer gave it, as its `timer`. The thread's end takes its timers along.
   * @throws InvalidRequestError, ThreadClosedError, StoreIoError
   */
  schedule(when: When, op: Op, options?: ScheduleOptions): Promise<ScheduledTimer>;
  /** Its timers, the next one first. */
  readonly timers: readonly { readonly id: string; readonly dueAt: number }[];
  /** As the timer's own `cancel`, by its id. */
  cancelTimer(id: string): ReturnType<ScheduledTimer["cancel"]>;
  /**
   * Does a piece of work once in the thread's life: its result, plain JSON of at most 1 MiB, is stored in the rollout before this
   * resolves, and every later call of this id gives it, in whatever process. A function that throws is tried again as the options
   * say; its failure is not stored, so a later call tries anew. One that was cut, because its process died while it ran, runs
   * again (`context.cuts` says how often, `context.idempotencyKey` stays the same), unless `onCut` is `"fail"`.
   *
   * @throws StepFailedError, with the last error as its cause; the signal's reason; DeadlineExceededError; ThreadClosedError;
   *   InvalidRequestError for a result that can't be stored; StoreIoError
   */
  step<T>(id: string, work: StepWork<T>, options?: StepOptions): Promise<T>;
  /**
   * Watches another thread's end: exactly one `down` message with the reason, over restarts and unloading of both; at once
   * `not_found` for one that is gone (SEMANTICS 6.1 to 6.4). The watch is given up by its signal, by disposing of it, and with this thread.
   * @throws ThreadClosedError, ManagerClosedError; InvalidRequestError for this thread itself
   */
  monitor(other: WatchedThread, options?: MonitorOptions): Monitor;
  /**
   * The monitors of this thread that stand, those that earlier processes have left included: of an end that came meanwhile they tell now,
   * once (SEMANTICS 6.7). A `monitor` of the same thread goes on with one that stands, as well.
   * @throws StoreIoError, ThreadClosedError
   */
  monitors(): Promise<readonly Monitor[]>;
  /**
   * Binds this thread and another one: when one ends, but for an end of its own logic's, the other is asked to end too, unless it traps
   * (SEMANTICS 6.5). Linking again changes `trap` and makes no second bond.
   */
  link(other: WatchedThread, options?: LinkOptions): Link;
}

/** A thread that has been made, with its first event (seq 0), which has already been emitted. */
export type NewThread<T extends ThreadHandle = Thread> = {
  readonly threadId: ThreadId;
  readonly thread: T;
  readonly sessionConfigured: SessionConfiguredEvent;
};

/** A thread by its handle or its id. */
export type WatchedThread = ThreadId | string | { readonly id: ThreadId };

/** What became of a submission. `cut`: its turn was interrupted, or its process died; it can be run again on purpose. */
export type SubmissionOutcome = "done" | "running" | "cut";
