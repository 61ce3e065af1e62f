import type { EventMsg } from "./event.ts";
import { canonicalEvent, eventProblem } from "./event-schemas.ts";
import { isUuid, type ThreadId } from "./ids.ts";
import type { AskForApproval, ReasoningEffort, ReasoningSummary, SandboxPolicy } from "./policy.ts";
import type { ResponseItem } from "./response-item.ts";
import type { SessionSource } from "./session-source.ts";
import { isJsonObject, isTagged, type JsonObject, type UnknownKind } from "./unknown-kind.ts";

/** Which events a thread stores; see isPersisted. Files of before 0.169 name none, have no ordinals, and are `legacy`. */
export type HistoryMode = "legacy" | "paginated";

/** Where a fork's own lines go on: it shares `thread_id`'s lines below the ordinal, which end at the byte offset. */
export type HistoryBase = { thread_id: ThreadId; end_ordinal_exclusive: number; end_byte_offset: number };

export type GitInfo = {
  commit_hash?: string | null | undefined;
  branch?: string | null | undefined;
  repository_url?: string | null | undefined;
};

/** 0.169 stores the base prompt with where it came from. */
export type BaseInstructions = { text: string; provenance?: unknown };

/**
 * The payload of a rollout's first line (SPEC 7.3 and 13.4). Only `id` is checked on reading, since the thread cannot
 * be named without it; every other field is as the writer left it, and unknown ones survive.
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

/** The settings of one model request, written before it (0.80: once per request, not per turn). */
export type TurnContextItem = {
  turn_id?: string | null | undefined;
  cwd: string;
  approval_policy: AskForApproval;
  sandbox_policy: SandboxPolicy;
  model: string;
  effort?: ReasoningEffort | null | undefined;
  summary: ReasoningSummary;
  base_instructions?: string | null | undefined;
  user_instructions?: string | null | undefined;
  developer_instructions?: string | null | undefined;
  final_output_json_schema?: unknown;
  truncation_policy?: { mode: "bytes" | "tokens"; limit: number } | null | undefined;
  [field: string]: unknown;
};

/** A compaction's result. With `replacement_history` it replaces the history as it stands (SPEC 5.4). */
export type CompactedItem = {
  message: string;
  replacement_history?: ResponseItem[] | null | undefined;
  [field: string]: unknown;
};

/** One entry of a thread's history, without the time of its writing. */
export type RolloutItem =
  | { type: "session_meta"; payload: SessionMeta }
  | { type: "response_item"; payload: ResponseItem }
  | { type: "event_msg"; payload: EventMsg }
  | { type: "turn_context"; payload: TurnContextItem }
  | { type: "compacted"; payload: CompactedItem }
  | { type: UnknownKind; payload: unknown };

/**
 * One line of a rollout file. `timestamp` is UTC with milliseconds and `Z`; `ordinal` counts the lines of a paginated
 * thread through all its ancestors. Other members of the line (0.169: `metadata`) survive.
 */
export type RolloutLine = { timestamp: string; ordinal?: number | undefined } & RolloutItem;

type Check = (payload: JsonObject) => boolean;

const isText = (value: unknown): boolean => typeof value === "string";
const isParts = (value: unknown): boolean => Array.isArray(value) && value.every(isTagged);

/** What textOf, isUserBoundary and the pairing of calls with outputs read. */
const RESPONSE_CHECKS: ReadonlyMap<unknown, Check> = new Map<unknown, Check>([
  ["message", ({ role, content }) => isText(role) && isParts(content)],
  ["reasoning", ({ summary }) => isParts(summary)],
  ["function_call", (call) => isText(call.call_id) && isText(call.name) && isText(call.arguments)],
  ["function_call_output", ({ call_id: id, output }) => isText(id) && (isText(output) || isParts(output))],
  ["custom_tool_call", (call) => isText(call.call_id) && isText(call.name) && isText(call.input)],
  ["custom_tool_call_output", ({ call_id: id, output }) => isText(id) && (isText(output) || isParts(output))],
]);

/**
 * Every line of a file goes through here, so the checks are written by hand: they look at what later code relies on and
 * copy nothing. Measured on 100,000 lines: a fifth of the time of the JSON.parse before it, where a zod schema of the
 * same shapes takes twenty times as long as these checks.
 */
const PAYLOAD_CHECKS: ReadonlyMap<unknown, Check> = new Map<unknown, Check>([
  ["session_meta", ({ id }) => typeof id === "string" && isUuid(id)],
  ["response_item", (item) => isTagged(item) && (RESPONSE_CHECKS.get(item.type)?.(item) ?? true)],
  ["event_msg", (msg) => isTagged(msg) && eventProblem(canonicalEvent(msg)) === undefined],
  ["turn_context", () => true],
  ["compacted", ({ message, replacement_history: kept }) => isText(message) && (kept == null || isParts(kept))],
]);

/**
 * Reads one item: the object itself, not a copy, so that unknown members survive. An unknown `type` passes with any
 * payload. Undefined when it is no tagged object, or of a known type with a payload that later code could not read;
 * Codex skips the same lines with a warning (SPEC 7.6).
 */
export function parseRolloutItem(value: unknown): RolloutItem | undefined {
  if (!isTagged(value)) return undefined;
  const check = PAYLOAD_CHECKS.get(value.type);
  if (check === undefined) return value as unknown as RolloutItem;
  const { payload } = value;
  if (!isJsonObject(payload) || !check(payload)) return undefined;
  if (value.type === "event_msg" && isTagged(payload)) {
    const canonical = canonicalEvent(payload);
    if (canonical !== payload) return { ...value, payload: canonical } as unknown as RolloutItem;
  }
  return value as unknown as RolloutItem;
}

/** Reads one line after JSON.parse; as parseRolloutItem, and without a text `timestamp` it is no line either. */
export function parseRolloutLine(value: unknown): RolloutLine | undefined {
  if (!isJsonObject(value) || typeof value.timestamp !== "string") return undefined;
  return parseRolloutItem(value) as RolloutLine | undefined;
}
