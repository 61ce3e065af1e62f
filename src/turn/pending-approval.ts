import type { EventMsg } from "../protocol/event.ts";
import type { SubmissionId, ThreadId } from "../protocol/ids.ts";
import type { ReviewDecision } from "../protocol/policy.ts";

/** A question that a turn waits with. An `exec_approval`, `patch_approval` or `user_input_answer` op with the call's id answers it. */
export type PendingApproval = {
  /** The submission id of the turn, which an approval op may give instead of the call id. */
  readonly turn: SubmissionId;
  readonly callId: string;
  /** The request as it was published, to be shown again to clients that attach. */
  readonly msg: EventMsg;
};

/** A question that somebody has answered: an approval, by its decision, or the user (null). */
export type QuestionAnswered = {
  readonly threadId: ThreadId;
  readonly callId: string;
  readonly decision: ReviewDecision | null;
};

/** An approval that is waited for, and the thread that waits. */
export type ThreadApproval = PendingApproval & { readonly threadId: ThreadId };
