/** A request as the AI SDK's call options. */
import type { JsonObject } from "../protocol/unknown-kind.ts";
import { keptWith } from "./answer-items.ts";
import { type AssistantSpeech, conversationOf, flatTools, type Speech, type SpokenPart } from "./conversation.ts";
import type { ModelRequest } from "./model-client.ts";
import { parseJson } from "./model-failure.ts";

/** The call options that are used; looser than the SDK's own types, so that each version of them fits. */
export type AiSdkCallOptions = {
  prompt: unknown[];
  tools?: unknown[];
  toolChoice?: unknown;
  responseFormat?: unknown;
  reasoning?: unknown;
  abortSignal?: AbortSignal;
};

const EFFORTS = new Set(["none", "minimal", "low", "medium", "high", "xhigh", "max"]);

type Target = { readonly specificationVersion: string };

export function callOptionsOf(request: ModelRequest, { specificationVersion }: Target, signal: AbortSignal) {
  const { effort } = request.reasoning;
  const isV4 = specificationVersion === "v4";
  return {
    prompt: conversationOf(request).map((speech) => messageOf(speech, { isV4 })),
    ...(request.tools.length > 0 && {
      tools: flatTools(request.tools).map(({ name, description, parameters, strict }) => ({
        type: "function",
        name,
        description,
        inputSchema: parameters,
        ...(specificationVersion !== "v2" && { strict }),
      })),
      toolChoice: { type: "auto" },
    }),
    ...(request.outputSchema !== undefined && {
      responseFormat: { type: "json", schema: request.outputSchema, name: "codex_output_schema" },
    }),
    ...(isV4 && effort !== null && EFFORTS.has(effort) && { reasoning: effort }),
    abortSignal: signal,
  } satisfies AiSdkCallOptions;
}

function messageOf(speech: Speech, version: { readonly isV4: boolean }): JsonObject {
  switch (speech.role) {
    case "system":
      return { role: "system", content: speech.text };
    case "user":
      return { role: "user", content: speech.parts.map((part) => userPart(part, version)) };
    case "assistant":
      return { role: "assistant", content: assistantParts(speech) };
    case "tool": {
      const { callId: toolCallId, name: toolName, output } = speech;
      return {
        role: "tool",
        content: [{ type: "tool-result", toolCallId, toolName, output: { type: "text", value: output } }],
      };
    }
  }
}

function userPart(part: SpokenPart, { isV4 }: { readonly isV4: boolean }): JsonObject {
  if ("text" in part) return { type: "text", text: part.text };
  const inline = /^data:([^;,]+);base64,(.*)$/s.exec(part.imageUrl);
  if (inline !== null) {
    const data = inline[2] ?? "";
    return { type: "file", mediaType: inline[1], data: isV4 ? { type: "data", data } : data };
  }
  const url = URL.parse(part.imageUrl);
  if (url === null) return { type: "text", text: "(an image whose address cannot be read)" };
  return { type: "file", mediaType: "image/*", data: isV4 ? { type: "url", url } : url };
}

/** Reasoning first: providers that sign it want it before what followed from it. */
function assistantParts({ reasoning, texts, calls }: AssistantSpeech): JsonObject[] {
  return [
    ...reasoning.flatMap(({ text, item }) => {
      const options = optionsOf(item);
      // Reasoning of another provider has no signature, which some take as a forgery.
      return options.providerOptions === undefined ? [] : [{ type: "reasoning", text, ...options }];
    }),
    ...texts.map(({ text, item }) => ({ type: "text", text, ...optionsOf(item) })),
    ...calls.map(({ callId, name, args, item }) => ({
      type: "tool-call",
      toolCallId: callId,
      toolName: name,
      input: parseJson(args) ?? {},
      ...optionsOf(item),
    })),
  ];
}

function optionsOf(item: object): { providerOptions?: unknown } {
  const metadata = keptWith(item);
  return metadata === undefined ? {} : { providerOptions: metadata };
}
