/** How a tool of an embedder's asks for the user's word: as the tools of the house do. */
import { isOpen } from "../process/sandbox/writable-area.ts";
import { ApprovalDeniedError } from "../protocol/errors.ts";
import type { ApprovalQuestion } from "../protocol/function-tool.ts";
import { plainApprovalOf, silentPolicyName } from "../protocol/policy.ts";
import { type CallContext, heed, Rejection } from "./tools/call-context.ts";

/** @throws ApprovalDeniedError; the reason of the turn's abort */
export async function askApproval(
  call: CallContext,
  name: string,
  { reason, command }: ApprovalQuestion = {},
  ask: CallContext["ask"] = (msg) => call.ask(msg),
): Promise<void> {
  const { config, consents, callId, turnId } = call;
  if (plainApprovalOf(config.approvalPolicy) === "never") {
    if (isOpen(config.sandboxPolicy)) return;
    throw new ApprovalDeniedError(
      `\`${name}\` was not run: it needs the user's approval, and the approval policy is ${silentPolicyName(config.approvalPolicy)}`,
    );
  }
  const shown = command ?? [name, call.raw];
  const action = JSON.stringify(["tool", name, shown]);
  if (consents.allows(action)) return;
  const decision = await ask({
    type: "exec_approval_request",
    call_id: callId,
    turn_id: turnId,
    command: [...shown],
    cwd: config.cwd,
    parsed_cmd: [{ type: "unknown", cmd: shown.join(" ") }],
    ...(reason === undefined ? {} : { reason }),
  });
  try {
    heed(decision, consents, action, `\`${name}\` was rejected by the user`);
  } catch (error) {
    throw error instanceof Rejection ? new ApprovalDeniedError(error.message) : error;
  }
}
