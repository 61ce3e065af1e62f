import type { AgentStatus } from "./agent-status.ts";
import type { ThreadId } from "./ids.ts";
import type { ContentItem } from "./response-item.ts";
import type { UnknownTagged } from "./unknown-kind.ts";
import type { UserInput } from "./user-input.ts";

/** A duration as Codex writes it: seconds and nanoseconds. */
export type Duration = { secs: number; nanos: number };
/** What a patch does to one file. */
export type FileChange =
  | { type: "add"; content: string }
  | { type: "delete"; content: string }
  | { type: "update"; unified_diff: string; move_path: string | null };
/** What a patch does, by path. */
export type FileChanges = { [path: string]: FileChange };
/** A call to an MCP server's tool. */
export type McpInvocation = { server: string; tool: string; arguments?: unknown };
/** How Codex understands a command: read, list_files, search or unknown, with fields by kind. */
export type ParsedCommand = { type: string; cmd: string; [field: string]: unknown };

/** What a tool's work came to; `in_progress` from item_started to item_completed. */
export type TurnItemStatus = "in_progress" | "completed" | "failed" | "declined" | (string & {});

/** What the user said. */
export type UserMessageTurnItem = {
  type: "UserMessage";
  id: string;
  /** The name that the client gave it. */
  client_id?: string | undefined;
  content: UserInput[];
};
/** What the model said. */
export type AgentMessageTurnItem = {
  type: "AgentMessage";
  id: string;
  content: ({ type: "Text"; text: string } | UnknownTagged)[];
  phase?: string | null | undefined;
};
/** What the model thought. */
export type ReasoningTurnItem = { type: "Reasoning"; id: string; summary_text: string[]; raw_content: string[] };
/** A web search of the provider's. */
export type WebSearchTurnItem = { type: "WebSearch"; id: string; query: string; action?: unknown };
/** A command that runs, or has run. */
export type CommandExecutionTurnItem = {
  type: "CommandExecution";
  id: string;
  process_id?: string | null | undefined;
  command: string[];
  cwd: string;
  parsed_cmd: ParsedCommand[];
  source: string;
  status: TurnItemStatus;
  aggregated_output?: string | null | undefined;
  exit_code?: number | null | undefined;
  duration?: Duration | null | undefined;
};
/** A patch to files. */
export type FileChangeTurnItem = { type: "FileChange"; id: string; changes: FileChanges; status: TurnItemStatus };
/** A call of an MCP server's tool. */
export type McpToolCallTurnItem = {
  type: "McpToolCall";
  id: string;
  server: string;
  tool: string;
  arguments?: unknown;
  status: TurnItemStatus;
  result?: unknown;
  error?: { message: string } | null | undefined;
  duration?: Duration | null | undefined;
};
/** A call of an agent tool: what one agent asked of others. */
export type CollabAgentToolCallTurnItem = {
  type: "CollabAgentToolCall";
  id: string;
  tool: "spawn_agent" | "send_input" | "wait_agent" | "close_agent" | "resume_agent" | (string & {});
  status: TurnItemStatus;
  sender_thread_id: ThreadId;
  receiver_thread_ids: ThreadId[];
  receiver_agents?: { thread_id: ThreadId; agent_nickname?: string | null | undefined }[] | undefined;
  prompt?: string | null | undefined;
  model?: string | null | undefined;
  reasoning_effort?: string | null | undefined;
  agents_states: { [threadId: string]: AgentStatus };
};
/** A part of a tool's answer. */
export type ToolCallContent = { type: "inputText"; text: string } | { type: "inputImage"; imageUrl: string };

/** A call of one of the embedder's or the client's function tools. `arguments` is the JSON text that the model wrote; stock Codex stores what it says. */
export type DynamicToolCallTurnItem = {
  type: "DynamicToolCall";
  id: string;
  namespace?: string | null | undefined;
  tool: string;
  arguments: string;
  status: TurnItemStatus;
  output?: string | undefined;
  /** Where the answer is more than a text, with what `output` leaves out. */
  content_items?: ToolCallContent[] | null | undefined;
  duration_ms?: number | undefined;
};
/** What a tool of a client's own has come to, which no call asked for. */
export type FunctionCallOutputTurnItem = {
  type: "FunctionCallOutput";
  id: string;
  name: string;
  namespace?: string | null | undefined;
  output: string | ContentItem[];
};

/** The conversation was summed up to fit the model's window. */
export type ContextCompactionTurnItem = { type: "ContextCompaction"; id: string };

/** The model has looked at a picture on the disk. `path` is absolute; stock Codex stores it as a `file:` URL. */
export type ImageViewTurnItem = { type: "ImageView"; id: string; path: string };

/** A plan that the model proposes: in plan mode, what it writes between `<proposed_plan>` and `</proposed_plan>`. */
export type PlanTurnItem = { type: "Plan"; id: string; text: string };

/** A review has begun. */
export type EnteredReviewModeTurnItem = {
  type: "EnteredReviewMode";
  id: string;
  target: unknown;
  user_facing_hint?: string | null | undefined;
};
/** A review has ended. `review_output` is null where the reviewer came to nothing. */
export type ExitedReviewModeTurnItem = { type: "ExitedReviewMode"; id: string; review_output?: unknown };

/**
 * One visible item of a turn, tagged in PascalCase (SPEC 3). 0.80 knows the first four; 0.169 stores the others too.
 * The parts of a UserMessage keep the lower-case tags of {@link UserInput}; those of an AgentMessage are `Text`.
 */
export type TurnItem =
  | UserMessageTurnItem
  | AgentMessageTurnItem
  | ReasoningTurnItem
  | WebSearchTurnItem
  | CommandExecutionTurnItem
  | FileChangeTurnItem
  | McpToolCallTurnItem
  | CollabAgentToolCallTurnItem
  | DynamicToolCallTurnItem
  | FunctionCallOutputTurnItem
  | ContextCompactionTurnItem
  | ImageViewTurnItem
  | PlanTurnItem
  | EnteredReviewModeTurnItem
  | ExitedReviewModeTurnItem
  | UnknownTagged;

/** The text of an agent message's parts. */
export const agentMessageText = (item: AgentMessageTurnItem): string =>
  item.content.map((part) => (part.type === "Text" ? part.text : "")).join("");

/** Whether it is an agent's message that answers: a commentary or a part of an answer never stands for the turn's. */
export const isAnswer = (item: TurnItem): item is AgentMessageTurnItem =>
  item.type === "AgentMessage" && (item.phase === undefined || item.phase === null || item.phase === "final_answer");
