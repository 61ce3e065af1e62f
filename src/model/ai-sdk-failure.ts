import { parseRetryAfter } from "../kernel/backoff.ts";
import { ModelError } from "../protocol/model-error.ts";
import { withoutSecretShapes } from "../protocol/secrets.ts";
import { isJsonObject } from "../protocol/unknown-kind.ts";
import { disconnected, failureOfResponse, failureOfStatus } from "./model-failure.ts";

/**
 * The ModelError of what an AI SDK model threw or reported: its APICallError has the status and body of the answer,
 * which say what they say elsewhere; other errors are retryable only if they claim to be.
 */
export function failureOfCall(error: unknown): ModelError {
  const { status, body, isRetryable, retryAfterMs } = factsOf(error);
  if (status !== undefined && status >= 300) {
    return failureOfStatus({ status, body: withoutSecretShapes(body ?? textOf(error)), retryAfterMs, nowMs: 0 });
  }
  if (isRetryable) return disconnected(textOf(error), { cause: error });
  if (isJsonObject(error) && !(error instanceof Error)) return failureOfResponse(error);
  return new ModelError(textOf(error), { cause: error });
}

function textOf(error: unknown): string {
  if (error instanceof Error) return error.message === "" ? error.name : error.message;
  return typeof error === "string" ? error : "the model reported an error";
}

type CallFacts = {
  status: number | undefined;
  body: string | undefined;
  isRetryable: boolean;
  retryAfterMs: number | undefined;
};

function factsOf(error: unknown): CallFacts {
  const facts = (typeof error === "object" && error !== null ? error : {}) as Record<string, unknown>;
  const { statusCode, responseBody, responseHeaders, isRetryable } = facts;
  const retryAfter = isJsonObject(responseHeaders) ? responseHeaders["retry-after"] : undefined;
  return {
    status: typeof statusCode === "number" ? statusCode : undefined,
    body: typeof responseBody === "string" ? responseBody : undefined,
    isRetryable: isRetryable === true,
    // Dates in this header would need a clock, and no provider of the SDK sends them.
    retryAfterMs:
      typeof retryAfter === "string" && /^[\d.]+$/.test(retryAfter) ? parseRetryAfter(retryAfter, 0) : undefined,
  };
}
