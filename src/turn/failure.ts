import { textOfThrown } from "../kernel/thrown.ts";
import { BudgetExceededError, TurnGivenUpError } from "../protocol/errors.ts";
import { type CodexErrorInfo, ModelError } from "../protocol/model-error.ts";

/** What a turn failed by, as its `error` event and its end tell it. */
export type TurnFailure = { readonly message: string; readonly codex_error_info: CodexErrorInfo };

export const failureOf = (error: unknown): TurnFailure => ({
  message: textOfThrown(error),
  codex_error_info: infoOf(error),
});

function infoOf(error: unknown): CodexErrorInfo {
  if (error instanceof TurnGivenUpError) return "turn_given_up";
  if (error instanceof ModelError) return error.info;
  return error instanceof BudgetExceededError ? "usage_limit_exceeded" : "other";
}
