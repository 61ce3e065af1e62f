/** Errors on their way from a worker to a client: the code and the details go over, and become the same class again. */
import * as z from "zod";
import { BUDGET_KINDS } from "../protocol/budget.ts";
import {
  ApprovalDeniedError,
  BudgetExceededError,
  ClusterMismatchError,
  ClusterUnavailableError,
  DeadlineExceededError,
  DuplicateThreadError,
  type ErrorCode,
  type ErrorJson,
  FanOutError,
  InternalDefect,
  InvalidForkPointError,
  InvalidRequestError,
  LimitReachedError,
  ManagerClosedError,
  MESSAGE_REFUSALS,
  MessageRefusedError,
  NoActiveTurnError,
  OverloadedError,
  REQUEST_FAILURES,
  RequestFailedError,
  RolloutCorruptError,
  RolloutNotFoundError,
  SandboxUnavailableError,
  SessionConfiguredNotFirstEventError,
  SkeinError,
  StepFailedError,
  StoreIoError,
  ThreadBusyError,
  ThreadClosedError,
  ThreadNotFoundError,
  TurnFailedError,
  TurnGivenUpError,
} from "../protocol/errors.ts";
import { ModelError } from "../protocol/model-error.ts";

const jsonSchema = z.looseObject({ code: z.string(), message: z.string() });

type Told = z.infer<typeof jsonSchema>;

const text = (value: unknown): string => (typeof value === "string" ? value : "");
const count = (value: unknown): number => (typeof value === "number" ? value : 0);

const limitSchema = z.looseObject({
  limit: z.enum(["residentThreads", "depth", "childrenPerParent", "treeSize", "spawnRate"]),
  max: z.number(),
  used: z.number().optional(),
  whose: z.string().optional(),
  retryAfterMs: z.number().nullish(),
});
const ownerSchema = z.object({ pid: z.number(), host: z.string(), since: z.string() });
const budgetSchema = z.looseObject({
  which: z.enum(BUDGET_KINDS),
  used: z.number(),
  max: z.number(),
  whose: z.string(),
  scope: z.enum(["thread", "tree"]),
});

function limitOf(told: Told): SkeinError {
  const read = limitSchema.safeParse(told);
  if (!read.success) return new OverloadedError(told.message);
  const { limit, max, used, whose, retryAfterMs } = read.data;
  return new LimitReachedError(limit, max, { used, whose, retryAfterMs: retryAfterMs ?? undefined });
}

function budgetOf(told: Told): SkeinError {
  const read = z.array(budgetSchema).min(1).safeParse(told.all);
  const [first, ...others] = read.data ?? [];
  if (first === undefined) return new InvalidRequestError(told.message);
  return new BudgetExceededError([first, ...others] as ConstructorParameters<typeof BudgetExceededError>[0]);
}

const MAKERS: { readonly [K in ErrorCode]: (told: Told) => SkeinError } = {
  thread_not_found: ({ threadId }) => new ThreadNotFoundError(text(threadId)),
  session_configured_not_first_event: ({ received, detail, message }) =>
    new SessionConfiguredNotFirstEventError(
      typeof received === "string" ? { received } : { detail: text(detail) || message },
    ),
  thread_closed: ({ threadId }) => new ThreadClosedError(text(threadId)),
  thread_busy: ({ threadId, owner }) => new ThreadBusyError(text(threadId), ownerSchema.safeParse(owner).data),
  duplicate_thread: ({ threadId }) => new DuplicateThreadError(text(threadId)),
  limit_reached: limitOf,
  budget_exceeded: budgetOf,
  no_active_turn: ({ message }) => new NoActiveTurnError(message),
  turn_given_up: ({ turnId, attempts }) => new TurnGivenUpError(text(turnId), count(attempts)),
  invalid_fork_point: ({ message }) => new InvalidForkPointError(message),
  rollout_not_found: ({ message }) => new RolloutNotFoundError(message),
  rollout_corrupt: ({ path, problem, message }) =>
    new RolloutCorruptError(text(path) || message, problem === "empty" ? "empty" : "headless"),
  store_io: ({ message }) => new StoreIoError(message),
  deadline_exceeded: ({ what, message, deadlineMs }) =>
    new DeadlineExceededError(text(what) || message, count(deadlineMs)),
  overloaded: ({ message }) => new OverloadedError(message),
  invalid_request: ({ message }) => new InvalidRequestError(message),
  model_error: ({ message }) => new ModelError(message),
  sandbox_unavailable: ({ message }) => new SandboxUnavailableError(message),
  fan_out_failed: ({ message, index }) => new FanOutError(message, { index: count(index) }),
  turn_failed: ({ message }) => new TurnFailedError(message),
  step_failed: ({ message, stepId, attempts, reason }) =>
    new StepFailedError(message, {
      stepId: text(stepId),
      attempts: count(attempts),
      reason: reason === "cut" ? "cut" : "failed",
    }),
  message_refused: ({ message, reason, threadId, messageType }) =>
    new MessageRefusedError(message, {
      reason: MESSAGE_REFUSALS.find((each) => each === reason) ?? "lost",
      threadId: text(threadId),
      messageType: text(messageType),
    }),
  request_failed: ({ message, reason, threadId }) =>
    new RequestFailedError(message, {
      reason: REQUEST_FAILURES.find((each) => each === reason) ?? "threw",
      threadId: text(threadId),
    }),
  approval_denied: ({ message }) => new ApprovalDeniedError(message),
  manager_closed: ({ message }) => new ManagerClosedError(message),
  cluster_unavailable: ({ message }) => new ClusterUnavailableError(message),
  cluster_mismatch: ({ message }) => new ClusterMismatchError(message),
  internal_defect: ({ message }) => new InternalDefect(message),
};

/** Another worker, or this one later, may do what these say. */
export const isPassing = (error: unknown): boolean =>
  !(error instanceof SkeinError) || error.code === "store_io" || error.code === "manager_closed";

/** The error as it goes over. What no caller can mend, a mistake of ours, goes as an InternalDefect. */
export function toWire(error: unknown): ErrorJson {
  if (error instanceof SkeinError) return { ...error.toJSON(), ...madeOf(error) };
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return new InternalDefect(`a worker failed: ${message}; its log says more`).toJSON();
}

/** What an error is made of beside what its JSON tells everybody. */
function madeOf(error: SkeinError): object {
  if (error instanceof RolloutCorruptError) return { path: error.path, problem: error.problem };
  if (error instanceof DeadlineExceededError) return { what: error.what };
  return error instanceof SessionConfiguredNotFirstEventError ? { detail: error.detail } : {};
}

/** The same error again; one of a code that this version doesn't know is an InternalDefect that says so. */
export function fromWire(value: unknown): SkeinError {
  const read = jsonSchema.safeParse(value);
  if (!read.success)
    return new InternalDefect("a worker failed, and what it said of it can't be read; its log says more");
  const { code, message } = read.data;
  if (!Object.hasOwn(MAKERS, code)) return new InternalDefect(`a worker failed by \`${code}\`: ${message}`);
  return MAKERS[code as ErrorCode](read.data);
}
