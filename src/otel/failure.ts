/** What a span says of a failure: a name of few values; its words only where content is asked for. */
import { SkeinError } from "../protocol/errors.ts";
import type { TaskCompleteEvent, TurnAbortedEvent } from "../protocol/event.ts";
import { type CodexErrorInfo, ModelError } from "../protocol/model-error.ts";
import { withoutSecretShapes } from "../protocol/secrets.ts";

export type Failure = { readonly type: string; readonly message: string | undefined };

/** `interrupted` for what was aborted, an error's code where it has one of ours, else its name. */
export function failureOf(error: unknown): Failure {
  if (error instanceof ModelError) return { type: infoName(error.info), message: words(error.message) };
  if (error instanceof SkeinError) return { type: error.code, message: words(error.message) };
  if (!(error instanceof Error)) return { type: "_OTHER", message: words(String(error)) };
  return { type: error.name === "AbortError" ? "interrupted" : error.name, message: words(error.message) };
}

/** How a turn failed; undefined for one that is complete. */
export function turnFailureOf(outcome: TaskCompleteEvent | TurnAbortedEvent | undefined): Failure | undefined {
  if (outcome === undefined) return undefined;
  if (outcome.type === "turn_aborted") return { type: outcome.reason, message: undefined };
  const { error } = outcome;
  if (error === undefined || error === null) return undefined;
  return { type: infoName(error.codex_error_info ?? "other"), message: words(error.message) };
}

const infoName = (info: CodexErrorInfo): string =>
  typeof info === "string" ? info : (Object.keys(info)[0] ?? "other");

const words = (text: string): string => withoutSecretShapes(text);
