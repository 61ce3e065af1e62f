/** The events by which a thread asks somebody. */
import type { EventMsg } from "../protocol/event.ts";

export type ApprovalMsg = Extract<EventMsg, { type: "exec_approval_request" | "apply_patch_approval_request" }>;
export type QuestionMsg = Extract<EventMsg, { type: "request_user_input" }>;

export const isApproval = (msg: EventMsg): msg is ApprovalMsg =>
  msg.type === "exec_approval_request" || msg.type === "apply_patch_approval_request";

export const isQuestion = (msg: EventMsg): msg is QuestionMsg => msg.type === "request_user_input";
