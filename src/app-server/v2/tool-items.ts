/** Items that older tool events tell of (SPEC 11.8): commands, patches, MCP calls, images. Pure. */
import type { EventMsg } from "../../protocol/event.ts";
import type { ExecCommandBeginEvent, ExecCommandEndEvent } from "../../protocol/tool-events.ts";
import { changesToV2, milliseconds } from "./items.ts";
import { camel } from "./settings.ts";
import { commandActions, commandLine } from "./shown-command.ts";

type Body = { type: string; id: string; [field: string]: unknown };
/** `both`: it has no length in time. */
export type ToolItem = { phase: "begin" | "end" | "both"; body: Body };

/** What a tool event says that is no item. */
export function toolNotification(
  msg: EventMsg,
  turnId: string,
): { method: string; params: Record<string, unknown> } | undefined {
  switch (msg.type) {
    case "exec_command_output_delta":
      return {
        method: "item/commandExecution/outputDelta",
        params: { turnId, itemId: msg.call_id, delta: Buffer.from(msg.chunk, "base64").toString("utf8") },
      };
    case "terminal_interaction":
      return {
        method: "item/commandExecution/terminalInteraction",
        params: { turnId, itemId: msg.call_id, processId: msg.process_id, stdin: msg.stdin },
      };
    default:
      return undefined;
  }
}

export function toolItemOf(msg: EventMsg): ToolItem | undefined {
  switch (msg.type) {
    case "exec_command_begin":
      return { phase: "begin", body: commandBegun(msg) };
    case "exec_command_end":
      return { phase: "end", body: commandEnded(msg) };
    case "patch_apply_begin":
      return { phase: "begin", body: fileChange(msg.call_id, msg.changes, "inProgress") };
    case "patch_apply_end":
      return { phase: "end", body: fileChange(msg.call_id, msg.changes, msg.success ? "completed" : "failed") };
    case "mcp_tool_call_begin":
      return { phase: "begin", body: mcpCall(msg.call_id, msg.invocation, { status: "inProgress" }) };
    case "mcp_tool_call_end": {
      const { result, duration } = msg;
      const outcome =
        "Ok" in result
          ? { status: "completed", result: result.Ok }
          : { status: "failed", error: { message: result.Err } };
      return {
        phase: "end",
        body: { ...mcpCall(msg.call_id, msg.invocation, outcome), durationMs: milliseconds(duration) },
      };
    }
    case "view_image_tool_call":
      return { phase: "both", body: { type: "imageView", id: msg.call_id, path: msg.path } };
    default:
      return undefined;
  }
}

type Command = Omit<ExecCommandBeginEvent, "type">;

export const commandBegun = (msg: Command): Body => ({
  type: "commandExecution",
  id: msg.call_id,
  pluginId: null,
  scriptPath: null,
  command: commandLine(msg.command),
  cwd: msg.cwd,
  processId: msg.process_id ?? null,
  source: camel(msg.source),
  status: "inProgress",
  commandActions: commandActions(msg),
  aggregatedOutput: null,
  exitCode: null,
  durationMs: null,
});

const commandEnded = (msg: ExecCommandEndEvent): Body => ({
  ...commandBegun(msg),
  status: msg.exit_code === 0 ? "completed" : "failed",
  aggregatedOutput: msg.aggregated_output === "" ? null : msg.aggregated_output,
  exitCode: msg.exit_code,
  durationMs: milliseconds(msg.duration),
});

const fileChange = (id: string, changes: Parameters<typeof changesToV2>[0], status: string): Body => ({
  type: "fileChange",
  id,
  changes: changesToV2(changes),
  status,
});

const mcpCall = (
  id: string,
  { server, tool, arguments: given }: { server: string; tool: string; arguments?: unknown },
  outcome: Record<string, unknown>,
): Body => ({
  type: "mcpToolCall",
  id,
  server,
  tool,
  status: "inProgress",
  arguments: given ?? null,
  appContext: null,
  mcpAppUi: null,
  environmentId: null,
  pluginId: null,
  readOnlyHint: null,
  result: null,
  error: null,
  durationMs: null,
  ...outcome,
});
