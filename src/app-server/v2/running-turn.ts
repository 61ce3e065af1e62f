import type { V2Item, V2Turn, V2TurnError } from "./wire-types.ts";

/** What is known of a turn while it runs. */
export type RunningTurn = {
  readonly id: string;
  /** The submission that started it. */
  readonly submission: string;
  /** The user's turn that it is a part of. */
  readonly rootId: string;
  /** Unix seconds. */
  readonly startedAt: number | null;
  /** When each item began, in Unix milliseconds. */
  readonly begun: Map<string, number>;
  /** Those whose end the core told of as items, so that the older event behind it says nothing new. */
  readonly completed: Set<string>;
  /** Commands that wait for an approval and are shown, though they have not begun. */
  readonly unbegun: Map<string, { readonly type: string; readonly id: string }>;
  /** Calls that are file changes: their output is told as such. */
  readonly fileChanges: Set<string>;
  /** Whether the model has begun to answer. */
  hasOutput: boolean;
  lastAgentMessage: V2Item | undefined;
  error: V2TurnError | null;
};

type Beginning = Pick<RunningTurn, "id" | "submission" | "startedAt"> & { readonly rootId?: string | null | undefined };

export const runningTurn = ({ id, submission, startedAt, rootId }: Beginning): RunningTurn => ({
  id,
  submission,
  rootId: rootId ?? id,
  startedAt,
  begun: new Map(),
  completed: new Set(),
  unbegun: new Map(),
  fileChanges: new Set(),
  hasOutput: false,
  lastAgentMessage: undefined,
  error: null,
});

/** A turn as it is shown when it begins; `startedAt` is null in the answer to turn/start. */
export const turnInProgress = (id: string, startedAt: number | null): V2Turn => ({
  id,
  rootTurnId: id,
  items: [],
  itemsView: "notLoaded",
  status: "inProgress",
  error: null,
  startedAt,
  completedAt: null,
  durationMs: null,
});
