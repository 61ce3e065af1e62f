/** Codex's words for what can go wrong with a model API (SPEC 1.3 and 4.5), as ModelErrors. */
import { type CodexErrorInfo, ModelError, type ModelErrorOptions } from "../protocol/model-error.ts";
import type { TokenUsage } from "../protocol/token-usage.ts";
import { isJsonObject, type JsonObject } from "../protocol/unknown-kind.ts";

const CONTEXT_TEXT =
  "Codex ran out of room in the model's context window. Start a new thread or clear earlier history before retrying.";
const QUOTA_TEXT = "Quota exceeded. Check your plan and billing details.";
const CAPACITY_TEXT = "Selected model is at capacity. Please try a different model.";
const HIGH_DEMAND_TEXT = "We’re currently experiencing high demand, which may cause temporary errors.";
const PLAN_TEXT = "To use Codex with your ChatGPT plan, upgrade to Plus: https://chatgpt.com/explore/plus.";

/** The stream broke off. Retryable, unless said otherwise. */
export const disconnected = (why: string, options: ModelErrorOptions = {}): ModelError =>
  new ModelError(`stream disconnected before completion: ${why}`, { retryable: true, ...options });

/** The stream ended without its last event. */
export const closedEarly = (): ModelError => disconnected("stream closed before response.completed");

/** The model stopped before its end. A filter may let another answer pass; any other reason holds. */
export function incomplete(reason: string, usage?: TokenUsage): ModelError {
  const message = `Incomplete response returned, reason: ${reason}`;
  const cost = usage === undefined ? {} : { usage };
  return reason === "content_filter" ? disconnected(message, cost) : new ModelError(message, cost);
}

/** Nothing came for the idle time. */
export const idleTimeout = (): ModelError => disconnected("idle timeout waiting for SSE");

/** No answer at all: refused, reset, no such host, no route. */
export const connectionFailed = (url: string, cause: unknown): ModelError =>
  new ModelError(`connection failed: error sending request for url (${url}): ${textOfCause(cause)}`, {
    info: { http_connection_failed: { http_status_code: null } },
    retryable: true,
    cause,
  });

/** The request never left: a header holds what no header may, and the like. The cause's message names no value. */
export const notSendable = (cause: unknown): ModelError =>
  new ModelError(`the request cannot be sent: ${textOfCause(cause)}`, { info: "bad_request", cause });

export const clientClosed = (): ModelError => new ModelError("the model client is closed");

/** What a thrown transport error says; its innermost cause when it says nothing itself. */
export function textOfCause(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  if (cause.message !== "") return cause.message;
  const errors: unknown = Reflect.get(cause, "errors");
  return Array.isArray(errors) && errors.length > 0 ? textOfCause(errors[0]) : cause.name;
}

export type FailedAnswer = {
  readonly status: number;
  /** The body, cut at a bound and free of secrets. */
  readonly body: string;
  /** What was asked, without a query or credentials; undefined where that is not known. */
  readonly url?: string | undefined;
  /** By which its server finds the request again. */
  readonly requestId?: string | undefined;
  readonly retryAfterMs: number | undefined;
  /** Unix milliseconds, for texts that tell a time of day. */
  readonly nowMs: number;
};

/** Codes of an error body that say what is wrong, whatever its status otherwise means. */
const CODES_OF_STATUS: Readonly<Record<number, readonly unknown[]>> = {
  400: ["invalid_prompt", "cyber_policy", "bio_policy", "misalignment_policy_violation"],
  403: ["misalignment_policy_violation", "inference_hook_denied"],
  429: ["flex_unavailable"],
  503: ["policy_capacity_unavailable"],
};

/** A page in place of an answer says no more at length. */
const MAX_REASON_CHARS = 1000;

/** The error of an HTTP answer other than 2xx. */
export function failureOfStatus({ status, body, url, requestId, retryAfterMs, nowMs }: FailedAnswer): ModelError {
  const wait = retryAfterMs === undefined ? {} : { retryAfterMs };
  const error = errorObjectOf(parseJson(body));
  const kinds = [error?.code, error?.type];
  if (kinds.includes("context_length_exceeded")) return contextWindowExceeded();
  const code = kinds.find((kind) => CODES_OF_STATUS[status]?.includes(kind));
  if (code !== undefined) return failureOfResponse({ code, message: messageIn(error) ?? body });
  if (status !== 500 && status !== 503 && kinds.includes("model_not_found")) {
    return new ModelError(messageIn(error) ?? body, { info: "model_not_found", httpStatus: status });
  }
  if (status === 400) return new ModelError(body, { httpStatus: status });
  if (status === 429) {
    if (kinds.includes("usage_limit_reached")) {
      return new ModelError(usageLimitText(error ?? {}, nowMs), { info: "usage_limit_exceeded", httpStatus: status });
    }
    if (kinds.includes("usage_not_included")) return usageLimit(PLAN_TEXT);
    if (kinds.includes("insufficient_quota")) return usageLimit(QUOTA_TEXT);
    return new ModelError(`exceeded retry limit, last status: ${statusText(status)}`, {
      info: { response_too_many_failed_attempts: { http_status_code: status } },
      httpStatus: status,
      ...wait,
    });
  }
  if (status === 503 && kinds.includes("server_is_overloaded")) return overloaded();
  if (status === 503 && kinds.includes("slow_down")) return rateLimited(messageIn(error) ?? body, wait);
  // Codex reports this one without a status, also in stream_error.
  if (status === 500) return highDemand(wait);
  const said = (messageIn(error) || body).trim() || "Unknown error";
  const reason = said.length > MAX_REASON_CHARS ? `${said.slice(0, MAX_REASON_CHARS)}...` : said;
  const asked = url === undefined ? "" : `, url: ${url}`;
  const named = requestId === undefined ? "" : `, request id: ${requestId}`;
  return new ModelError(`unexpected status ${statusText(status)}: ${reason}${asked}${named}`, {
    info: { http_connection_failed: { http_status_code: status } },
    retryable: true,
    httpStatus: status,
    ...wait,
  });
}

/** What the model's server will not do however often it is asked: by its code, and Codex's words where it gives none itself. */
const REFUSALS = new Map<unknown, { info: CodexErrorInfo; words: string }>([
  ["invalid_prompt", { info: "other", words: "Invalid request." }],
  ["bio_policy", { info: "bio_policy", words: "This content was flagged for possible biological risk." }],
  ["cyber_policy", { info: "cyber_policy", words: "This request has been flagged for possible cybersecurity risk." }],
  [
    "misalignment_policy_violation",
    {
      info: "misalignment_policy_violation",
      words: "This request was blocked due to a misalignment policy violation.",
    },
  ],
  [
    "inference_hook_denied",
    { info: "inference_hook_denied", words: "Your workspace inference hook blocked this request." },
  ],
  ["model_not_found", { info: "model_not_found", words: "model_not_found" }],
]);

/** The error of a `response.failed` or `error` event, or of an error body under status 200. */
export function failureOfResponse(error: JsonObject | undefined): ModelError {
  const said = messageIn(error);
  const code = error?.code ?? error?.type;
  const refusal = REFUSALS.get(code);
  if (refusal !== undefined) return new ModelError(said || refusal.words, { info: refusal.info });
  const message = said ?? "response.failed event received";
  switch (code) {
    case "context_length_exceeded":
      return contextWindowExceeded();
    case "insufficient_quota":
      return usageLimit(QUOTA_TEXT);
    case "usage_not_included":
      return usageLimit(PLAN_TEXT);
    case "server_is_overloaded":
      return overloaded();
    case "flex_unavailable":
      return new ModelError("Flex capacity unavailable.", { info: "flex_unavailable" });
    case "policy_capacity_unavailable":
      return new ModelError("Policy-restricted capacity is unavailable. Please try again later.", {
        info: "policy_capacity_unavailable",
      });
    case "slow_down":
    case "rate_limit_exceeded": {
      const retryAfterMs = delayIn(message);
      return rateLimited(message, retryAfterMs === undefined ? {} : { retryAfterMs });
    }
    default:
      // What the server cannot take of the input, it cannot take a second time.
      return /image/i.test(String(error?.code))
        ? new ModelError(message, { info: "bad_request" })
        : disconnected(message);
  }
}

const messageIn = (error: JsonObject | undefined): string | undefined =>
  typeof error?.message === "string" ? error.message : undefined;

/** The `error` member of a body or event; it may also be a bare text. */
export function errorObjectOf(body: unknown): JsonObject | undefined {
  if (!isJsonObject(body)) return undefined;
  const { error } = body;
  if (isJsonObject(error)) return error;
  return typeof error === "string" ? { message: error } : undefined;
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const contextWindowExceeded = (): ModelError => new ModelError(CONTEXT_TEXT, { info: "context_window_exceeded" });
const overloaded = () => new ModelError(CAPACITY_TEXT, { info: "server_overloaded" });
const rateLimited = (message: string, wait: { retryAfterMs?: number }) =>
  new ModelError(`rate limit exceeded: ${message}`, { info: "rate_limit_exceeded", retryable: true, ...wait });
const usageLimit = (text: string) => new ModelError(text, { info: "usage_limit_exceeded" });
const highDemand = (wait: { retryAfterMs?: number }) =>
  new ModelError(HIGH_DEMAND_TEXT, { info: "internal_server_error", retryable: true, ...wait });

function statusText(status: number): string {
  const { STATUS_CODES } = process.getBuiltinModule("node:http");
  return `${status} ${STATUS_CODES[status] ?? "<unknown status code>"}`;
}

/** `Please try again in 1.5s.` and its like, in milliseconds. */
function delayIn(message: string): number | undefined {
  const found = /try again in\s*(\d+(?:\.\d+)?)\s*(ms|s|seconds?)\b/i.exec(message);
  if (found === null) return undefined;
  const amount = Number(found[1]);
  return Math.ceil(found[2]?.toLowerCase() === "ms" ? amount : amount * 1000);
}

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const CREDITS = "visit https://chatgpt.com/settings/usage to purchase more credits";

/** What Codex advises by plan, before it says when to try again. */
const [UPGRADE, BUY, ADMIN] = [
  "Upgrade to Plus to continue using Codex (https://chatgpt.com/explore/plus),",
  `V${CREDITS.slice(1)}`,
  "To get more access now, send a request to your admin",
];
const ADVICE: Readonly<Record<string, string>> = {
  ...{ free: UPGRADE, go: UPGRADE },
  plus: `Upgrade to Pro (https://chatgpt.com/explore/pro), ${CREDITS}`,
  ...{ pro: BUY, prolite: BUY },
  ...{ team: ADMIN, business: ADMIN },
  ...{ self_serve_business_usage_based: ADMIN, enterprise_cbp_usage_based: ADMIN },
};

/** Codex's words for a used-up plan: what may be done about it, and when the limit ends, if the server said it. */
function usageLimitText(error: JsonObject, nowMs: number): string {
  const { plan_type: plan, resets_at: resetsAt } = error;
  const at = new Date(typeof resetsAt === "number" ? resetsAt * 1000 : Number.NaN);
  const tryAgain = Number.isNaN(at.getTime()) ? "try again later" : `try again at ${timeText(at, new Date(nowMs))}`;
  const advice = typeof plan === "string" && Object.hasOwn(ADVICE, plan) ? ADVICE[plan] : undefined;
  return `You’ve hit your usage limit. ${advice === undefined ? `T${tryAgain.slice(1)}` : `${advice} or ${tryAgain}`}.`;
}

/** In the local time zone: `Jan 1st, 2100 12:00 AM`, or the time alone when it is today. */
function timeText(at: Date, now: Date): string {
  const hour = at.getHours();
  const minute = String(at.getMinutes()).padStart(2, "0");
  const time = `${hour % 12 === 0 ? 12 : hour % 12}:${minute} ${hour < 12 ? "AM" : "PM"}`;
  if (at.toDateString() === now.toDateString()) return time;
  return `${MONTHS[at.getMonth()]} ${ordinal(at.getDate())}, ${at.getFullYear()} ${time}`;
}

function ordinal(day: number): string {
  const isTeen = day >= 11 && day <= 13;
  const suffix = isTeen ? "th" : (["th", "st", "nd", "rd"][day % 10] ?? "th");
  return `${day}${suffix}`;
}
