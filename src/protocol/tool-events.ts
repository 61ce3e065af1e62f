import type { AgentStatus } from "./agent-status.ts";
import type { Elicitation } from "./elicitation.ts";
import type { ThreadId } from "./ids.ts";
import type { Duration, FileChanges, McpInvocation, ParsedCommand } from "./turn-item.ts";
import type { UserQuestion } from "./user-question.ts";

/** Events of tools at work and of the approvals they ask for (SPEC 3). None of them is stored. */
export type ToolEventMsg =
  | { type: "mcp_startup_update"; server: string; status: McpStartupStatus }
  | { type: "mcp_startup_complete"; ready: string[]; failed: { server: string; error: string }[]; cancelled: string[] }
  | { type: "mcp_tool_call_begin"; call_id: string; invocation: McpInvocation }
  | {
      type: "mcp_tool_call_end";
      call_id: string;
      invocation: McpInvocation;
      duration: Duration;
      result: { Ok: unknown } | { Err: string };
    }
  | { type: "web_search_begin"; call_id: string }
  | { type: "web_search_end"; call_id: string; query: string; action?: unknown }
  | ExecCommandBeginEvent
  | { type: "exec_command_output_delta"; call_id: string; stream: "stdout" | "stderr"; chunk: string }
  | { type: "terminal_interaction"; call_id: string; process_id: string; stdin: string }
  | ExecCommandEndEvent
  | { type: "view_image_tool_call"; call_id: string; path: string }
  | ExecApprovalRequestEvent
  | ElicitationRequestEvent
  | ApplyPatchApprovalRequestEvent
  | RequestUserInputEvent
  | { type: "patch_apply_begin"; call_id: string; turn_id: string; auto_approved: boolean; changes: FileChanges }
  | {
      type: "patch_apply_end";
      call_id: string;
      turn_id: string;
      stdout: string;
      stderr: string;
      success: boolean;
      changes: FileChanges;
    }
  | { type: "turn_diff"; unified_diff: string }
  | { type: "plan_update"; explanation?: string | null | undefined; plan: PlanStep[] };

/** How far an MCP server's start is. */
export type McpStartupStatus = { state: "starting" | "ready" | "cancelled" } | { state: "failed"; error: string };
/** One step of the model's plan. */
export type PlanStep = { step: string; status: "pending" | "in_progress" | "completed" };

/** What the events of one command have in common. */
export type ExecCommandFields = {
  call_id: string;
  process_id?: string | null | undefined;
  turn_id: string;
  command: string[];
  cwd: string;
  parsed_cmd: ParsedCommand[];
  /** `agent`, `user_shell`, `unified_exec_startup`, `unified_exec_interaction`. */
  source: string;
  interaction_input?: string | null | undefined;
};

/** A command has started. */
export type ExecCommandBeginEvent = { type: "exec_command_begin" } & ExecCommandFields;
/** A command has ended. */
export type ExecCommandEndEvent = {
  type: "exec_command_end";
  stdout: string;
  stderr: string;
  aggregated_output: string;
  exit_code: number;
  duration: Duration;
  /** The text that the model gets. */
  formatted_output: string;
} & ExecCommandFields;

/** Answered by op exec_approval; its `id` is the submission id of the turn. */
export type ExecApprovalRequestEvent = {
  type: "exec_approval_request";
  call_id: string;
  turn_id: string;
  command: string[];
  cwd: string;
  reason?: string | null | undefined;
  proposed_execpolicy_amendment?: string[] | null | undefined;
  parsed_cmd: ParsedCommand[];
};

/** Answered by op patch_approval. */
export type ApplyPatchApprovalRequestEvent = {
  type: "apply_patch_approval_request";
  call_id: string;
  turn_id: string;
  changes: FileChanges;
  reason?: string | null | undefined;
  grant_root?: string | null | undefined;
};

/** What the model asks the user. Answered by op user_input_answer. */
export type RequestUserInputEvent = {
  type: "request_user_input";
  call_id: string;
  turn_id: string;
  questions: UserQuestion[];
};

/** What an MCP server asks the user. Answered by op resolve_elicitation. */
export type ElicitationRequestEvent = {
  type: "elicitation_request";
  server_name: string;
  id: string | number;
  message: string;
  /** The id once more, under the name that other questions have it by; with what follows since 0.169. */
  call_id?: string | undefined;
  /** Null: a client has called the tool, outside of a turn. */
  turn_id?: string | null | undefined;
  request?: Elicitation | undefined;
};

/** Which agent calls, and by which tool call. */
export type CollabCall = { call_id: string; sender_thread_id: ThreadId };
/** Such a call, and the agent that it is for. */
export type CollabCallToReceiver = CollabCall & { receiver_thread_id: ThreadId };

/** Events of one agent working with others (SPEC 14.3); resuming came after 0.87. None of them is stored. */
export type CollabEventMsg =
  | ({ type: "collab_agent_spawn_begin"; prompt: string } & CollabCall)
  | ({
      type: "collab_agent_spawn_end";
      new_thread_id?: ThreadId | null | undefined;
      prompt: string;
      status: AgentStatus;
    } & CollabCall)
  | ({ type: "collab_agent_interaction_begin"; prompt: string } & CollabCallToReceiver)
  | ({ type: "collab_agent_interaction_end"; prompt: string; status: AgentStatus } & CollabCallToReceiver)
  | ({ type: "collab_waiting_begin"; receiver_thread_ids: ThreadId[] } & CollabCall)
  | ({ type: "collab_waiting_end"; statuses: { [threadId: string]: AgentStatus } } & CollabCall)
  | ({ type: "collab_close_begin" } & CollabCallToReceiver)
  | ({ type: "collab_close_end"; status: AgentStatus } & CollabCallToReceiver)
  | ({ type: "collab_resume_begin" } & CollabCallToReceiver)
  | ({ type: "collab_resume_end"; status: AgentStatus } & CollabCallToReceiver);
