import type { CreditsSnapshot, RateLimitSnapshot, RateLimitWindow } from "../protocol/token-usage.ts";

/** Header names in lower case, as Node gives them. */
export type ResponseHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** One header's text; the first one where it came several times. */
export function headerOf(headers: ResponseHeaders, name: string): string | undefined {
  const value = headers[name];
  return typeof value === "object" ? value[0] : value;
}

/** What the `x-codex-*` headers tell about the account's limits; all null when there are none. */
export const rateLimitsOf = (headers: ResponseHeaders): RateLimitSnapshot => ({
  primary: windowOf(headers, "x-codex-primary"),
  secondary: windowOf(headers, "x-codex-secondary"),
  credits: creditsOf(headers),
  plan_type: headerOf(headers, "x-codex-plan-type") ?? null,
});

function windowOf(headers: ResponseHeaders, prefix: string): RateLimitWindow | null {
  const usedPercent = numberOf(headerOf(headers, `${prefix}-used-percent`));
  if (usedPercent === null) return null;
  const minutes = wholeOf(headerOf(headers, `${prefix}-window-minutes`));
  const resetsAt = wholeOf(headerOf(headers, `${prefix}-reset-at`));
  // A window of nothing but zeros is how the server says that there is none.
  if (usedPercent === 0 && (minutes ?? 0) === 0 && resetsAt === null) return null;
  return { used_percent: usedPercent, window_minutes: minutes, resets_at: resetsAt };
}

function creditsOf(headers: ResponseHeaders): CreditsSnapshot | null {
  const hasCredits = booleanOf(headerOf(headers, "x-codex-credits-has-credits"));
  const unlimited = booleanOf(headerOf(headers, "x-codex-credits-unlimited"));
  if (hasCredits === null || unlimited === null) return null;
  const balance = headerOf(headers, "x-codex-credits-balance")?.trim();
  return { has_credits: hasCredits, unlimited, balance: balance === undefined || balance === "" ? null : balance };
}

function numberOf(text: string | undefined): number | null {
  const value = text === undefined || text.trim() === "" ? Number.NaN : Number(text);
  return Number.isFinite(value) ? value : null;
}

/** Clients read whole numbers alone. */
function wholeOf(text: string | undefined): number | null {
  const value = numberOf(text);
  return Number.isSafeInteger(value) ? value : null;
}

function booleanOf(text: string | undefined): boolean | null {
  const lower = text?.trim().toLowerCase();
  if (lower === "true" || lower === "1") return true;
  return lower === "false" || lower === "0" ? false : null;
}
