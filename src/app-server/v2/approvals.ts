/** Approvals as v2 asks for them (SPEC 11.8, and 0.169's fields). */
import * as z from "zod";
import type { ReviewDecision } from "../../protocol/policy.ts";
import type { ApprovalMsg } from "../asked-msg.ts";
import type { OpenRequest } from "../open-request.ts";
import { commandActions, commandLine } from "./shown-command.ts";

export function approvalRequest({ msg, feed, turnId, startedAt }: OpenRequest<ApprovalMsg>): {
  method: string;
  params: unknown;
} {
  const place = { threadId: feed.threadId, turnId, itemId: msg.call_id, startedAtMs: startedAt };
  if (msg.type === "apply_patch_approval_request") {
    return {
      method: "item/fileChange/requestApproval",
      params: { ...place, reason: msg.reason ?? null, grantRoot: msg.grant_root ?? null },
    };
  }
  const amendment = msg.proposed_execpolicy_amendment ?? null;
  const params = {
    kind: "command",
    ...place,
    environmentId: "local",
    ...(msg.reason == null ? {} : { reason: msg.reason }),
    command: commandLine(msg.command),
    cwd: msg.cwd,
    commandActions: commandActions(msg),
    ...(amendment === null ? {} : { proposedExecpolicyAmendment: amendment }),
    availableDecisions: [
      "accept",
      ...(amendment === null
        ? ["acceptForSession"]
        : [{ acceptWithExecpolicyAmendment: { execpolicy_amendment: amendment } }]),
      "cancel",
    ],
  };
  return { method: "item/commandExecution/requestApproval", params };
}

const decisionSchema = z.object({
  decision: z.union([
    z.enum(["accept", "acceptForSession", "decline", "cancel"]),
    z.object({ acceptWithExecpolicyAmendment: z.object({ execpolicy_amendment: z.array(z.string()) }) }),
  ]),
});

const DECISIONS = {
  accept: "approved",
  acceptForSession: "approved_for_session",
  decline: "denied",
  cancel: "abort",
} as const;

/** What is no decision counts as declined. */
export function decisionOf(result: unknown): ReviewDecision {
  const read = decisionSchema.safeParse(result);
  if (!read.success) return "denied";
  const { decision } = read.data;
  if (typeof decision === "string") return DECISIONS[decision];
  const { execpolicy_amendment: amendment } = decision.acceptWithExecpolicyAmendment;
  return { approved_execpolicy_amendment: { proposed_execpolicy_amendment: amendment } };
}
