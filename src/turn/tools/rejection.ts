import type { ReviewDecision } from "../../protocol/policy.ts";
import type { Consents } from "../consents.ts";

/** The user said no. The message is the call's output. */
export class Rejection extends Error {}

/** Remembers what a decision allows from now on; `action` is what was asked about. @throws Rejection */
export function heed(decision: ReviewDecision, consents: Consents, action: string, refusal: string): void {
  if (decision === "denied" || decision === "abort") throw new Rejection(refusal);
  if (decision === "approved_for_session") consents.allow(action);
  else if (decision !== "approved") {
    consents.allowPrefix(decision.approved_execpolicy_amendment.proposed_execpolicy_amendment);
  }
}
