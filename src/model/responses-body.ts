/** The body of `POST /responses`, as Codex 0.87 sends it (SPEC 18), and to the newest models as 0.171 does (SPEC 30). */
import type {
  ContentItem,
  MessageItem,
  NamedOutputItem,
  ReasoningItem,
  ResponseItem,
  WebSearchCallItem,
} from "../protocol/response-item.ts";
import { isJsonObject, type JsonObject } from "../protocol/unknown-kind.ts";
import { liteOpening, withoutDetail } from "./lite-form.ts";
import type { ModelRequest } from "./model-client.ts";

/** @param form how the model is asked, see known-models.ts */
export const responsesBody = (request: ModelRequest, form: "full" | "lite" = "full"): JsonObject => {
  const reasoning = reasoningOf(request);
  return {
    model: request.model,
    ...(form === "lite" ? liteParts(request, reasoning) : fullParts(request, reasoning)),
    tool_choice: "auto",
    store: false,
    stream: true,
    // A model that does not reason refuses to be asked for its reasoning.
    include: reasoning === null ? [] : ["reasoning.encrypted_content"],
    prompt_cache_key: request.threadId,
    ...textOptions(request),
    ...(request.serviceTier !== undefined && { service_tier: tierOf(request.serviceTier) }),
  };
};

const fullParts = (request: ModelRequest, reasoning: JsonObject | null): JsonObject => ({
  instructions: request.instructions,
  input: request.input.flatMap((item) => inputItem(item) ?? []),
  tools: request.tools,
  parallel_tool_calls: request.parallelToolCalls,
  reasoning,
});

const liteParts = (request: ModelRequest, reasoning: JsonObject | null): JsonObject => ({
  input: [...liteOpening(request), ...request.input.flatMap((item) => inputItem(withoutDetail(item)) ?? [])],
  parallel_tool_calls: false,
  reasoning: { ...reasoning, context: "all_turns" },
});

/** A summary of `none` is one that is not asked for: servers do not know the word. */
function reasoningOf({ reasoning }: ModelRequest): JsonObject | null {
  const { effort } = reasoning;
  const summary = reasoning.summary === "none" ? null : reasoning.summary;
  if (effort === null && summary === null) return null;
  return { ...(effort !== null && { effort }), ...(summary !== null && { summary }) };
}

function textOptions({ outputSchema, verbosity }: ModelRequest): JsonObject {
  if (outputSchema === undefined && verbosity === undefined) return {};
  const format = outputSchema === undefined ? {} : { format: outputFormat(outputSchema) };
  return { text: { ...(verbosity !== undefined && { verbosity }), ...format } };
}

/** Codex's settings have a word of their own for one of the API's tiers. */
export const tierOf = (tier: string): string => (tier === "fast" ? "priority" : tier);

const outputFormat = (schema: unknown): JsonObject => ({
  type: "json_schema",
  strict: true,
  schema,
  name: "codex_output_schema",
});

/**
 * The item as it goes to the model: without its id and without fields that only answers have. Ghost snapshots stay at
 * home; kinds that are not known go as they are.
 */
function inputItem(item: ResponseItem): JsonObject | undefined {
  switch (item.type) {
    case "message":
      return messageInput(item);
    case "reasoning":
      return reasoningInput(item);
    case "function_call":
      return {
        type: item.type,
        name: item.name,
        ...(item.namespace !== undefined && { namespace: item.namespace }),
        arguments: item.arguments,
        call_id: item.call_id,
      };
    case "function_call_output":
    case "custom_tool_call_output":
      return {
        type: item.type,
        ...(item.call_id === undefined ? nameInput(item) : { call_id: item.call_id }),
        output: outputInput(item.output),
      };
    case "custom_tool_call":
      return { type: item.type, status: item.status, call_id: item.call_id, name: item.name, input: item.input };
    case "local_shell_call":
      return { type: item.type, call_id: item.call_id, status: item.status, action: item.action };
    case "web_search_call":
      return { type: item.type, status: item.status, action: webAction(item.action) };
    case "compaction":
      return { type: item.type, encrypted_content: item.encrypted_content };
    case "ghost_snapshot":
      return undefined;
    default:
      return isJsonObject(item) && !STAYS_AT_HOME.has(item.type) ? item : undefined;
  }
}

/** What stock Codex stores of a request's form, or for itself, and what it could not read. */
const STAYS_AT_HOME: ReadonlySet<string> = new Set([
  "additional_tools",
  "configuration_update",
  "compaction_trigger",
  "other",
]);

const WEB_ACTIONS: ReadonlySet<string> = new Set(["search", "open_page", "find_in_page"]);

/** Actions that Codex does not know go back as its `other`. */
const webAction = (action: WebSearchCallItem["action"]) =>
  action === undefined || WEB_ACTIONS.has(action.type) ? action : { type: "other" };

const messageInput = ({ type, role, content, phase }: MessageItem): JsonObject => ({
  type,
  role,
  content: content.map(contentInput),
  ...(phase !== undefined && { phase }),
});

const nameInput = ({ name, namespace }: NamedOutputItem) => (namespace === undefined ? { name } : { name, namespace });

const outputInput = (output: string | readonly ContentItem[]) =>
  typeof output === "string" ? output : output.map(contentInput);

function contentInput(part: ContentItem): unknown {
  switch (part.type) {
    case "input_text":
    case "output_text":
      return { type: part.type, text: part.text };
    default:
      return part;
  }
}

/** The content is null where there is none, and left out where it holds nothing of the model's own reasoning text. */
function reasoningInput({ type, summary, content, encrypted_content }: ReasoningItem): JsonObject {
  const isSent = content == null || content.some((part) => part.type === "reasoning_text");
  return {
    type,
    summary,
    ...(isSent && { content: content ?? null }),
    encrypted_content: encrypted_content ?? null,
  };
}
