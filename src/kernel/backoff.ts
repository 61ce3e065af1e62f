/**
 * How long to wait before the next attempt. Pure: randomness and the time of day are given.
 *
 * - Without jitter, the delay never falls from one attempt to the next, and never exceeds `maxMs`; with jitter it never
 *   exceeds `maxMs` either.
 * - A server's own wish wins over the calculation, unchanged, and also over `maxMs`.
 */
export type Backoff = {
  /** The delay before the first retry. */
  readonly baseMs: number;
  /** What each further retry multiplies it by. */
  readonly factor: number;
  readonly maxMs: number;
  /** 0.1 spreads a delay over 0.9 to 1.1 times its length. */
  readonly jitter: number;
};

/** Codex's schedule: 200 ms, doubled at each retry, plus or minus a tenth. The cap is ours. */
export const DEFAULT_BACKOFF: Backoff = { baseMs: 200, factor: 2, maxMs: 60_000, jitter: 0.1 };

export type BackoffInputs = Partial<Backoff> & {
  /** From 0 up to 1, as Math.random. */
  readonly random?: () => number;
  /** What the server asked for (see {@link parseRetryAfter}). */
  readonly retryAfterMs?: number | undefined;
};

/** The delay in whole milliseconds before retry number `attempt`, counted from 1 (lower numbers count as 1). */
export function backoffDelay(attempt: number, inputs: BackoffInputs = {}): number {
  const { baseMs, factor, maxMs, jitter } = { ...DEFAULT_BACKOFF, ...inputs };
  if (inputs.retryAfterMs !== undefined) return Math.max(0, Math.ceil(inputs.retryAfterMs));
  const random = inputs.random ?? Math.random;
  const growth = Math.min(factor ** Math.max(0, attempt - 1), Number.MAX_VALUE); // never Infinity: 0 * Infinity is NaN
  const plainMs = Math.min(maxMs, baseMs * growth, Number.MAX_SAFE_INTEGER);
  return Math.floor(Math.min(maxMs, plainMs * (1 - jitter + 2 * jitter * random())));
}

/** Reads a Retry-After header: seconds, or an HTTP date. Undefined when it says nothing that can be understood. */
export function parseRetryAfter(header: string | null | undefined, nowMs: number): number | undefined {
  const text = header?.trim() ?? "";
  if (/^\d+(\.\d+)?$/.test(text)) return Math.ceil(Number(text) * 1000);
  if (!/^[A-Z][a-z]+, /.test(text)) return undefined;
  const atMs = Date.parse(text);
  return Number.isNaN(atMs) ? undefined : Math.max(0, atMs - nowMs);
}
