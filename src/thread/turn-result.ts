import type { SubmissionId, TurnId } from "../protocol/ids.ts";
import type { CodexErrorInfo } from "../protocol/model-error.ts";
import type { TokenUsage } from "../protocol/token-usage.ts";
import type { TurnItem } from "../protocol/turn-item.ts";

/** How a turn ended. */
export type TurnResult<Output = unknown> = {
  readonly submissionId: SubmissionId;
  /** null for an empty input, which makes no turn. */
  readonly turnId: TurnId | null;
  /** `failed`: the model's error is in `error`; `interrupted`: by an interrupt, or by a task that replaced it. */
  readonly status: "completed" | "interrupted" | "failed";
  readonly lastAgentMessage: string | null;
  /** The final message by the `outputSchema` that was asked for. */
  readonly output?: Output;
  /** The items completed in this turn, in order. */
  readonly items: readonly TurnItem[];
  /** Tokens of this turn alone; null when the model told none. */
  readonly usage: TokenUsage | null;
  readonly error: { readonly message: string; readonly info: CodexErrorInfo | null } | null;
};
