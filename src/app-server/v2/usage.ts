/** Token usage as v2 says it. */
import type { EventMsg } from "../../protocol/event.ts";
import type { TokenUsage, TokenUsageInfo } from "../../protocol/token-usage.ts";
import type { Told } from "./wire-types.ts";

/** What a response has cost is told when the calls that it made are answered, as stock Codex does. */
export class LateUsage {
  readonly #awaited = new Set<unknown>();
  #told: Told[] = [];

  /** Keeps it back while calls are at work, else gives it at once. */
  hold(told: readonly Told[]): readonly Told[] {
    if (this.#awaited.size === 0) return told;
    this.#told.push(...told);
    return [];
  }

  /** What is to be told behind this event. */
  after(msg: EventMsg): Told[] {
    if (msg.type !== "raw_response_item") return [];
    const { item } = msg;
    if (item.type === "function_call" || item.type === "custom_tool_call") this.#awaited.add(item.call_id);
    if (item.type !== "function_call_output" && item.type !== "custom_tool_call_output") return [];
    this.#awaited.delete(item.call_id);
    return this.#awaited.size === 0 ? this.flush() : [];
  }

  /** Nothing is awaited any more. */
  flush(): Told[] {
    const told = this.#told;
    this.#told = [];
    this.#awaited.clear();
    return told;
  }
}

const breakdown = (usage: TokenUsage) => ({
  totalTokens: usage.total_tokens,
  inputTokens: usage.input_tokens,
  cachedInputTokens: usage.cached_input_tokens,
  cacheWriteInputTokens: 0,
  outputTokens: usage.output_tokens,
  reasoningOutputTokens: usage.reasoning_output_tokens,
});

export const usageToV2 = (info: TokenUsageInfo) => ({
  total: breakdown(info.total_token_usage),
  last: breakdown(info.last_token_usage),
  modelContextWindow: info.model_context_window ?? null,
});
