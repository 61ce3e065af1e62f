/** The items of a turn in v2's words (SPEC 11.8). Pure. */
import { fileURLToPath } from "node:url";
import type { AgentStatus } from "../../protocol/agent-status.ts";
import {
  agentMessageText,
  type CollabAgentToolCallTurnItem,
  type CommandExecutionTurnItem,
  type Duration,
  type DynamicToolCallTurnItem,
  type FileChanges,
  type FunctionCallOutputTurnItem,
  type McpToolCallTurnItem,
  type TurnItem,
  type UserMessageTurnItem,
} from "../../protocol/turn-item.ts";
import { isJsonObject } from "../../protocol/unknown-kind.ts";
import { shownReview } from "../../turn/review/output.ts";
import { inputToV2 } from "./input.ts";
import { camel } from "./settings.ts";
import { commandActions, commandLine } from "./shown-command.ts";
import type { V2Item } from "./wire-types.ts";

export type ItemTimes = { startedAtMs: number | null; completedAtMs: number | null };

/** undefined for a kind that v2 does not show. */
export function itemToV2(item: TurnItem, times: ItemTimes): V2Item | undefined {
  const body = bodyOf(item);
  return body === undefined ? undefined : { ...body, ...times };
}

type Body = { type: string; id: string; [field: string]: unknown };

function bodyOf(item: TurnItem): Body | undefined {
  switch (item.type) {
    case "UserMessage":
      return userMessage(item);
    case "AgentMessage":
      return agentMessage(item.id, agentMessageText(item), item.phase ?? null);
    case "Reasoning":
      return { type: "reasoning", id: item.id, summary: item.summary_text, content: item.raw_content };
    case "WebSearch":
      return { type: "webSearch", id: item.id, query: item.query, action: webAction(item.action), results: null };
    case "CommandExecution":
      return commandExecution(item);
    case "FileChange":
      return { type: "fileChange", id: item.id, changes: changesToV2(item.changes), status: camel(item.status) };
    case "McpToolCall":
      return mcpToolCall(item);
    case "CollabAgentToolCall":
      return collabCall(item);
    case "DynamicToolCall":
      return dynamicToolCall(item);
    case "FunctionCallOutput":
      return functionCallOutput(item);
    case "ContextCompaction":
      return { type: "contextCompaction", id: item.id };
    case "ImageView":
      return { type: "imageView", id: item.id, path: plainPath(item.path) };
    case "Plan":
      return { type: "plan", id: item.id, text: item.text };
    case "EnteredReviewMode":
      return { type: "enteredReviewMode", id: item.id, review: item.user_facing_hint ?? "" };
    case "ExitedReviewMode":
      return { type: "exitedReviewMode", id: item.id, review: shownReview(item.review_output) };
    default:
      return undefined;
  }
}

function plainPath(path: string): string {
  try {
    return path.startsWith("file:") ? fileURLToPath(path) : path;
  } catch {
    return path;
  }
}

/** The fields of each action that v2 knows; any other action is `other`. */
function webAction(action: unknown): Record<string, unknown> | null {
  if (action === undefined || action === null) return null;
  const told = isJsonObject(action) ? action : {};
  const word = (field: string) => (typeof told[field] === "string" ? told[field] : null);
  const queries = Array.isArray(told.queries) ? told.queries.filter((query) => typeof query === "string") : null;
  if (told.type === "search") return { type: "search", query: word("query"), queries };
  if (told.type === "open_page") return { type: "openPage", url: word("url") };
  return told.type === "find_in_page"
    ? { type: "findInPage", url: word("url"), pattern: word("pattern") }
    : { type: "other" };
}

const userMessage = (item: UserMessageTurnItem): Body => ({
  type: "userMessage",
  id: item.id,
  clientId: typeof item.client_id === "string" ? item.client_id : null,
  content: item.content.map(inputToV2),
});

const functionCallOutput = ({ id, name, namespace, output }: FunctionCallOutputTurnItem): Body => ({
  type: "functionCallOutput",
  id,
  name,
  namespace: namespace ?? null,
  output,
});

export const agentMessage = (id: string, text: string, phase: string | null = null): Body => ({
  type: "agentMessage",
  moderation: null,
  id,
  text,
  phase,
  memoryCitation: null,
  delivery: null,
  questions: null,
});

const commandExecution = (item: CommandExecutionTurnItem): Body => ({
  type: "commandExecution",
  id: item.id,
  pluginId: null,
  scriptPath: null,
  command: commandLine(item.command),
  cwd: item.cwd,
  processId: item.process_id ?? null,
  source: camel(item.source),
  status: camel(item.status),
  commandActions: commandActions(item),
  aggregatedOutput: item.aggregated_output === "" ? null : (item.aggregated_output ?? null),
  exitCode: item.exit_code ?? null,
  durationMs: milliseconds(item.duration),
});

const mcpToolCall = (item: McpToolCallTurnItem): Body => ({
  type: "mcpToolCall",
  id: item.id,
  server: item.server,
  tool: item.tool,
  status: camel(item.status),
  arguments: item.arguments ?? null,
  appContext: null,
  mcpAppUi: null,
  environmentId: null,
  pluginId: null,
  readOnlyHint: null,
  result: item.result ?? null,
  error: item.error ?? null,
  durationMs: milliseconds(item.duration),
});

const dynamicToolCall = (item: DynamicToolCallTurnItem): Body => ({
  type: "dynamicToolCall",
  id: item.id,
  namespace: item.namespace ?? null,
  tool: item.tool,
  arguments: jsonOr(item.arguments),
  status: camel(item.status),
  contentItems: item.content_items ?? (item.output === undefined ? null : [{ type: "inputText", text: item.output }]),
  success: item.status === "in_progress" ? null : item.status === "completed",
  durationMs: item.duration_ms ?? null,
});

/** A history of stock Codex holds the value itself. */
function jsonOr(text: unknown): unknown {
  if (typeof text !== "string") return text;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

const COLLAB_TOOLS: ReadonlyMap<string, string> = new Map([["wait_agent", "wait"]]);

const collabCall = (item: CollabAgentToolCallTurnItem): Body => ({
  type: "collabAgentToolCall",
  id: item.id,
  tool: COLLAB_TOOLS.get(item.tool) ?? camel(item.tool),
  status: camel(item.status),
  senderThreadId: item.sender_thread_id,
  receiverThreadIds: item.receiver_thread_ids,
  prompt: item.prompt ?? null,
  model: item.model ?? null,
  reasoningEffort: item.reasoning_effort ?? null,
  agentsStates: Object.fromEntries(Object.entries(item.agents_states).map(([id, status]) => [id, stateToV2(status)])),
});

function stateToV2(status: AgentStatus): { status: string; message: string | null } {
  if (typeof status === "string") return { status: camel(status), message: null };
  return "completed" in status
    ? { status: "completed", message: status.completed }
    : { status: "errored", message: status.errored };
}

export const milliseconds = (duration: Duration | null | undefined): number | null =>
  duration === null || duration === undefined ? null : duration.secs * 1000 + Math.round(duration.nanos / 1e6);

export const changesToV2 = (changes: FileChanges): { path: string; kind: unknown; diff: string }[] =>
  Object.entries(changes).map(([path, change]) => {
    if (change.type === "update") {
      return { path, kind: { type: "update", move_path: change.move_path }, diff: change.unified_diff };
    }
    return { path, kind: { type: change.type }, diff: change.content };
  });
