/** One server-sent event of the Responses API as a ModelEvent (SPEC 18). */
import { type ResponseItem, responseItemSchema } from "../protocol/response-item.ts";
import { type TokenUsage, tokenCount } from "../protocol/token-usage.ts";
import { isJsonObject, type JsonObject } from "../protocol/unknown-kind.ts";
import type { ModelEvent } from "./model-client.ts";
import { errorObjectOf, failureOfResponse, incomplete, parseJson } from "./model-failure.ts";

/**
 * What the event says; undefined for events, and for items, that are unknown, cut or lack what they must have: as
 * Codex does, they are passed over.
 *
 * @throws ModelError when the event says that the answer failed.
 */
export function modelEventOf(data: string, redact: (text: string) => string): ModelEvent | undefined {
  const event = parseJson(data);
  if (!isJsonObject(event)) return undefined;
  switch (event.type) {
    case "response.created":
      return { type: "created", ...responseIdOf(event.response) };
    case "response.output_item.added":
      return itemEvent("item_added", event.item);
    case "response.output_item.done":
      return itemEvent("item_done", event.item);
    case "response.output_text.delta": {
      const delta = textAt(event, "delta");
      return delta === undefined ? undefined : { type: "text_delta", delta, ...itemIdOf(event) };
    }
    case "response.reasoning_summary_part.added":
      return { type: "reasoning_summary_part", summaryIndex: indexAt(event, "summary_index"), ...itemIdOf(event) };
    case "response.reasoning_summary_text.delta": {
      const delta = textAt(event, "delta");
      const summaryIndex = indexAt(event, "summary_index");
      return delta === undefined
        ? undefined
        : { type: "reasoning_summary_delta", delta, summaryIndex, ...itemIdOf(event) };
    }
    case "response.reasoning_text.delta": {
      const delta = textAt(event, "delta");
      const contentIndex = indexAt(event, "content_index");
      return delta === undefined
        ? undefined
        : { type: "reasoning_text_delta", delta, contentIndex, ...itemIdOf(event) };
    }
    case "response.completed":
      return completed(event.response);
    case "response.failed":
      throw failureOfResponse(redacted(errorObjectOf(event.response), redact));
    case "response.incomplete":
      throw incomplete(incompleteReason(event.response), usageIn(event.response));
    case "error":
      throw failureOfResponse(redacted(errorObjectOf(event) ?? event, redact));
    case undefined:
      // Some servers report an error as a bare object in the middle of the stream.
      if (errorObjectOf(event) === undefined) return undefined;
      throw failureOfResponse(redacted(errorObjectOf(event), redact));
    default:
      return undefined;
  }
}

function itemEvent(type: "item_added" | "item_done", value: unknown): ModelEvent | undefined {
  const item = itemOf(value);
  return item === undefined ? undefined : { type, item };
}

function itemOf(value: unknown): ResponseItem | undefined {
  const parsed = responseItemSchema.safeParse(value);
  return parsed.success ? parsed.data : undefined;
}

function completed(response: unknown): ModelEvent {
  const usage = usageIn(response);
  return { type: "completed", ...responseIdOf(response), ...(usage === undefined ? {} : { usage }) };
}

const usageIn = (response: unknown): TokenUsage | undefined =>
  isJsonObject(response) && isJsonObject(response.usage) ? usageOf(response.usage) : undefined;

function usageOf(usage: JsonObject): TokenUsage {
  const input = countAt(usage, "input_tokens");
  const output = countAt(usage, "output_tokens");
  return {
    input_tokens: input,
    cached_input_tokens: countAt(usage.input_tokens_details, "cached_tokens"),
    output_tokens: output,
    reasoning_output_tokens: countAt(usage.output_tokens_details, "reasoning_tokens"),
    total_tokens: countAt(usage, "total_tokens") || input + output,
  };
}

function incompleteReason(response: unknown): string {
  const details = isJsonObject(response) ? response.incomplete_details : undefined;
  return (isJsonObject(details) ? textAt(details, "reason") : undefined) ?? "unknown";
}

function redacted(error: JsonObject | undefined, redact: (text: string) => string): JsonObject | undefined {
  const message = error?.message;
  return typeof message === "string" ? { ...error, message: redact(message) } : error;
}

function responseIdOf(response: unknown): { responseId?: string } {
  const responseId = isJsonObject(response) ? textAt(response, "id") : undefined;
  return responseId === undefined ? {} : { responseId };
}

function itemIdOf(event: JsonObject): { itemId?: string } {
  const itemId = textAt(event, "item_id");
  return itemId === undefined ? {} : { itemId };
}

function textAt(value: JsonObject, field: string): string | undefined {
  const text = value[field];
  return typeof text === "string" ? text : undefined;
}

function indexAt(event: JsonObject, field: string): number {
  const index = event[field];
  return Number.isSafeInteger(index) && Number(index) >= 0 ? Number(index) : 0;
}

const countAt = (value: unknown, field: string): number => tokenCount(isJsonObject(value) ? value[field] : undefined);
