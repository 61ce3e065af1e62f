/** What the `skein/` methods say, in words that the page in the browser shares. Types only. */

/** One shape and colour each: at work, waits for somebody, failed, has nothing to do, not in memory. */
export type RowStatus = "active" | "waiting" | "failed" | "idle" | "notLoaded";

/** What stands in a row of the tree, in the order of {@link TREE_COLUMNS}. Times are Unix milliseconds; null: not known. */
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
  /** Bytes. */
  readonly rss: number;
};

/** A limit without a bound is null. */
type CapacityShown = {
  readonly residentThreads: { readonly used: number; readonly max: number | null };
  readonly runningTurns: { readonly used: number; readonly waiting: number; readonly max: number | null };
  readonly unloadedThreads: number;
};

export type SpanKind = "turn" | "model" | "tool" | "approval" | "backoff";

/** `end` is null while it goes on. */
export type Span = readonly [
  threadId: string,
  kind: SpanKind,
  start: number,
  end: number | null,
  status: string,
  label: string,
];

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
