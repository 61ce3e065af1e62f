/** Conversations in the form of the GenAI conventions, without what looks like a secret. */
import { type ResponseItem, textOf } from "../protocol/response-item.ts";
import { withoutSecretShapes } from "../protocol/secrets.ts";

/** A longer part is cut: backends refuse attributes of megabytes. */
const PART_CHARS = 16 * 1024;

type Part =
  | { readonly type: "text" | "reasoning"; readonly content: string }
  | { readonly type: "tool_call"; readonly id: string; readonly name: string; readonly arguments: string }
  | { readonly type: "tool_call_response"; readonly id: string; readonly result: string };

export const contentText = (text: string): string => {
  const safe = withoutSecretShapes(text);
  return safe.length <= PART_CHARS ? safe : `${safe.slice(0, PART_CHARS)}…`;
};

/** `gen_ai.input.messages` and `gen_ai.output.messages`, as JSON. */
export const messagesOf = (items: readonly ResponseItem[]): string =>
  JSON.stringify(
    items.flatMap((item) => {
      const part = partOf(item);
      return part === undefined ? [] : [{ role: roleOf(item, part), parts: [part] }];
    }),
  );

export const instructionsOf = (text: string): string =>
  JSON.stringify([{ type: "text", content: contentText(text) } satisfies Part]);

function partOf(item: ResponseItem): Part | undefined {
  switch (item.type) {
    case "message":
      return { type: "text", content: contentText(textOf(item)) };
    case "reasoning":
      return { type: "reasoning", content: contentText(textOf(item)) };
    case "function_call":
      return { type: "tool_call", id: item.call_id, name: item.name, arguments: contentText(item.arguments) };
    case "custom_tool_call":
      return { type: "tool_call", id: item.call_id, name: item.name, arguments: contentText(item.input) };
    case "function_call_output":
    case "custom_tool_call_output":
      return { type: "tool_call_response", id: item.call_id ?? "", result: contentText(textOf(item)) };
    default:
      return undefined;
  }
}

const roleOf = (item: ResponseItem, { type }: Part): string => {
  if (type === "tool_call_response") return "tool";
  return "role" in item && typeof item.role === "string" ? item.role : "assistant";
};
