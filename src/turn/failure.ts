import { textOfThrown } from "../kernel/thrown.ts";
import { type CodexErrorInfo, ModelError } from "../protocol/model-error.ts";

/** What a turn failed by, as its `error` event and its end tell it. */
export type TurnFailure = { readonly message: string; readonly codex_error_info: CodexErrorInfo };

export const failureOf = (error: unknown): TurnFailure => ({
  message: textOfThrown(error),
  codex_error_info: error instanceof ModelError ? error.info : "other",
});
