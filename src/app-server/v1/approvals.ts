/** Approvals as v1 asks for them (SPEC 10). */
import * as z from "zod";
import { type ReviewDecision, reviewDecisionSchema } from "../../protocol/policy.ts";
import type { ApprovalMsg } from "../asked-msg.ts";
import type { OpenRequest } from "../open-request.ts";

export function approvalRequest({ msg, feed }: OpenRequest<ApprovalMsg>): { method: string; params: unknown } {
  const place = { conversationId: feed.threadId, callId: msg.call_id };
  const reason = msg.reason ?? null;
  return msg.type === "apply_patch_approval_request"
    ? {
        method: "applyPatchApproval",
        params: { ...place, fileChanges: msg.changes, reason, grantRoot: msg.grant_root ?? null },
      }
    : {
        method: "execCommandApproval",
        params: { ...place, command: msg.command, cwd: msg.cwd, reason, parsedCmd: msg.parsed_cmd },
      };
}

const answerSchema = z.object({ decision: reviewDecisionSchema });

/** What does not parse counts as denied, as in 0.87. */
export function decisionOf(result: unknown): ReviewDecision {
  const read = answerSchema.safeParse(result);
  return read.success ? read.data.decision : "denied";
}
