/**
 * The one registry of what can go wrong. Each class has one stable code, which maps to one JSON-RPC number
 * (Codex's where Codex has one). Cancellation is no error of ours: an abort rethrows `signal.reason`, unwrapped.
 */
import type { BudgetKind, BudgetScope, BudgetState } from "./budget.ts";

const BRAND = Symbol.for("skein.error");

/** The codes of the errors: stable, for programs. */
export type ErrorCode = keyof typeof ERROR_REGISTRY;

/** code -> JSON-RPC number, and whether the same request may succeed later without any change. */
export const ERROR_REGISTRY = {
  thread_not_found: { rpc: -32600, retryable: false },
  session_configured_not_first_event: { rpc: -32603, retryable: false },
  thread_closed: { rpc: -32600, retryable: false },
  thread_busy: { rpc: -32010, retryable: true },
  duplicate_thread: { rpc: -32600, retryable: false },
  limit_reached: { rpc: -32011, retryable: true },
  budget_exceeded: { rpc: -32014, retryable: false },
  no_active_turn: { rpc: -32600, retryable: false },
  turn_given_up: { rpc: -32603, retryable: false },
  invalid_fork_point: { rpc: -32600, retryable: false },
  rollout_not_found: { rpc: -32600, retryable: false },
  rollout_corrupt: { rpc: -32603, retryable: false },
  store_io: { rpc: -32603, retryable: true },
  deadline_exceeded: { rpc: -32012, retryable: true },
  overloaded: { rpc: -32001, retryable: true },
  invalid_request: { rpc: -32600, retryable: false },
  model_error: { rpc: -32603, retryable: false },
  sandbox_unavailable: { rpc: -32603, retryable: false },
  fan_out_failed: { rpc: -32603, retryable: false },
  turn_failed: { rpc: -32603, retryable: false },
  step_failed: { rpc: -32603, retryable: false },
  message_refused: { rpc: -32600, retryable: false },
  request_failed: { rpc: -32603, retryable: false },
  approval_denied: { rpc: -32600, retryable: false },
  manager_closed: { rpc: -32013, retryable: false },
  cluster_unavailable: { rpc: -32015, retryable: true },
  cluster_mismatch: { rpc: -32603, retryable: false },
  internal_defect: { rpc: -32603, retryable: false },
} as const;

/** A SkeinError in JSON: its stable code, its message and its details; never a secret. */
export type ErrorJson = {
  name: string;
  code: ErrorCode;
  message: string;
  retryable: boolean;
  [detail: string]: unknown;
};

/** Base of every error that Skein makes. `instanceof` survives a second copy of the package. */
export abstract class SkeinError extends Error {
  abstract readonly code: ErrorCode;

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
  }

  /** Whether the same request may succeed later without any change. */
  get retryable(): boolean {
    return ERROR_REGISTRY[this.code].retryable;
  }

  /** The JSON-RPC number that this error has on the wire. */
  get rpcCode(): number {
    return ERROR_REGISTRY[this.code].rpc;
  }

  /** Facts that a program may need beside the message; merged into {@link toJSON}. */
  protected details(): Record<string, unknown> {
    return {};
  }

  toJSON(): ErrorJson {
    return { name: this.name, code: this.code, message: this.message, retryable: this.retryable, ...this.details() };
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    if (typeof value !== "object" || value === null || !(BRAND in value)) return false;
    // biome-ignore-start lint/complexity/noThisInStatic: the class that is asked about, not the one that this stands in
    if (Object.prototype.isPrototypeOf.call(this.prototype, value) || this === SkeinError) return true;
    return Object.hasOwn(this, "code") && Reflect.get(this, "code") === Reflect.get(value, "code");
    // biome-ignore-end lint/complexity/noThisInStatic: see above
  }
}
Object.defineProperty(SkeinError.prototype, BRAND, { value: true });

/** No thread of this id is loaded, nor stored where the caller looked. */
export class ThreadNotFoundError extends SkeinError {
  static readonly code = "thread_not_found";
  readonly code = ThreadNotFoundError.code;
  readonly threadId: string;
  constructor(threadId: string) {
    super(`no thread with id: ${threadId}`);
    this.threadId = threadId;
  }
  protected override details() {
    return { threadId: this.threadId };
  }
}

/** A thread logic's first emitted event was not SessionConfigured, or none came before the deadline (rule S4). */
export class SessionConfiguredNotFirstEventError extends SkeinError {
  static readonly code = "session_configured_not_first_event";
  readonly code = SessionConfiguredNotFirstEventError.code;
  /** The type of the event that came instead; undefined when the logic ended or stayed silent. */
  readonly received: string | undefined;
  /** What happened where no other event came. */
  readonly detail: string;
  constructor(why: { received?: string; detail?: string; cause?: unknown } = {}) {
    const detail = why.detail ?? "no event came";
    const found = why.received === undefined ? detail : `got \`${why.received}\``;
    super(`session configured event was not the first event in the stream (${found})`, { cause: why.cause });
    this.received = why.received;
    this.detail = detail;
  }
  protected override details() {
    return { received: this.received ?? null };
  }
}

/** The thread has ended and takes no more ops. Gives back the op that it did not take. */
export class ThreadClosedError extends SkeinError {
  static readonly code = "thread_closed";
  readonly code = ThreadClosedError.code;
  readonly threadId: string;
  readonly op: unknown;
  constructor(threadId: string, op?: unknown, cause?: unknown) {
    super(`thread ${threadId} is closed: internal error; agent loop died unexpectedly; resume the thread to go on`, {
      cause,
    });
    this.threadId = threadId;
    this.op = op;
  }
  protected override details() {
    return { threadId: this.threadId };
  }
}

/** The process that writes a thread; `since` is in ISO 8601. */
export type LeaseOwner = { pid: number; host: string; since: string };

/** Another writer holds the thread's lease: follow it read-only, wait, fork it, or take it over. */
export class ThreadBusyError extends SkeinError {
  static readonly code = "thread_busy";
  readonly code = ThreadBusyError.code;
  readonly threadId: string;
  readonly owner: LeaseOwner | undefined;
  constructor(threadId: string, owner?: LeaseOwner) {
    const who = owner === undefined ? "" : ` (pid ${owner.pid} on ${owner.host} since ${owner.since})`;
    super(`thread ${threadId} already has an active writer${who}; read it, wait for it, fork it or take it over`);
    this.threadId = threadId;
    this.owner = owner;
  }
  protected override details() {
    return { threadId: this.threadId, owner: this.owner ?? null };
  }
}

/** The id is already taken by a thread that the request did not mean. */
export class DuplicateThreadError extends SkeinError {
  static readonly code = "duplicate_thread";
  readonly code = DuplicateThreadError.code;
  readonly threadId: string;
  constructor(threadId: string) {
    super(`thread ${threadId} exists already; resume it or choose another id`);
    this.threadId = threadId;
  }
  protected override details() {
    return { threadId: this.threadId };
  }
}

/** A limit that a thread can be refused by. */
export type LimitName = "residentThreads" | "depth" | "childrenPerParent" | "treeSize" | "spawnRate";

/** How a limit stands that refuses. */
export type LimitFacts = {
  /** How much of it is in use. */
  readonly used?: number | undefined;
  /** The thread that it bounds; absent: the manager. */
  readonly whose?: string | undefined;
  /** When it may be free again, where that is known. */
  readonly retryAfterMs?: number | undefined;
};

const REMEDY: { readonly [K in LimitName]?: string } = {
  spawnRate: "wait a little",
  depth: "start it from further up",
};

/** A limit of the manager holds; `limit` names it and `max` is its value. Free a place or raise the limit. */
export class LimitReachedError extends SkeinError {
  static readonly code = "limit_reached";
  readonly code = LimitReachedError.code;
  readonly limit: LimitName;
  readonly max: number;
  readonly used: number;
  /** `manager`, or the id of the thread that it bounds. */
  readonly whose: string;
  readonly retryAfterMs: number | undefined;
  constructor(limit: LimitName, max: number, { used = max, whose = "manager", retryAfterMs }: LimitFacts = {}) {
    super(
      `limit reached: ${limit} is at its maximum of ${max}; ${REMEDY[limit] ?? "close a thread"} or raise limits.${limit}`,
    );
    this.limit = limit;
    this.max = max;
    this.used = used;
    this.whose = whose;
    this.retryAfterMs = retryAfterMs;
  }
  /** No depth comes to be free by waiting. */
  override get retryable(): boolean {
    return this.limit !== "depth";
  }
  protected override details() {
    const { limit, max, used, whose, retryAfterMs = null } = this;
    return { limit, max, used, whose, retryAfterMs };
  }
}

/** A budget is used up, of the thread or of one above it: raise it to go on. Nothing was asked of the model. */
export class BudgetExceededError extends SkeinError {
  static readonly code = "budget_exceeded";
  readonly code = BudgetExceededError.code;
  readonly which: BudgetKind;
  readonly used: number;
  readonly max: number;
  /** The thread that the budget was given to. */
  readonly whose: string;
  readonly scope: BudgetScope;
  /** All that are used up; the one that is named is the nearest to the thread. */
  readonly all: readonly BudgetState[];
  constructor(all: readonly [BudgetState, ...BudgetState[]]) {
    const [{ which, used, max, whose, scope }] = all;
    const name = scope === "tree" ? "treeBudget" : "budget";
    super(`budget exceeded: ${which} of the ${name} of thread ${whose}: ${used} of ${max} used; raise it to go on`);
    this.which = which;
    this.used = used;
    this.max = max;
    this.whose = whose;
    this.scope = scope;
    this.all = all;
  }
  protected override details() {
    return { which: this.which, used: this.used, max: this.max, whose: this.whose, scope: this.scope, all: this.all };
  }
}

/** There is no running turn to act on, or it is another one than the caller expected. */
export class NoActiveTurnError extends SkeinError {
  static readonly code = "no_active_turn";
  readonly code = NoActiveTurnError.code;
  constructor(message = "no active turn to interrupt") {
    super(message);
  }
}

/** A turn was taken up again as often as is allowed, and ended its life each time: it is not tried any more. */
export class TurnGivenUpError extends SkeinError {
  static readonly code = "turn_given_up";
  readonly code = TurnGivenUpError.code;
  readonly turnId: string;
  /** How many lives have taken it up after the first one. */
  readonly attempts: number;
  constructor(turnId: string, attempts: number) {
    super(
      `turn ${turnId} is given up: it was begun and ${attempts} times taken up again, and each time its process or its thread died; look for what it does to them, then send its input anew`,
    );
    this.turnId = turnId;
    this.attempts = attempts;
  }
  protected override details() {
    return { turnId: this.turnId, attempts: this.attempts };
  }
}

/** The fork anchor names no place in the source's history. */
export class InvalidForkPointError extends SkeinError {
  static readonly code = "invalid_fork_point";
  readonly code = InvalidForkPointError.code;
}

/** No rollout is stored under this path or id. */
export class RolloutNotFoundError extends SkeinError {
  static readonly code = "rollout_not_found";
  readonly code = RolloutNotFoundError.code;
}

/** A rollout was found, but holds no thread: it is empty or has no session_meta line. */
export class RolloutCorruptError extends SkeinError {
  static readonly code = "rollout_corrupt";
  readonly code = RolloutCorruptError.code;
  readonly path: string;
  readonly problem: "empty" | "headless";
  constructor(path: string, problem: "empty" | "headless") {
    super(
      problem === "empty"
        ? `empty session file: ${path}`
        : `failed to parse thread ID from rollout file ${path}: no session_meta line`,
    );
    this.path = path;
    this.problem = problem;
  }
}

/** The file system refused a read or a write. What was to be written is kept in memory and retried. */
export class StoreIoError extends SkeinError {
  static readonly code = "store_io";
  readonly code = StoreIoError.code;
}

/** The deadline passed before the answer came. The work may still finish. */
export class DeadlineExceededError extends SkeinError {
  static readonly code = "deadline_exceeded";
  readonly code = DeadlineExceededError.code;
  readonly deadlineMs: number;
  /** What did not finish. */
  readonly what: string;
  constructor(what: string, deadlineMs: number) {
    super(`${what} did not finish within ${deadlineMs} ms`);
    this.what = what;
    this.deadlineMs = deadlineMs;
  }
  protected override details() {
    return { deadlineMs: this.deadlineMs };
  }
}

/** A bounded queue is full; try again after a pause. */
export class OverloadedError extends SkeinError {
  static readonly code = "overloaded";
  readonly code = OverloadedError.code;
}

/** The caller's input is wrong; the message says where and how. Nothing has changed. */
export class InvalidRequestError extends SkeinError {
  static readonly code = "invalid_request";
  readonly code = InvalidRequestError.code;
}

/** What was to be confined cannot be, so it did not run. The message says why, and what would help. */
export class SandboxUnavailableError extends SkeinError {
  static readonly code = "sandbox_unavailable";
  readonly code = SandboxUnavailableError.code;
}

/** What one task of a `map`, `gather`, `race` or `tournament` came to: as Promise.allSettled tells it. */
export type TaskOutcome<T = unknown> = PromiseSettledResult<T>;

/** A task failed, and the others were stopped; or, of a race or a tournament, all failed. The first failure is the cause. */
export class FanOutError extends SkeinError {
  static readonly code = "fan_out_failed";
  readonly code = FanOutError.code;
  /** Of the task that failed first, counted from 0 in the order of the inputs. */
  readonly index: number;
  /** What each task had come to, in the order of the inputs; undefined for one that had not begun, or was stopped. */
  readonly outcomes: readonly (TaskOutcome | undefined)[];
  constructor(
    message: string,
    { cause, index = 0, outcomes = [] }: Partial<Pick<FanOutError, "index" | "outcomes">> & ErrorOptions = {},
  ) {
    super(message, { cause });
    this.index = index;
    this.outcomes = outcomes;
  }
  protected override details() {
    return { index: this.index };
  }
}

/** A turn that was to give a result was interrupted, or failed by its model's error. */
export class TurnFailedError extends SkeinError {
  static readonly code = "turn_failed";
  readonly code = TurnFailedError.code;
}

/** A step threw in all of its attempts, or by an error that its policy does not try again; or it was cut, and is not to run again. */
export class StepFailedError extends SkeinError {
  static readonly code = "step_failed";
  readonly code = StepFailedError.code;
  readonly stepId: string;
  /** How often its function threw. */
  readonly attempts: number;
  readonly reason: "failed" | "cut";
  constructor(
    message: string,
    {
      cause,
      stepId = "",
      attempts = 0,
      reason = "failed",
    }: Partial<Pick<StepFailedError, "stepId" | "attempts" | "reason">> & ErrorOptions = {},
  ) {
    super(message, { cause });
    this.stepId = stepId;
    this.attempts = attempts;
    this.reason = reason;
  }
  protected override details() {
    return { stepId: this.stepId, attempts: this.attempts, reason: this.reason };
  }
}

/** Why a message came to nothing. `lost`: its receiver ended before it had handled it; `killer`: it ended its receiver's lives. */
export const MESSAGE_REFUSALS: readonly MessageRefusal[] = ["unknown_type", "malformed", "no_reply", "lost", "killer"];

/** One of these. */
export type MessageRefusal = "unknown_type" | "malformed" | "no_reply" | "lost" | "killer";

/** A message of a type that its receiver does not declare, or unlike that; or one that its receiver did not live to handle. */
export class MessageRefusedError extends SkeinError {
  static readonly code = "message_refused";
  readonly code = MessageRefusedError.code;
  readonly reason: MessageRefusal;
  /** The receiver. */
  readonly threadId: string;
  readonly messageType: string;
  constructor(
    message: string,
    {
      cause,
      reason = "malformed",
      threadId = "",
      messageType = "",
    }: Partial<Pick<MessageRefusedError, "reason" | "threadId" | "messageType">> & ErrorOptions = {},
  ) {
    super(message, { cause });
    this.reason = reason;
    this.threadId = threadId;
    this.messageType = messageType;
  }
  protected override details() {
    return { reason: this.reason, threadId: this.threadId, messageType: this.messageType };
  }
}

/** Why a request has no reply. `threw`: its handler failed; `bad_reply`: what it gave does not fit; `ended`: the receiver's life has. */
export const REQUEST_FAILURES: readonly RequestFailure[] = ["threw", "bad_reply", "ended"];

/** One of these. */
export type RequestFailure = "threw" | "bad_reply" | "ended";

/** A request reached its receiver, and there is no reply to it. The cause is what it failed by. */
export class RequestFailedError extends SkeinError {
  static readonly code = "request_failed";
  readonly code = RequestFailedError.code;
  readonly reason: RequestFailure;
  /** The receiver. */
  readonly threadId: string;
  constructor(
    message: string,
    {
      cause,
      reason = "threw",
      threadId = "",
    }: Partial<Pick<RequestFailedError, "reason" | "threadId">> & ErrorOptions = {},
  ) {
    super(message, { cause });
    this.reason = reason;
    this.threadId = threadId;
  }
  protected override details() {
    return { reason: this.reason, threadId: this.threadId };
  }
}

/** The user said no to what a tool asked for, or the thread's policy lets nobody be asked. Its message is the call's output. */
export class ApprovalDeniedError extends SkeinError {
  static readonly code = "approval_denied";
  readonly code = ApprovalDeniedError.code;
}

/** The manager is shutting down or gone. */
export class ManagerClosedError extends SkeinError {
  static readonly code = "manager_closed";
  readonly code = ManagerClosedError.code;
  constructor(message = "the thread manager is closed") {
    super(message);
  }
}

/** The cluster's engine, or every worker of it, can't be reached: nothing is known to have been taken. Try again under the same id. */
export class ClusterUnavailableError extends SkeinError {
  static readonly code = "cluster_unavailable";
  readonly code = ClusterUnavailableError.code;
}

/** What belongs together does not: another version of the protocol, or the store of another cluster. */
export class ClusterMismatchError extends SkeinError {
  static readonly code = "cluster_mismatch";
  readonly code = ClusterMismatchError.code;
}

/** A mistake in Skein or in a thread logic, not in the request. Please report it with its cause. */
export class InternalDefect extends SkeinError {
  static readonly code = "internal_defect";
  readonly code = InternalDefect.code;
}
