/** What a thread does now, in a few words, from its events. Pure. */
import type { EventMsg } from "../../protocol/event.ts";
import type { TurnItem } from "../../protocol/turn-item.ts";
import { scriptOf } from "../v2/shown-command.ts";

const LONGEST = 120;

/** undefined: the event says nothing of it. */
export function doingAfter(msg: EventMsg): string | undefined {
  switch (msg.type) {
    case "task_started":
    case "turn_resumed":
    case "token_count":
      return "sampling";
    case "item_started":
      return doingOf(msg.item);
    case "item_completed":
      return isWork(msg.item) ? "sampling" : undefined;
    case "exec_approval_request":
      return oneLine(`asks: ${scriptOf(msg.command)}`);
    case "apply_patch_approval_request":
      return oneLine(`asks: patch ${Object.keys(msg.changes).join(", ")}`);
    case "request_user_input":
      return oneLine(`asks: ${msg.questions.map(({ question }) => question).join(" ")}`);
    case "stream_error":
      return oneLine(`waits to try again: ${String(msg.message)}`);
    case "error":
      return oneLine(`failed: ${msg.message}`);
    case "task_complete":
    case "turn_aborted":
    case "session_configured":
      return "";
    default:
      return undefined;
  }
}

function doingOf(item: TurnItem): string | undefined {
  switch (item.type) {
    case "AgentMessage":
      return "answering";
    case "Reasoning":
      return "thinking";
    case "CommandExecution":
      return oneLine(`runs: ${scriptOf(item.command)}`);
    case "FileChange":
      return oneLine(`patches: ${Object.keys(item.changes).join(", ")}`);
    case "McpToolCall":
      return oneLine(`calls: ${item.server}.${item.tool}`);
    case "DynamicToolCall":
    case "CollabAgentToolCall":
      return oneLine(`calls: ${item.tool}`);
    case "WebSearch":
      return oneLine(`searches: ${item.query}`);
    case "ContextCompaction":
      return "compacting";
    default:
      return undefined;
  }
}

const WORK: ReadonlySet<string> = new Set([
  "CommandExecution",
  "FileChange",
  "McpToolCall",
  "DynamicToolCall",
  "CollabAgentToolCall",
  "WebSearch",
]);

/** Whether the item is a tool's work, which the model waits for. */
export const isWork = ({ type }: TurnItem): boolean => WORK.has(type);

/** The start of a text without its line breaks, for a row. */
export function oneLine(text: string): string {
  const start = text
    .slice(0, 4 * LONGEST)
    .replaceAll(/\s+/gu, " ")
    .trim();
  return start.length <= LONGEST ? start : `${start.slice(0, LONGEST - 1)}…`;
}
