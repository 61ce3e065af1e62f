/**
 * Which token counts tell of a request that has ended: the figures of the last one are told again when the next begins, with
 * news of the rate limits.
 */
import type { EventMsg } from "../../protocol/event.ts";
import type { TokenUsage } from "../../protocol/token-usage.ts";

export class UsageNews {
  readonly #totals = new Map<string, number>();

  /** What a thread has used before anything is heard of it. */
  begin(threadId: string, total: TokenUsage | undefined): void {
    this.#totals.set(threadId, total?.total_tokens ?? 0);
  }

  forget(threadId: string): void {
    this.#totals.delete(threadId);
  }

  /** What a request has used, by the event that ends it. */
  heed(threadId: string, msg: EventMsg): TokenUsage | undefined {
    if (msg.type !== "token_count" || msg.info == null) return undefined;
    const { total_token_usage: total, last_token_usage: last } = msg.info;
    if (this.#totals.get(threadId) === total.total_tokens) return undefined;
    this.#totals.set(threadId, total.total_tokens);
    return last;
  }
}
