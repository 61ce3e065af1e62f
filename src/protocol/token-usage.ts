/** Tokens of one response, or of many added up (Codex's wire shape). */
export type TokenUsage = {
  input_tokens: number;
  cached_input_tokens: number;
  output_tokens: number;
  reasoning_output_tokens: number;
  total_tokens: number;
};

/** What a `token_count` event tells: the session's total and the last response's share. */
export type TokenUsageInfo = {
  total_token_usage: TokenUsage;
  last_token_usage: TokenUsage;
  model_context_window?: number | null | undefined;
};

/** How much of a rate limit is used, in percent of its window. */
export type RateLimitWindow = {
  used_percent: number;
  window_minutes?: number | null | undefined;
  resets_at?: number | null | undefined;
};

/** The account's credits, as the provider says. */
export type CreditsSnapshot = { has_credits: boolean; unlimited: boolean; balance?: string | null | undefined };

/** What the response headers tell about the account's limits; without such headers all four are null. */
export type RateLimitSnapshot = {
  primary: RateLimitWindow | null;
  secondary: RateLimitWindow | null;
  credits: CreditsSnapshot | null;
  plan_type: string | null;
};

export const zeroUsage: Readonly<TokenUsage> = Object.freeze({
  input_tokens: 0,
  cached_input_tokens: 0,
  output_tokens: 0,
  reasoning_output_tokens: 0,
  total_tokens: 0,
});

/** More than any response can cost. */
const MOST_TOKENS = 1e12;

/** What a server says of a number of tokens: clients read whole numbers, and no total gets over one that is none. */
export const tokenCount = (value: unknown): number =>
  typeof value === "number" && value >= 0 && value <= MOST_TOKENS ? Math.round(value) : 0;

export const addUsage = (a: TokenUsage, b: TokenUsage): TokenUsage => ({
  input_tokens: a.input_tokens + b.input_tokens,
  cached_input_tokens: a.cached_input_tokens + b.cached_input_tokens,
  output_tokens: a.output_tokens + b.output_tokens,
  reasoning_output_tokens: a.reasoning_output_tokens + b.reasoning_output_tokens,
  total_tokens: a.total_tokens + b.total_tokens,
});
