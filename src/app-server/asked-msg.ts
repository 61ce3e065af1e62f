/** The events by which a thread asks somebody. */
import type { ElicitationAnswer } from "../protocol/elicitation.ts";
import type { EventMsg } from "../protocol/event.ts";

export type ApprovalMsg = Extract<EventMsg, { type: "exec_approval_request" | "apply_patch_approval_request" }>;
export type ElicitationMsg = Extract<EventMsg, { type: "elicitation_request" }> & {
  readonly call_id: string;
  /** Gets the answer of a question that no turn has asked. */
  readonly answer?: (answer: ElicitationAnswer) => void;
};
export type QuestionMsg = Extract<EventMsg, { type: "request_user_input" }>;

/** A tool of the clients' own that the model calls. */
export type ToolCallMsg = {
  readonly type: "dynamic_tool_call";
  readonly call_id: string;
  readonly turn_id: string;
  readonly namespace: string | null;
  readonly tool: string;
  readonly arguments: unknown;
  /** Gets the first client's answer; undefined: it is an error, or none comes any more. */
  readonly answer: (result: unknown) => void;
};
export type AskedMsg = ApprovalMsg | QuestionMsg | ElicitationMsg | ToolCallMsg;

export const isApproval = (msg: EventMsg | AskedMsg): msg is ApprovalMsg =>
  msg.type === "exec_approval_request" || msg.type === "apply_patch_approval_request";

export const isQuestion = (msg: EventMsg): msg is QuestionMsg => msg.type === "request_user_input";

export const isElicitation = (msg: EventMsg | AskedMsg): msg is ElicitationMsg =>
  msg.type === "elicitation_request" && msg.call_id !== undefined;
