import type { ContentItem } from "../protocol/response-item.ts";

/** What the model gets for a call: a text, or parts with pictures among them. */
export type ToolOutput = string | ContentItem[];

/** How much of a tool's output the model gets: Codex's budget for its current models. */
export const OUTPUT_TOKENS = 10_000;

/** Codex's own estimate. */
const BYTES_PER_TOKEN = 4;

/**
 * The text with its middle cut out when it is longer than the budget; the cut says how much is missing.
 * @param omittedBytes what the middle of the text lacks already
 * @param tokens the budget
 */
export function truncateMiddle(text: string, omittedBytes = 0, tokens = OUTPUT_TOKENS): string {
  const budget = tokens * BYTES_PER_TOKEN;
  if (text.length * 3 <= budget) return text;
  const size = Buffer.byteLength(text);
  if (size <= budget) return text;
  const head = firstBytes(text, Math.floor(budget / 2));
  const tail = lastBytes(text, budget - Math.floor(budget / 2));
  const missing = omittedBytes + size - Buffer.byteLength(head) - Buffer.byteLength(tail);
  return `${head}…${estimatedTokens(missing)} tokens truncated…${tail}`;
}

/** How many tokens so many bytes are taken for. */
export const estimatedTokens = (bytes: number): number => Math.ceil(bytes / BYTES_PER_TOKEN);

const isContinuation = (byte: number | undefined): boolean => byte !== undefined && (byte & 0xc0) === 0x80;

/** Whole characters only. A character has at least one byte, so a slice of `limit` units holds enough. */
function firstBytes(text: string, limit: number): string {
  const bytes = Buffer.from(text.slice(0, limit).toWellFormed());
  let end = Math.min(limit, bytes.length);
  while (end > 0 && isContinuation(bytes[end])) end -= 1;
  return bytes.toString("utf8", 0, end);
}

function lastBytes(text: string, limit: number): string {
  const bytes = Buffer.from(text.slice(-limit).toWellFormed());
  let start = Math.max(0, bytes.length - limit);
  while (isContinuation(bytes[start])) start += 1;
  return bytes.toString("utf8", start);
}
