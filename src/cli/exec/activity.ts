/** What an agent does beside speaking, as one line each. */
import type { EventMsg } from "../../index.ts";

export type Activity = {
  readonly tone: "tool" | "quiet" | "warning" | "error";
  readonly text: string;
};

const tool = (text: string): Activity => ({ tone: "tool", text });
const quiet = (text: string): Activity => ({ tone: "quiet", text });
const warning = (text: string): Activity => ({ tone: "warning", text });

const OUTPUT_LINES = 6;

/** undefined: nothing that is worth a line. */
export function activityOf(msg: EventMsg): Activity | undefined {
  switch (msg.type) {
    case "item_started":
      return msg.item.type === "DynamicToolCall" ? tool(`${msg.item.tool}(${msg.item.arguments})`) : undefined;
    case "item_completed":
      if (msg.item.type !== "DynamicToolCall") return undefined;
      return quiet(`${msg.item.tool} ${msg.item.status}: ${headOf(msg.item.output ?? "")}`);
    case "exec_command_begin":
      return tool(`$ ${commandText(msg.command)}`);
    case "exec_command_end":
      return quiet(joined(headOf(msg.aggregated_output), `exit ${msg.exit_code}, ${secondsOf(msg.duration)}`));
    case "mcp_tool_call_begin":
      return tool(`${msg.invocation.server}.${msg.invocation.tool}(${JSON.stringify(msg.invocation.arguments ?? {})})`);
    case "mcp_tool_call_end":
      return quiet(`${msg.invocation.tool} ${"Ok" in msg.result ? "done" : `failed: ${msg.result.Err}`}`);
    case "patch_apply_begin":
      return tool(`patches ${Object.keys(msg.changes).join(", ")}`);
    case "patch_apply_end":
      return quiet(msg.success ? "patched" : `the patch failed: ${headOf(msg.stderr)}`);
    case "web_search_end":
      return tool(`searched the web for ${msg.query}`);
    case "view_image_tool_call":
      return tool(`looks at ${msg.path}`);
    case "plan_update":
      return tool(["plan", ...msg.plan.map(({ step, status }) => `${PLAN_MARKS[status]} ${step}`)].join("\n"));
    default:
      return troubleOf(msg);
  }
}

const PLAN_MARKS = { pending: "[ ]", in_progress: "[>]", completed: "[x]" } as const;

function troubleOf(msg: EventMsg): Activity | undefined {
  switch (msg.type) {
    case "agent_reasoning":
      return quiet(`thinks: ${msg.text}`);
    case "stream_error":
      return warning(msg.additional_details ? `${msg.message} (${msg.additional_details})` : msg.message);
    case "warning":
      return warning(msg.message);
    case "background_event":
      return quiet(msg.message);
    case "context_compacted":
      return quiet("the history was summarized");
    case "mcp_startup_update":
      return msg.status.state === "failed" ? warning(`MCP server ${msg.server}: ${msg.status.error}`) : undefined;
    case "error":
      return { tone: "error", text: msg.message };
    case "turn_aborted":
      return warning(`turn ${msg.reason}`);
    case "lagged":
      return warning(`events ${msg.from} to ${msg.to} were missed`);
    default:
      return undefined;
  }
}

/** As one would type it; a shell's script stands for the shell. */
export function commandText(command: readonly string[]): string {
  const script = command[2];
  if (command.length === 3 && /(^|\/)(ba|z|da)?sh$/.test(command[0] ?? "") && script !== undefined) return script;
  return command.map((word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)).join(" ");
}

function headOf(text: string): string {
  const lines = text.trimEnd().split("\n");
  const left = lines.length - OUTPUT_LINES;
  return left <= 0 ? lines.join("\n") : [...lines.slice(0, OUTPUT_LINES), `… ${left} more lines`].join("\n");
}

const joined = (head: string, tail: string): string => (head === "" ? tail : `${head}\n${tail}`);
const secondsOf = ({ secs, nanos }: { secs: number; nanos: number }): string => `${(secs + nanos / 1e9).toFixed(1)} s`;
