import type { EventMsg } from "../protocol/event.ts";
import type { SubmissionId, ThreadId } from "../protocol/ids.ts";

/** A question that a turn waits with. An `exec_approval`, `patch_approval` or `user_input_answer` op with the call's id answers it. */
export type PendingApproval = {
  /** The submission id of the turn, which an approval op may give instead of the call id. */
  readonly turn: SubmissionId;
  readonly callId: string;
  /** The request as it was published, to be shown again to clients that attach. */
  readonly msg: EventMsg;
};

/** An approval that is waited for, and the thread that waits. */
export type ThreadApproval = PendingApproval & { readonly threadId: ThreadId };
