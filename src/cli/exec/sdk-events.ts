import type { TurnItem } from "../../index.ts";
import { agentMessageText, type McpToolCallTurnItem } from "../../protocol/turn-item.ts";
import { isJsonObject } from "../../protocol/unknown-kind.ts";

/** The lines that `exec --experimental-json` prints, as `@openai/codex-sdk` reads them. */
export type SdkEvent =
  | { readonly type: "thread.started"; readonly thread_id: string }
  | { readonly type: "turn.started" }
  | { readonly type: "turn.completed"; readonly usage: SdkUsage }
  | { readonly type: "turn.failed"; readonly error: { readonly message: string } }
  | { readonly type: "item.started" | "item.updated" | "item.completed"; readonly item: SdkItem }
  | { readonly type: "error"; readonly message: string };

export type SdkUsage = {
  readonly input_tokens: number;
  readonly cached_input_tokens: number;
  readonly cache_write_input_tokens: number;
  readonly output_tokens: number;
  readonly reasoning_output_tokens: number;
};

export type SdkItem = { readonly id: string } & SdkItemBody;

export type SdkItemBody =
  | { readonly type: "agent_message" | "reasoning"; readonly text: string }
  | {
      readonly type: "command_execution";
      readonly command: string;
      readonly aggregated_output: string;
      /** null while the command runs. */
      readonly exit_code: number | null;
      readonly status: string;
    }
  | {
      readonly type: "file_change";
      readonly changes: readonly { readonly path: string; readonly kind: "add" | "delete" | "update" }[];
      readonly status: "in_progress" | "completed" | "failed";
    }
  | {
      readonly type: "mcp_tool_call";
      readonly server: string;
      readonly tool: string;
      readonly arguments: unknown;
      readonly result: { readonly content: readonly unknown[]; readonly structured_content: unknown } | null;
      readonly error: { readonly message: string } | null;
      readonly status: string;
    }
  | {
      readonly type: "collab_tool_call";
      readonly tool: string;
      readonly sender_thread_id: string;
      readonly receiver_thread_ids: readonly string[];
      readonly prompt: string | null;
      readonly agents_states: Readonly<Record<string, unknown>>;
      readonly status: string;
    }
  | { readonly type: "web_search"; readonly query: string; readonly action: unknown }
  | { readonly type: "todo_list"; readonly items: readonly SdkTodo[] }
  | { readonly type: "error"; readonly message: string };

export type SdkTodo = { readonly text: string; readonly completed: boolean };

/** An item of a turn as the SDK knows it; undefined for what it has no word for. */
export function sdkItemOf(item: TurnItem): SdkItemBody | undefined {
  switch (item.type) {
    case "AgentMessage":
      return { type: "agent_message", text: agentMessageText(item) };
    case "Reasoning": {
      const text = item.summary_text.join("\n");
      return text.trim() === "" ? undefined : { type: "reasoning", text };
    }
    case "CommandExecution":
      return {
        type: "command_execution",
        command: shellText(item.command),
        aggregated_output: item.aggregated_output ?? "",
        exit_code: item.exit_code ?? null,
        status: item.status,
      };
    case "FileChange": {
      const changes = Object.entries(item.changes).map(([path, { type: kind }]) => ({ path, kind }));
      return { type: "file_change", changes, status: changeStatus(item.status) };
    }
    case "McpToolCall":
      return mcpCall(item);
    case "CollabAgentToolCall": {
      const { tool, sender_thread_id, receiver_thread_ids, prompt = null, agents_states, status } = item;
      return { type: "collab_tool_call", tool, sender_thread_id, receiver_thread_ids, prompt, agents_states, status };
    }
    case "WebSearch":
      return { type: "web_search", query: item.query, action: item.action ?? { type: "other" } };
    default:
      return undefined;
  }
}

function mcpCall(item: McpToolCallTurnItem): SdkItemBody {
  const { server, tool, status, result, error } = item;
  const told = isJsonObject(result)
    ? {
        content: Array.isArray(result.content) ? (result.content as unknown[]) : [],
        structured_content: result.structuredContent ?? null,
      }
    : null;
  const shown = error == null ? null : { message: error.message };
  return { type: "mcp_tool_call", server, tool, arguments: item.arguments ?? null, result: told, error: shown, status };
}

/** The words of a command as a shell would read them back. */
const shellText = (command: readonly string[]): string => command.map(quoted).join(" ");

const quoted = (word: string): string => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`);

const changeStatus = (status: string): "in_progress" | "completed" | "failed" =>
  status === "in_progress" || status === "completed" ? status : "failed";
