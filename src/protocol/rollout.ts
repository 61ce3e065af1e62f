import type { EventMsg } from "./event.ts";
import { readStoredEvent } from "./event-schemas.ts";
import { isUuid, type ThreadId } from "./ids.ts";
import type { ReasoningEffort } from "./policy.ts";
import type { ResponseItem } from "./response-item.ts";
import { responseItemShape } from "./response-item-shape.ts";
import type { SessionSource } from "./session-source.ts";
import { count, either, filledText, flag, listOf, MISFIT, record, type Shape, text, textMatching } from "./shape.ts";
import { isJsonObject, isTagged, type UnknownKind } from "./unknown-kind.ts";

/** Which events a thread stores; see isPersisted. Files of before 0.169 name none, have no ordinals, and are `legacy`. */
export type HistoryMode = "legacy" | "paginated";

/** Where a fork's own lines go on: it shares `thread_id`'s lines below the ordinal, which end at the byte offset. */
export type HistoryBase = { thread_id: ThreadId; end_ordinal_exclusive: number; end_byte_offset: number };

/** The repository that a thread began in, as its header holds it. */
export type GitInfo = {
  commit_hash?: string | null | undefined;
  branch?: string | null | undefined;
  repository_url?: string | null | undefined;
};

/** 0.169 stores the base prompt with where it came from. */
export type BaseInstructions = { text: string; provenance?: unknown };

/**
 * The payload of a rollout's first line (SPEC 7.3 and 13.4). Only `id` has to be there, since the thread cannot be named
 * without it; of the fields named here those that do not fit are left out on reading, and unknown ones survive.
 */
export type SessionMeta = {
  id: ThreadId;
  /** When the thread started; the line's own timestamp is when the line was written. */
  timestamp: string;
  cwd: string;
  originator: string;
  cli_version: string;
  /** 0.80 and 0.87: the user instructions. */
  instructions?: string | null | undefined;
  /** Read it by parseSessionSource: a file of another version may hold forms that this type does not name. */
  source?: SessionSource | undefined;
  model_provider?: string | null | undefined;
  git?: GitInfo | null | undefined;
  /** Skein's own: what the thread began with, for lists. */
  model?: string | null | undefined;
  reasoning_effort?: ReasoningEffort | null | undefined;
  /** The root of the tree of agents that this thread belongs to. */
  session_id?: string | undefined;
  forked_from_id?: ThreadId | null | undefined;
  forked_from_ordinal_exclusive?: number | null | undefined;
  history_base?: HistoryBase | null | undefined;
  history_mode?: HistoryMode | undefined;
  parent_thread_id?: ThreadId | null | undefined;
  agent_nickname?: string | null | undefined;
  agent_role?: string | null | undefined;
  /** `subagent` for a thread that an agent has started. */
  thread_source?: string | null | undefined;
  base_instructions?: BaseInstructions | null | undefined;
  [field: string]: unknown;
};

/**
 * The settings of one model request, written before it (0.80: once per request, not per turn). Each version has policies
 * that others do not know, so these are read where they are needed, by their schemas: absent fields have defaults there.
 */
export type TurnContextItem = {
  turn_id?: string | null | undefined;
  cwd?: string | null | undefined;
  model?: string | null | undefined;
  effort?: ReasoningEffort | null | undefined;
  approval_policy?: unknown;
  sandbox_policy?: unknown;
  [field: string]: unknown;
};

/** A compaction's result. With `replacement_history` it replaces the history as it stands (SPEC 5.4). */
export type CompactedItem = {
  message: string;
  replacement_history?: ResponseItem[] | null | undefined;
  [field: string]: unknown;
};

/**
 * Skein's own: the thread has taken a submission. `op` is what it gave, while that is in no other line; `taken` says that
 * it is by now. `turn_id` is the turn that it started or joined; `wait` tells one without a turn apart from another life's of the same id.
 */
export type SubmissionItem = {
  thread_id: string;
  id: string;
  turn_id?: string | null | undefined;
  wait?: string | undefined;
  op?: unknown;
  taken?: boolean | undefined;
};

/**
 * Skein's own: what a process has to know of a turn to go on with it. Each line says what is new; all of a turn together say
 * where it stands. Written only where `recovery` is `continue`.
 */
export type TaskItem = {
  thread_id: string;
  turn_id: string;
  /** The submission that the turn bears. */
  id?: string | undefined;
  /** What kind of turn: `regular`, `compact`, `review`, `user_shell`. */
  kind?: string | undefined;
  /** How many lives have taken the turn up after the first one. */
  attempt?: number | undefined;
  /** What the turn is to do, where no message of the history says it. */
  op?: unknown;
  /** The form that the answer is to have. */
  output_schema?: unknown;
  /** The model has nothing to add: what follows is the turn's end, unless the history goes on. */
  answered?: boolean | undefined;
  /** A call that has done nothing so far, since it waits for its approval; or does not wait any more. */
  asking?: { call_id: string; open: boolean } | undefined;
};

/** One entry of a thread's history, without the time of its writing. */
export type RolloutItem =
  | { type: "session_meta"; payload: SessionMeta }
  | { type: "response_item"; payload: ResponseItem }
  | { type: "event_msg"; payload: EventMsg }
  | { type: "turn_context"; payload: TurnContextItem }
  | { type: "compacted"; payload: CompactedItem }
  | { type: "submission"; payload: SubmissionItem }
  | { type: "task"; payload: TaskItem }
  /** Skein's own: what a logic of an embedder's keeps; read by src/thread/saved-state.ts. */
  | { type: "logic_state"; payload: unknown }
  /** Skein's own: what a group of threads has come to; read by src/manager/group-record.ts. */
  | { type: "group_event"; payload: unknown }
  /** Skein's own: how far a durable step is; read by src/thread/step-lines.ts. */
  | { type: "durable_step"; payload: unknown }
  | { type: UnknownKind; payload: unknown };

/**
 * One line of a rollout file. `timestamp` is UTC with milliseconds and `Z`; `ordinal` counts the lines of a paginated
 * thread through all its ancestors. Other members of the line (0.169: `metadata`) survive.
 */
export type RolloutLine = { timestamp: string; ordinal?: number | undefined } & RolloutItem;

const uuid = textMatching("a thread id", isUuid);

const headerShape = record(
  { id: uuid },
  {
    timestamp: text,
    cwd: text,
    originator: text,
    cli_version: text,
    model_provider: text,
    model: text,
    reasoning_effort: filledText,
    session_id: text,
    forked_from_id: uuid,
    forked_from_ordinal_exclusive: count,
    history_base: record({ thread_id: uuid, end_ordinal_exclusive: count, end_byte_offset: count }),
    history_mode: textMatching("legacy or paginated", (mode) => mode === "legacy" || mode === "paginated"),
    parent_thread_id: uuid,
    agent_nickname: text,
    agent_role: text,
    thread_source: text,
    git: record({}, { commit_hash: text, branch: text, repository_url: text }),
    base_instructions: either(record({ text }), text),
  },
);

const contextShape = record({}, { turn_id: text, cwd: text, model: text, effort: filledText });
const compactedShape = record({ message: text }, { replacement_history: listOf(responseItemShape) });

/** Codex reads it as far as it fits, and nothing else of a replacing history. */
const NOTES = "internal_chat_message_metadata_passthrough";

/** A history that does not fit whole is none: Codex passes over the line, and goes on from the lines before it (SPEC 7.6). */
function readCompacted(payload: unknown, problems: string[]): unknown {
  const before = problems.length;
  const read = compactedShape.read(payload, problems);
  const isOfHistory = (problem: string) => problem.startsWith("replacement_history") && !problem.includes(NOTES);
  return problems.slice(before).some(isOfHistory) ? MISFIT : read;
}

const submissionShape = record({ thread_id: text, id: text }, { turn_id: text });

const taskShape = record(
  { thread_id: text, turn_id: text },
  {
    id: text,
    kind: text,
    attempt: count,
    answered: flag,
    asking: record({ call_id: text, open: flag }),
  },
);

const PAYLOADS: ReadonlyMap<string, Shape["read"]> = new Map<string, Shape["read"]>([
  ["session_meta", headerShape.read],
  ["response_item", responseItemShape.read],
  ["event_msg", (payload, problems) => readStoredEvent(payload, problems) ?? MISFIT],
  ["turn_context", contextShape.read],
  ["compacted", readCompacted],
  ["submission", submissionShape.read],
  ["task", taskShape.read],
]);

/**
 * Reads one stored item: the object itself where all of it fits, so that unknown members survive; else a copy without the
 * optional fields that do not fit, which are named in `problems`. An unknown `type` passes with any payload.
 *
 * undefined: it is no tagged object, or lacks what later code needs. Codex passes over the same lines (SPEC 7.6).
 */
export function readStoredItem(value: unknown, problems: string[]): RolloutItem | undefined {
  if (!isTagged(value)) return undefined;
  const readPayload = PAYLOADS.get(value.type);
  if (readPayload === undefined) return value as unknown as RolloutItem;
  const before = problems.length;
  const payload = readPayload(value.payload, problems);
  for (let at = before; at < problems.length; at += 1) problems[at] = `payload.${problems[at]}`;
  if (payload === MISFIT && problems.length === before) problems.push("payload must be an object of its type");
  if (payload === MISFIT) return undefined;
  return (payload === value.payload ? value : { ...value, payload }) as unknown as RolloutItem;
}

/** As {@link readStoredItem}, for those who do not tell of what was left out. */
export const parseRolloutItem = (value: unknown): RolloutItem | undefined => readStoredItem(value, []);

/** Reads one line after JSON.parse; as readStoredItem, and without a text `timestamp` it is no line either. */
export function readStoredLine(value: unknown, problems: string[]): RolloutLine | undefined {
  if (!isJsonObject(value)) return undefined;
  if (typeof value.timestamp !== "string") {
    problems.push("timestamp must be a string");
    return undefined;
  }
  if (value.ordinal == null || typeof value.ordinal === "number") {
    return readStoredItem(value, problems) as RolloutLine | undefined;
  }
  problems.push("ordinal must be a whole number");
  const { ordinal: _, ...unnumbered } = value;
  return readStoredItem(unnumbered, problems) as RolloutLine | undefined;
}

/** As {@link readStoredLine}, for those who do not tell of what was left out. */
export const parseRolloutLine = (value: unknown): RolloutLine | undefined => readStoredLine(value, []);
