/**
 * The words of clients and workers. Whoever speaks another version is refused by name; what is stored beside a thread is read by
 * schema. Nothing here holds a history: messages, ids and short answers go through the engine, lines are read from the store.
 */
import * as z from "zod";
import type { ThreadOptions } from "../manager/thread-options.ts";
import type { AgentStatus } from "../protocol/agent-status.ts";
import { ClusterMismatchError, type ErrorJson, InvalidRequestError } from "../protocol/errors.ts";
import type { SessionConfiguredEvent, ThreadEvent } from "../protocol/event.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { ForkAnchor, InitialHistory } from "../protocol/initial-history.ts";
import type { ThreadMessage } from "../protocol/message.ts";
import type { Op } from "../protocol/op.ts";
import type { RolloutLine } from "../protocol/rollout.ts";
import type { FiredTimer, StoredTimer } from "../protocol/schedule.ts";
import type { ServerAsk } from "../protocol/server-ask.ts";
import type { Priority, ResolvedThreadConfig, ThreadConfig } from "../protocol/thread-config.ts";
import type { TokenUsageInfo } from "../protocol/token-usage.ts";
import type { ActiveTurn, RolledBackTurns } from "../thread/thread.ts";
import type { TurnResult } from "../thread/turn-result.ts";
import type { Down } from "../thread/watching.ts";
import type { PendingApproval } from "../turn/pending-approval.ts";
import type { BudgetChange } from "../turn/spending.ts";

/** Changes with every change that an older worker or client would misread. */
export const PROTOCOL_VERSION = 1;

/** The services that a worker registers. */
export const THREAD = "Thread";
export const CONTROL = "ThreadControl";
export const TIMERS = "ThreadTimers";
export const TREE = "ThreadTree";
export const BONDS = "ThreadBonds";
export const TOPICS = "ThreadTopics";
export const REQUESTS = "ThreadRequests";
export const STORED = "StoredThreads";

/** The engine takes 32 MiB at most, headers and framing included. */
const MAX_MESSAGE_BYTES = 31 * 1024 * 1024;
const MEBIBYTE = 1024 * 1024;

/** A thread's settings as they can be sent: without functions, and without what may hold secrets of the workers. */
export type SentConfig = Omit<ResolvedThreadConfig, "tools" | "messages" | "mcpServers" | "shellEnvironmentPolicy">;

/** As who holds the thread is shown them. */
export const shownConfig = (config: SentConfig): ResolvedThreadConfig => ({ ...config, tools: [], mcpServers: {} });

/** What a handle shows of its thread, as of the last answer of a worker. */
export type Facts = {
  readonly threadId: ThreadId;
  readonly epoch: number;
  readonly status: AgentStatus;
  readonly config: SentConfig;
  readonly tokenUsage: TokenUsageInfo | null;
  readonly configured: SessionConfiguredEvent;
  /** How many lines the thread has. */
  readonly position: number;
};

/** Which invocation runs the thread, and where its live events are: the worker's address and the key that it gave out. */
export type Run = {
  readonly invocation: string;
  readonly submissionId: string;
  readonly url: string | null;
  readonly key: string;
  readonly epoch: number;
  /** Of an agent: the thread whose turn has started it, and whose invocation runs both. */
  readonly through?: ThreadId | undefined;
};

/** What stands beside a thread in the store (`cluster` among the standing notes). */
export type ClusterNote = {
  readonly protocol: number;
  /** What the thread was given in place of the workers' own settings. */
  readonly config: ThreadConfig;
  readonly state: "open" | "removed" | "closed";
  readonly facts: Facts;
  readonly run: Run | null;
  /** The invocation that ran, removed or closed it last, to its end: the engine may not have heard of that end, and begin it again. */
  readonly last?: string | undefined;
  /** The thread's epoch when it was written: a store lets no earlier one's replace it. */
  readonly fence?: number | undefined;
};

const object = <T>() => z.custom<T>((value) => typeof value === "object" && value !== null);

const runSchema: z.ZodType<Run> = z.object({
  invocation: z.string(),
  submissionId: z.string(),
  url: z.string().nullable(),
  key: z.string(),
  epoch: z.number(),
  through: z.custom<ThreadId>((value) => typeof value === "string").optional(),
});

const factsSchema: z.ZodType<Facts> = z.object({
  threadId: z.custom<ThreadId>((value) => typeof value === "string"),
  epoch: z.number(),
  status: z.custom<AgentStatus>((value) => typeof value === "string" || (typeof value === "object" && value !== null)),
  config: object<SentConfig>(),
  tokenUsage: object<TokenUsageInfo>().nullable(),
  configured: object<SessionConfiguredEvent>(),
  position: z.number(),
});

const noteSchema: z.ZodType<ClusterNote> = z.object({
  protocol: z.number(),
  config: object<ThreadConfig>(),
  state: z.enum(["open", "removed", "closed"]),
  facts: factsSchema,
  run: runSchema.nullable(),
  last: z.string().optional(),
  fence: z.number().optional(),
});

/**
 * undefined where there is none, or none that can be read.
 * @throws ClusterMismatchError for one that workers of another version have written
 */
export function readNote(value: unknown): ClusterNote | undefined {
  const note = noteSchema.safeParse(value).data;
  if (note === undefined || note.protocol === PROTOCOL_VERSION) return note;
  throw new ClusterMismatchError(
    `thread ${note.facts.threadId} was last run by workers that speak version ${note.protocol} of the cluster's protocol, and this is version ${PROTOCOL_VERSION}: bring all to one release of skein`,
  );
}

/** What a thread is told while it may run; `to` an agent that its turn has started. */
export type Message = { readonly to?: ThreadId | undefined } & Told;

type Told =
  | {
      readonly kind: "op";
      readonly id: string;
      readonly op: Op;
      /** The id was made for this message alone. */
      readonly isNew?: boolean | undefined;
      readonly rerun?: boolean | undefined;
      /** The timer that gives it. */
      readonly fired?: FiredTimer | undefined;
    }
  | { readonly kind: "interrupt"; readonly id: string; readonly turnId?: string | undefined }
  | { readonly kind: "rollback"; readonly id: string; readonly turns: RolledBackTurns }
  | { readonly kind: "budget"; readonly id: string; readonly change: BudgetChange }
  | { readonly kind: "priority"; readonly id: string; readonly priority: Priority }
  /** What another thread, or with null a program, tells it. */
  | {
      readonly kind: "message";
      readonly id: string;
      readonly from: ThreadId | null;
      readonly message: ThreadMessage;
      readonly topic: string | null;
    }
  /** What one of them asks; the reply goes to the invocation `reply`, which waits for it. */
  | {
      readonly kind: "request";
      readonly id: string;
      readonly from: ThreadId | null;
      readonly message: ThreadMessage;
      readonly reply: string;
    }
  /** What a client asks of one of the thread's MCP servers. */
  | { readonly kind: "mcp"; readonly id: string; readonly ask: ServerAsk; readonly reply: string }
  /** What a client says of a step whose function it runs. */
  | { readonly kind: "step"; readonly id: string; readonly ask: StepAsk; readonly reply: string }
  /** Nobody waits for the reply any more. */
  | { readonly kind: "giveUp"; readonly id: string; readonly request: string };

/** What is answered to the invocation `reply`, which waits for it. */
export type Asking = Extract<Message, { readonly reply: string }>;

/** Whoever has begun a step and is not heard of for so long has lost it to the next one that asks. */
export const STEP_HELD_MS = 30_000;

/** `ref`: who has begun it. */
export type StepAsk = { readonly step: string; readonly ref: string } & (
  | { readonly what: "begin"; readonly onCut?: "rerun" | "fail" | undefined }
  | { readonly what: "alive" | "failed" }
  | { readonly what: "done"; readonly value?: unknown }
);

/** Its result; or that it is the asker's now, having been cut so often; or that another one is at it. */
export type StepAnswer =
  | { readonly done: true; readonly value?: unknown }
  | { readonly cuts: number }
  | { readonly held: true }
  | { readonly [none: string]: never };

/** What a request comes to. */
export type Replied = { readonly value?: unknown } | { readonly error: ErrorJson };

/** A turn's result; `items` is null where they are many: they are read from the history. */
export type SentResult = Omit<TurnResult<never>, "items"> & { readonly items: TurnResult["items"] | null };

/** What the messages of one invocation came to, by their ids. */
export type TurnAnswer = {
  readonly results: { readonly [id: string]: SentResult };
  readonly facts: Facts;
  /** What tools of the worker have set meanwhile: the engine keeps them from now on. */
  readonly timers?: readonly StoredTimer[] | undefined;
};

/** `ended`: the invocation was over before it heard of the message. */
export type Delivery =
  | {
      readonly taken: true;
      readonly error?: ErrorJson | undefined;
      /** Whose ask it answers: the engine gives an answer again to whoever asks the same. */
      readonly ask?: string | undefined;
      /** The settings that the thread has now, where the message was to change them. */
      readonly config?: SentConfig | undefined;
      /** Which question the message has answered: a later turn's call may bear the same id. */
      readonly answered?: Question | undefined;
      /** Which turn ran when the message was to interrupt one. */
      readonly interrupted?: string | undefined;
    }
  | { readonly taken: false };

/** `what` is a digest of what was asked. */
export type Question = { readonly turn: string; readonly callId: string; readonly what?: string | undefined };

export type StartRequest = {
  readonly protocol: number;
  readonly config: ThreadConfig;
  readonly options: SentOptions;
  /** The caller has chosen the id: it may be taken. */
  readonly isNamed: boolean;
  readonly fork?: {
    readonly from: ThreadId | { readonly history: InitialHistory };
    readonly at?: ForkAnchor | undefined;
  };
};

export type SentOptions = Pick<
  ThreadOptions,
  "parentThreadId" | "agent" | "source" | "originator" | "historyMode" | "restart"
>;

export type OpenRequest = { readonly protocol: number; readonly config: ThreadConfig | null };
export type TurnRequest = { readonly protocol: number; readonly message: Message };
export type DeliverRequest = {
  readonly protocol: number;
  readonly invocation: string;
  readonly message: Message;
  readonly ask?: string | undefined;
};
export type TimerRequest = { readonly protocol: number; readonly timer: StoredTimer };
/** `set`: only the one that was set then, and none that has replaced it. */
export type CancelRequest = { readonly protocol: number; readonly id: string; readonly set?: string | undefined };
export type Cancelled = { readonly cancelled: boolean; readonly fired: number };
export type Asked = { readonly protocol: number };
export type OtherRequest = Asked & { readonly other: ThreadId };
export type BindRequest = OtherRequest & { readonly traps: boolean };
/** Of a watch; `other` is whom it is about, or, where that one is told, who watches. */
export type WatchRequest = OtherRequest & { readonly ref: string };
export type RefRequest = Asked & { readonly ref: string };
/** What a watch comes to. */
export type Ended = Pick<Down, "reason" | "epoch">;
export type DownRequest = RefRequest & { readonly down: Ended };
/** What a watch came to that is taken away; `isOurs`: nobody else was told. */
export type Unwatched = { readonly isOurs: boolean; readonly down?: Ended | undefined };
/** A watch that stands: whom it is about, and what came of that one. */
export type StandingWatch = { readonly threadId: ThreadId; readonly down?: Ended | undefined };
export type TopicRequest = Asked & { readonly topic: string };
/** How long the reply is waited for. */
export type AskRequest = Asked & { readonly deadlineMs: number };
export type CheckRequest = Asked & { readonly message: ThreadMessage };
export type HistoryRequest = Asked & { readonly from: number; readonly to?: number | undefined };
/** `next` is null on the last page. */
export type HistoryPage = { readonly lines: readonly RolloutLine[]; readonly next: number | null };

/** Where a message for a thread that runs goes: an agent's, to the invocation of the thread whose turn has started it. */
export function addressed(
  { invocation, through }: Pick<Run, "invocation" | "through">,
  threadId: ThreadId,
  message: Message,
): { readonly key: ThreadId; readonly parameter: DeliverRequest } {
  const sent = through === undefined ? message : { ...message, to: threadId };
  return { key: through ?? threadId, parameter: { protocol: PROTOCOL_VERSION, invocation, message: sent } };
}

/** What only the turn that runs could take is for nobody when none runs. */
export function needsTurn(message: Message): boolean {
  if (message.kind === "interrupt" || message.kind === "giveUp") return false;
  return message.kind !== "op" || !FOR_THE_TURN.has(message.op.type);
}

const FOR_THE_TURN: ReadonlySet<string> = new Set([
  "interrupt",
  "exec_approval",
  "patch_approval",
  "user_input_answer",
  "resolve_elicitation",
]);

/** A thread as it stands: what is noted of it, and how many lines it has. */
export type Look = { readonly note: ClusterNote; readonly position: number };

/** What a worker's live side tells of a thread: its state first, then event by event; `ordinal` is the line of a stored one. */
export type LiveFrame =
  | { readonly kind: "state"; readonly state: LiveState }
  | { readonly kind: "event"; readonly event: ThreadEvent; readonly ordinal: number | null };

export type LiveState = {
  readonly epoch: number;
  readonly status: AgentStatus;
  readonly activeTurn: ActiveTurn | null;
  readonly pendingApprovals: readonly PendingApproval[];
  readonly pendingUserQuestions: readonly PendingApproval[];
  /** How many lines the thread had when this life of it began. */
  readonly base: number;
  /** How many it has now; all of them are stored. */
  readonly position: number;
  /** The last event that the rest takes into account. */
  readonly seq: number;
};

/** @throws ClusterMismatchError for a client of another version */
export function checkVersion({ protocol }: { protocol?: unknown }): void {
  if (protocol === PROTOCOL_VERSION) return;
  throw new ClusterMismatchError(
    `the client speaks version ${String(protocol)} of the cluster's protocol, and this worker version ${PROTOCOL_VERSION}: bring both to one release of skein`,
  );
}

/** @throws InvalidRequestError for what the engine would refuse */
export function encode(message: object): string {
  const json = JSON.stringify(message);
  const bytes = Buffer.byteLength(json);
  if (bytes <= MAX_MESSAGE_BYTES) return json;
  throw new InvalidRequestError(
    `a message of ${(bytes / MEBIBYTE).toFixed(1)} MiB is too large for a cluster, which takes ${MAX_MESSAGE_BYTES / MEBIBYTE} MiB: put what is large into a file that the workers can read, and name it`,
  );
}

/** @throws InvalidRequestError for what only one process can have */
export function sendable({ tools, messages, ephemeral, ...config }: ThreadConfig): ThreadConfig {
  if (tools !== undefined && tools.length > 0)
    throw new InvalidRequestError("config: tools: functions can't be sent; give them to the managers of the workers");
  if (messages !== undefined && Object.keys(messages).length > 0)
    throw new InvalidRequestError("config: messages: schemas can't be sent; give them to the managers of the workers");
  if (ephemeral === true)
    throw new InvalidRequestError(
      "config: ephemeral: such a thread lives in one process alone; start it by a ThreadManager",
    );
  return config;
}
