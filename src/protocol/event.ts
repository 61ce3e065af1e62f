import type { BudgetState, OverBudget } from "./budget.ts";
import type { SubmissionId, ThreadId } from "./ids.ts";
import type { CodexErrorInfo } from "./model-error.ts";
import type { AskForApproval, ReasoningEffort, SandboxPolicy } from "./policy.ts";
import type { ResponseItem } from "./response-item.ts";
import type { FiredTimer } from "./schedule.ts";
import type { RateLimitSnapshot, TokenUsage, TokenUsageInfo } from "./token-usage.ts";
import type { CollabEventMsg, ToolEventMsg } from "./tool-events.ts";
import type { TurnItem } from "./turn-item.ts";
import type { UnknownTagged } from "./unknown-kind.ts";
import type { TextElement } from "./user-input.ts";

/** What happens in a thread, tagged by `type` in snake_case: SPEC 3, 0.87's and 0.169's additions, and our `lagged`. */
export type KnownEventMsg = SessionEventMsg | TurnEventMsg | ContentEventMsg | ToolEventMsg | CollabEventMsg;

/** An event of a kind that this version does not know; see UnknownKind for how narrowing works beside it. */
export type UnknownEventMsg = UnknownTagged;

/** Any event. `msg.type === "..."` narrows to the known kind; a switch's `default` keeps the unknown ones. */
export type EventMsg = KnownEventMsg | UnknownEventMsg;

/** The tag of every event kind that this version knows. */
export type EventKind = KnownEventMsg["type"];

/** An event as a thread emits it. `id` is the submission that caused it, `""` for start-up events. */
export type Event = { id: SubmissionId; msg: EventMsg };

/**
 * An event with its place in its thread's log. `seq` has no gaps within one `epoch` (incarnation). `time` is when it was shown,
 * in Unix milliseconds by the manager's clock.
 */
export type ThreadEvent = {
  threadId: ThreadId;
  seq: number;
  epoch: number;
  time: number;
  id: SubmissionId;
  msg: EventMsg;
};

/** The first event of every incarnation of a thread. */
export type SessionConfiguredEvent = {
  type: "session_configured";
  session_id: ThreadId;
  model: string;
  model_provider_id: string;
  approval_policy: AskForApproval;
  sandbox_policy: SandboxPolicy;
  cwd: string;
  reasoning_effort?: ReasoningEffort | null | undefined;
  history_log_id: number;
  history_entry_count: number;
  /** null or absent for a new thread; else the stored events in file order. */
  initial_messages?: EventMsg[] | null | undefined;
  /** null for a thread without a file (ephemeral, or a store that has none). */
  rollout_path: string | null;
  forked_from_id?: ThreadId | null | undefined;
  /** Ours: the turn that an earlier life has left open, and that this one goes on with. */
  resumed_turn_id?: string | undefined;
};

/** Events about the thread as a whole. */
export type SessionEventMsg =
  | SessionConfiguredEvent
  | ErrorEvent
  | StreamErrorEvent
  | { type: "warning"; message: string }
  | { type: "deprecation_notice"; summary: string; details?: string | null | undefined }
  | { type: "background_event"; message: string }
  | ThreadSettingsAppliedEvent
  | { type: "context_compacted" }
  | ThreadRolledBackEvent
  | TokenCountEvent
  | { type: "undo_started"; message?: string | null | undefined }
  | { type: "undo_completed"; success: boolean; message?: string | null | undefined }
  | { type: "entered_review_mode"; target: unknown; user_facing_hint?: string | null | undefined }
  | { type: "exited_review_mode"; review_output?: unknown }
  | { type: "get_history_entry_response"; offset: number; log_id: number; entry?: unknown }
  | ({ type: "mcp_list_tools_response" } & AnswerFields)
  | ({ type: "list_custom_prompts_response" } & AnswerFields)
  | ({ type: "list_skills_response" } & AnswerFields)
  | ({ type: "list_models_response" } & AnswerFields)
  | { type: "skills_update_available" }
  | { type: "shutdown_complete" }
  | BudgetWarningEvent
  | BudgetExceededEvent
  | TimerFiredEvent
  | LaggedEvent;

/** The fields of an answer whose form its op's own list gives. */
export type AnswerFields = { [field: string]: unknown };

/** Ours: a timer has given its op to the thread. Times are Unix milliseconds. Never stored. */
export type TimerFiredEvent = { type: "timer_fired" } & FiredTimer;

/** Ours: a budget that the thread spends from nears its bound. Told once for each bound. Never stored. */
export type BudgetWarningEvent = { type: "budget_warning"; message: string } & BudgetState;
/** Ours: a budget that the thread spends from is used up, and what follows from it. Never stored. */
export type BudgetExceededEvent = { type: "budget_exceeded"; message: string; action: OverBudget } & BudgetState;

/** 0.80 gives only `message` and `codex_error_info`. */
export type ErrorEvent = { type: "error"; message: string; codex_error_info?: CodexErrorInfo | null | undefined };

/** A failed try that will be repeated. `additional_details` is the error's text. */
export type StreamErrorEvent = {
  type: "stream_error";
  message: string;
  codex_error_info?: CodexErrorInfo | null | undefined;
  additional_details?: string | null | undefined;
};

/** 0.169: the settings that the next turns run with. */
export type ThreadSettingsAppliedEvent = {
  type: "thread_settings_applied";
  thread_id: ThreadId;
  thread_settings: { model: string; model_provider_id: string; cwd: string; [field: string]: unknown };
};

/**
 * `num_turns` is what was asked for; it may be more than there were. With `before_turn_id` (Skein's own) the thread is as it was when that
 * turn began, and `num_turns` says how many of the user's messages that takes back, for readers that only count.
 */
export type ThreadRolledBackEvent = {
  type: "thread_rolled_back";
  num_turns: number;
  before_turn_id?: string | undefined;
};

/** `info` is null until a response told its usage; `rate_limits` is null only in estimates. */
export type TokenCountEvent = {
  type: "token_count";
  info?: TokenUsageInfo | null | undefined;
  rate_limits?: RateLimitSnapshot | null | undefined;
};

/** Ours: this subscriber missed the events `from` to `to` (both included) because it was too slow. Never stored. */
export type LaggedEvent = { type: "lagged"; from: number; to: number };

/** What 0.169 adds to the events that open and close a turn. Times are Unix seconds. */
export type TurnStamp = {
  turn_id?: string | null | undefined;
  root_turn_id?: string | null | undefined;
  started_at?: number | null | undefined;
};
/** What 0.169 adds to the events that close a turn. Times are Unix seconds, durations milliseconds. */
export type TurnEndStamp = TurnStamp & {
  completed_at?: number | null | undefined;
  duration_ms?: number | null | undefined;
  /** Ours: the tokens of this turn alone. Absent when the model told none. */
  turn_token_usage?: TokenUsage | undefined;
};

/** A turn has begun. */
export type TaskStartedEvent = {
  type: "task_started";
  model_context_window?: number | null | undefined;
  collaboration_mode_kind?: string | undefined;
} & TurnStamp;

/**
 * Ours: a turn that an earlier life of the thread has left open goes on in this one. It has begun by then (`task_started`), and
 * ends once. Never stored.
 */
export type TurnResumedEvent = {
  type: "turn_resumed";
  /** How many lives have taken it up after the first one, this one included. */
  attempt: number;
  model_context_window?: number | null | undefined;
} & TurnStamp;

/** A turn has ended in order. */
export type TaskCompleteEvent = {
  type: "task_complete";
  last_agent_message?: string | null | undefined;
  error?: { message: string; codex_error_info?: CodexErrorInfo | null | undefined } | null | undefined;
  time_to_first_token_ms?: number | null | undefined;
} & TurnEndStamp;

/** Why a turn was aborted. */
type TurnAbortReason = "interrupted" | "replaced" | "review_ended" | (string & {});
/** A turn was ended before it was done. */
export type TurnAbortedEvent = { type: "turn_aborted"; reason: TurnAbortReason } & TurnEndStamp;

/** The thread and turn that an item belongs to. */
export type ItemPlace = { thread_id: ThreadId; turn_id: string };
/** An item has begun: its deltas follow. */
export type ItemStartedEvent = {
  type: "item_started";
  item: TurnItem;
  started_at_ms?: number | null | undefined;
} & ItemPlace;
/** An item has ended; it is whole now. */
export type ItemCompletedEvent = {
  type: "item_completed";
  item: TurnItem;
  started_at_ms?: number | null | undefined;
  completed_at_ms?: number | null | undefined;
} & ItemPlace;

/** A turn's bounds and its items. */
export type TurnEventMsg =
  | TaskStartedEvent
  | TurnResumedEvent
  | TaskCompleteEvent
  | TurnAbortedEvent
  | ItemStartedEvent
  | ItemCompletedEvent
  | { type: "raw_response_item"; item: ResponseItem };

/** What the user said. */
export type UserMessageEvent = {
  type: "user_message";
  message: string;
  images?: string[] | null | undefined;
  local_images?: string[] | undefined;
  text_elements?: TextElement[] | undefined;
};
/** A whole message of the model's. */
export type AgentMessageEvent = { type: "agent_message"; message: string; phase?: string | null | undefined };

/** A piece of an item's text. */
export type ItemDelta = { item_id: string; delta: string } & ItemPlace;

/** What is said and thought, whole and in pieces. */
export type ContentEventMsg =
  | UserMessageEvent
  | AgentMessageEvent
  | { type: "agent_message_delta"; delta: string }
  | { type: "agent_reasoning"; text: string }
  | { type: "agent_reasoning_delta"; delta: string }
  | { type: "agent_reasoning_raw_content"; text: string }
  | { type: "agent_reasoning_raw_content_delta"; delta: string }
  | { type: "agent_reasoning_section_break"; item_id: string; summary_index: number }
  | ({ type: "agent_message_content_delta" } & ItemDelta)
  /** A plan streams, in plan mode. */
  | ({ type: "plan_delta" } & ItemDelta)
  | ({ type: "reasoning_content_delta"; summary_index: number } & ItemDelta)
  | ({ type: "reasoning_raw_content_delta"; content_index: number } & ItemDelta);
