/** What the visible items of an answer show: at their start, and whole. */
import type { MessageItem, ReasoningItem, ResponseItem, WebSearchCallItem } from "../protocol/response-item.ts";
import { type AgentMessageTurnItem, isAnswer, type TurnItem } from "../protocol/turn-item.ts";

type Shown = MessageItem | ReasoningItem | WebSearchCallItem;

export const isShown = (item: ResponseItem): item is Shown =>
  item.type === "message" ? item.role === "assistant" : item.type === "reasoning" || item.type === "web_search_call";

export function emptyTurnItem(item: Shown, id: string): TurnItem {
  switch (item.type) {
    case "message":
      return { type: "AgentMessage", id, content: [], ...phaseOf(item) };
    case "reasoning":
      return { type: "Reasoning", id, summary_text: [], raw_content: [] };
    case "web_search_call":
      return wholeTurnItem(item, id);
  }
}

export function wholeTurnItem(item: Shown, id: string): TurnItem {
  switch (item.type) {
    case "message":
      return { type: "AgentMessage", id, content: item.content.flatMap(textPart), ...phaseOf(item) };
    case "reasoning":
      return {
        type: "Reasoning",
        id,
        summary_text: item.summary.map((part) => part.text),
        raw_content: (item.content ?? []).map((part) => part.text),
      };
    case "web_search_call":
      return { type: "WebSearch", id, query: queryOf(item.action), action: item.action ?? { type: "other" } };
  }
}

/** Whether it is what stands for the turn's answer; see {@link isAnswer}. */
export const isFinalMessage = (item: ResponseItem): item is MessageItem =>
  isShown(item) && isAnswer(wholeTurnItem(item, ""));

/** The phases that Codex and its clients know; a message of any other is shown as one without. */
const PHASES: ReadonlySet<string> = new Set(["commentary", "partial_answer", "final_answer"]);

const phaseOf = ({ phase }: MessageItem) => (phase !== undefined && PHASES.has(phase) ? { phase } : {});

/** A refusal is what the model has to say. */
function textPart(part: { readonly type: string; readonly [field: string]: unknown }): AgentMessageTurnItem["content"] {
  const { text, refusal } = part;
  if (part.type === "output_text" && typeof text === "string") return [{ type: "Text", text }];
  return part.type === "refusal" && typeof refusal === "string" ? [{ type: "Text", text: refusal }] : [];
}

/** Of several queries the first, and that there are more. */
function firstOf(queries: unknown): string {
  const [first, ...more] = Array.isArray(queries) ? queries : [];
  return typeof first !== "string" ? "" : more.length === 0 ? first : `${first} ...`;
}

/** Codex's words for what was looked for. */
function queryOf(action: WebSearchCallItem["action"]): string {
  const text = (field: string) => (typeof action?.[field] === "string" ? action[field] : "");
  switch (action?.type) {
    case "search":
      return text("query") || firstOf(action.queries);
    case "open_page":
      return text("url");
    case "find_in_page": {
      const [pattern, url] = [text("pattern"), text("url")];
      return pattern === "" ? url : url === "" ? `'${pattern}'` : `'${pattern}' in ${url}`;
    }
    default:
      return "";
  }
}
