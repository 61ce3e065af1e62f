/** The body of `POST /chat/completions`. */

import type { ToolSpec } from "../protocol/function-tool.ts";
import type { JsonObject } from "../protocol/unknown-kind.ts";
import { type AssistantSpeech, conversationOf, flatTools, type Speech, type SpokenPart } from "./conversation.ts";
import type { ModelRequest } from "./model-client.ts";
import { tierOf } from "./responses-body.ts";

export function chatBody(request: ModelRequest): JsonObject {
  const { effort } = request.reasoning;
  const speeches = conversationOf(request);
  const lastUser = speeches.findLastIndex((speech) => speech.role === "user" && speech.ofTools !== true);
  return {
    model: request.model,
    messages: speeches.map((speech, index) => messageOf(speech, { isCurrent: index > lastUser })),
    stream: true,
    stream_options: { include_usage: true },
    ...(request.tools.length > 0 && {
      tools: flatTools(request.tools).map(toolOf),
      parallel_tool_calls: request.parallelToolCalls,
    }),
    ...(effort !== null && { reasoning_effort: effort }),
    ...(request.verbosity !== undefined && { verbosity: request.verbosity }),
    ...(request.serviceTier !== undefined && { service_tier: tierOf(request.serviceTier) }),
    ...(request.outputSchema !== undefined && { response_format: outputFormat(request.outputSchema) }),
  };
}

const toolOf = ({ name, description, parameters, strict }: ToolSpec): JsonObject => ({
  type: "function",
  function: { name, description, parameters, strict },
});

const outputFormat = (schema: unknown): JsonObject => ({
  type: "json_schema",
  json_schema: { name: "codex_output_schema", strict: true, schema },
});

function messageOf(speech: Speech, where: { readonly isCurrent: boolean }): JsonObject {
  switch (speech.role) {
    case "system":
      return { role: "system", content: speech.text };
    case "user":
      return { role: "user", content: userContent(speech.parts) };
    case "tool":
      return { role: "tool", tool_call_id: speech.callId, content: speech.output };
    case "assistant":
      return assistantMessage(speech, where);
  }
}

function userContent(parts: readonly SpokenPart[]): string | JsonObject[] {
  const texts = parts.flatMap((part) => ("text" in part ? [part.text] : []));
  if (texts.length === parts.length) return texts.join("");
  return parts.map((part) =>
    "text" in part ? { type: "text", text: part.text } : { type: "image_url", image_url: { url: part.imageUrl } },
  );
}

/** Reasoning goes back within the turn that it belongs to; servers refuse that of earlier turns, or waste context on it. */
function assistantMessage(speech: AssistantSpeech, { isCurrent }: { readonly isCurrent: boolean }): JsonObject {
  const text = speech.texts.map((part) => part.text).join("\n\n");
  const reasoning = speech.reasoning
    .filter(({ item }) => item.content?.some((part) => part.type === "reasoning_text"))
    .map((part) => part.text)
    .join("\n\n");
  return {
    role: "assistant",
    content: text === "" && speech.calls.length > 0 ? null : text,
    ...(isCurrent && reasoning !== "" && { reasoning_content: reasoning }),
    ...(speech.calls.length > 0 && {
      tool_calls: speech.calls.map(({ callId, name, args }) => ({
        id: callId,
        type: "function",
        function: { name, arguments: args },
      })),
    }),
  };
}
