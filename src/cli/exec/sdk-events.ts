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
      readonly status: "completed" | "failed";
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
