/** What the `skein/` methods say, in words that the page in the browser shares. Types only. */

/** One shape and colour each: at work, waits for somebody, failed, has nothing to do, not in memory. */
export type RowStatus = "active" | "waiting" | "failed" | "idle" | "notLoaded";

/** What stands in a row of the tree, in the order of {@link TREE_COLUMNS}. Times are Unix milliseconds; null: not known.
 * `cost`: of its tokens, at the price of the model that it has now; null where the manager has no price of it. */
export type TreeRow = readonly [
  id: string,
  parentThreadId: string | null,
  forkedFromId: string | null,
  label: string,
  role: string | null,
  model: string | null,
  createdAt: number,
  archived: boolean,
  status: RowStatus,
  tokensIn: number | null,
  tokensCached: number | null,
  tokensOut: number | null,
  pending: number,
  lastAt: number,
  doing: string,
  cost: number | null,
];

/** What of a row changes while its thread works. */
export type TreePatch = readonly [
  id: string,
  status: RowStatus,
  tokensIn: number | null,
  tokensCached: number | null,
  tokensOut: number | null,
  pending: number,
  lastAt: number,
  doing: string,
  cost: number | null,
];

export type TreePage = {
  readonly instanceId: string;
  readonly seq: number;
  readonly columns: readonly string[];
  readonly rows: readonly TreeRow[];
  readonly nextCursor: string | null;
};

export type TreeChanges = {
  readonly instanceId: string;
  readonly seq: number;
  readonly rows: readonly TreeRow[];
  readonly patches: readonly TreePatch[];
  readonly removed: readonly string[];
};

/** A question that waits for an answer. */
export type Question = {
  readonly threadId: string;
  /** The thread at the top of the tree of agents. */
  readonly rootId: string;
  readonly callId: string;
  readonly turnId: string;
  readonly kind: "command" | "patch";
  /** The script that a shell gets, or the command line; for a patch, what it does to which file. Whole. */
  readonly command: string;
  /** A patch as a diff; "" for a command. */
  readonly diff: string;
  readonly cwd: string | null;
  readonly reason: string | null;
  readonly since: number;
};

export type QuestionChanges = {
  readonly opened: readonly Question[];
  readonly resolved: readonly { readonly threadId: string; readonly callId: string }[];
};

export type Decision = "accept" | "acceptForSession" | "decline" | "cancel";

export type MetricsSample = {
  /** Unix milliseconds: the end of the second that is told of. */
  readonly t: number;
  readonly events: number;
  readonly tokens: { readonly in: number; readonly cached: number; readonly out: number };
  readonly turns: { readonly begun: number; readonly ended: number; readonly failed: number };
  /** Milliseconds to the first word, of the turns that ended in this second; null without any. */
  readonly ttft: { readonly p50: number | null; readonly p95: number | null; readonly n: number };
  /** Questions that wait. */
  readonly pending: number;
  readonly capacity: CapacityShown;
  /** 0 to 1. */
  readonly eventLoop: number;
  /** How late the event loop was in this second, in milliseconds; null where it was not measured. */
  readonly loopLag: { readonly p50: number; readonly p99: number; readonly max: number } | null;
  /** Bytes. */
  readonly rss: number;
};

/** A limit without a bound is null. */
type CapacityShown = {
  readonly residentThreads: { readonly used: number; readonly max: number | null };
  readonly runningTurns: { readonly used: number; readonly waiting: number; readonly max: number | null };
  readonly unloadedThreads: number;
};

export type SpanKind = "turn" | "model" | "tool" | "approval" | "backoff" | "slot";

/** What a request to the model has used: input that was read anew, input that was cached, output. */
export type SpanTokens = readonly [fresh: number, cached: number, out: number];

/** `end` is null while it goes on; `tokens` but where a request told of them. */
export type Span = readonly [
  threadId: string,
  kind: SpanKind,
  start: number,
  end: number | null,
  status: string,
  label: string,
  tokens: SpanTokens | null,
];

/** A turn of a thread, as its own lines tell it. Times are Unix milliseconds; null: not known. */
export type TurnFigures = {
  readonly turnId: string;
  readonly startedAt: number;
  readonly model: string | null;
  readonly status: "running" | "completed" | "failed" | "interrupted";
  readonly durationMs: number | null;
  readonly firstWordMs: number | null;
  readonly requests: number;
  readonly tokensIn: number;
  readonly tokensCached: number;
  readonly tokensOut: number;
  /** By the model of the turn; null where the manager has no price of it. */
  readonly cost: number | null;
};

/** How a thread stands with whoever supervises and holds it. */
export type ThreadStanding = {
  readonly restarts: {
    readonly state: "up" | "backingOff" | "gaveUp";
    readonly strategy: string;
    readonly crashes: number;
    readonly left: number;
    readonly maxRestarts: number;
    readonly periodMs: number;
    readonly dueInMs: number | null;
    readonly error: string | null;
    readonly group: string | null;
  };
  /** Of its life here; null: it is not in memory here. */
  readonly epoch: number | null;
  readonly isHere: boolean;
  readonly heldForMs: number | null;
  /** The process that has its lease; null: none, or the store does not say (`saysHolder`). */
  readonly holder: { readonly pid: number; readonly host: string; readonly since: string } | null;
  readonly saysHolder: boolean;
  readonly rolloutPath: string | null;
  /** The place of its next line. */
  readonly lines: number | null;
  readonly priority: number;
  /** How many turns get a place before its own; null: none of its turns waits for one. */
  readonly placeInQueue: number | null;
  readonly depth: number;
  /** What its budget has counted; null without a budget. */
  readonly cost: number | null;
};

/** A machine's state as XState writes it. */
export type StateValue = string | { readonly [key: string]: StateValue };

export type MachinePlace = {
  readonly threadId: string;
  readonly epoch: number | null;
  /** null: not in memory, or a logic without states. */
  readonly thread: StateValue | null;
  readonly turn: StateValue | null;
  readonly retries: number;
  readonly approvals: number;
  readonly at: number;
};

/** What a connection may do: everything; everything once it has asked; nothing but look. */
export type Access = "act" | "ask" | "look";

export type StudioInfo = {
  readonly instanceId: string;
  readonly version: string;
  readonly startedAt: number;
  readonly features: readonly string[];
  readonly limits: { readonly treePage: number; readonly eventsPage: number; readonly metricsSeconds: number };
  readonly access: Access;
};
