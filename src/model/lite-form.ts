/** The form in which the newest models are asked (SPEC 30): their instructions and tools come as the first items of the input. */
import type { ToolSpec } from "../protocol/function-tool.ts";
import { type ContentItem, developerMessage, type ResponseItem } from "../protocol/response-item.ts";
import type { JsonObject } from "../protocol/unknown-kind.ts";
import type { ModelRequest, ToolNamespace } from "./model-client.ts";

/** The namespace of tools that have none of their own. */
const FUNCTIONS = "functions";

export const LITE_HEADER = "x-openai-internal-codex-responses-lite";

/** The tools come first, under the same id in each request of a thread, so that what a server has cached stays good. */
export function liteOpening({ threadId, tools, instructions }: ModelRequest): JsonObject[] {
  return [
    ...(tools.length === 0
      ? []
      : [{ type: "additional_tools", id: `at_${threadId}`, role: "developer", tools: namespaces(tools) }]),
    ...(instructions === "" ? [] : [developerMessage(instructions)]),
  ];
}

function namespaces(tools: readonly (ToolSpec | ToolNamespace)[]): JsonObject[] {
  const isNamespace = (tool: ToolSpec | ToolNamespace): tool is ToolNamespace => tool.type === "namespace";
  const plain = tools.filter((tool) => !isNamespace(tool));
  return [
    ...(plain.length === 0 ? [] : [{ type: "namespace", name: FUNCTIONS, description: "", tools: plain }]),
    ...tools.filter(isNamespace),
  ];
}

/** Pictures go without saying how closely they are to be looked at. */
export function withoutDetail(item: ResponseItem): ResponseItem {
  switch (item.type) {
    case "message":
      return { ...item, content: item.content.map(plainPart) };
    case "function_call_output":
    case "custom_tool_call_output":
      return typeof item.output === "string" ? item : { ...item, output: item.output.map(plainPart) };
    default:
      return item;
  }
}

function plainPart(part: ContentItem): ContentItem {
  if (part.type !== "input_image") return part;
  const { detail: _, ...rest } = part;
  return rest;
}

/** A call of a tool that has no namespace, as its thread knows it. */
export function ownName(item: ResponseItem): ResponseItem {
  if (item.type !== "function_call" || item.namespace !== FUNCTIONS) return item;
  const { namespace: _, ...call } = item;
  return call;
}
