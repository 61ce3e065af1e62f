/** The ops that need no turn: settings, approvals, items, and listings. */

import { refusal, type Submission } from "../../machines/thread.machine.ts";
import { raceAbort } from "../kernel/cancellation.ts";
import { textOfThrown } from "../kernel/thrown.ts";
import { collaborationModeOf } from "../protocol/collaboration-mode.ts";
import type { ElicitationAnswer } from "../protocol/elicitation.ts";
import type { EventMsg } from "../protocol/event.ts";
import type { SubmissionId } from "../protocol/ids.ts";
import type {
  ExecApprovalOp,
  ListSkillsOp,
  Op,
  OverrideTurnContextOp,
  PatchApprovalOp,
  ResolveElicitationOp,
  UnknownOp,
  UserTurnOp,
} from "../protocol/op.ts";
import {
  isAbsolutePath,
  parseThreadConfig,
  type ResolvedThreadConfig,
  sandboxOfPolicy,
  sandboxOfProfile,
} from "../protocol/thread-config.ts";
import { injectItems } from "../turn/announcement.ts";
import type { Incarnation } from "./incarnation.ts";

export function answerOp(thread: Incarnation, { id, op }: Submission): void {
  switch (op.type) {
    case "interrupt":
      thread.terminals.interrupt();
      return;
    case "user_input":
      return;
    case "user_turn":
    case "override_turn_context":
      applySettings(thread, id, op);
      return;
    case "exec_approval":
    case "patch_approval":
      answerApproval(thread, id, op);
      return;
    case "user_input_answer":
      thread.questions.ofModel.answer(op.id, op.response);
      return;
    case "resolve_elicitation":
      thread.questions.ofServers.answer(String(op.request_id), answerOfUser(op));
      return;
    case "inject_items":
      injectItems(thread, id, op.items);
      return;
    case "refresh_mcp_servers":
      refreshMcpServers(thread, id, op.config.mcp_servers);
      return;
    case "list_custom_prompts":
      thread.publish(id, { type: "list_custom_prompts_response", custom_prompts: [] });
      return;
    // Nobody answers these.
    case "add_to_history":
    case "get_history_entry_request":
    case "undo":
    case "thread_message":
    // The machine takes these itself, where its state has a use for them.
    case "compact":
    case "list_mcp_tools":
    case "list_models":
    case "list_skills":
    case "review":
    case "run_user_shell_command":
    case "shutdown":
    case "thread_rollback":
      refuseUnsupported(thread, id, op);
      return;
    default:
      refuseUnsupported(thread, id, op satisfies UnknownOp);
  }
}

/** Only a form that is accepted has been filled in. */
const answerOfUser = ({ decision, content, meta }: ResolveElicitationOp): ElicitationAnswer => ({
  action: decision,
  ...(decision === "accept" && content != null && { content }),
  ...(meta != null && { meta }),
});

/** A known op that has no case above does not compile. */
const refuseUnsupported = (thread: Incarnation, id: SubmissionId, { type }: Op): void =>
  refuseOp(thread, id, `unsupported operation: ${type}`);

/** The answer to an op that lists something (see `QUESTIONS` in thread.machine.ts). */
export async function answerTo(thread: Incarnation, { op }: Submission, signal: AbortSignal): Promise<EventMsg> {
  if (op.type === "list_skills") return listSkills(thread, op);
  if (op.type === "list_models") {
    const models = await raceAbort(thread.env.listModels(thread.config.modelProvider), signal);
    return { type: "list_models_response", models };
  }
  // Connects the servers if no turn has yet. A server that fails is left out, and its own event says so.
  const answer = await raceAbort(thread.tools.mcp.list(thread.config.mcpServers), signal);
  return { type: "mcp_list_tools_response", ...answer };
}

/** The next turn runs with these servers. */
function refreshMcpServers(thread: Incarnation, id: SubmissionId, table: unknown): void {
  try {
    const { mcpServers = {} } = parseThreadConfig({ mcpServers: table });
    thread.session.configure({ ...thread.config, mcpServers });
  } catch (error) {
    refuseOp(thread, id, textOfThrown(error));
  }
}

/** The thread's own request, or else one of a sub-agent. An `abort` also interrupts the turn that asked. */
function answerApproval(thread: Incarnation, id: SubmissionId, op: ExecApprovalOp | PatchApprovalOp): void {
  const asked = thread.questions.approvals.answer(op.id, op.decision)
    ? thread
    : (thread.env.approvals.answerBelow(thread.threadId, op.id, op.decision) ?? thread);
  if (op.decision === "abort") asked.take({ type: "op.submit", id, op: { type: "interrupt" } });
}

function refuseOp(thread: Incarnation, id: SubmissionId, message: string): void {
  thread.publish(id, refusal(message));
}

/** Takes over the settings that an op gives; they stay. A setting that can't be is refused, and then none changes. */
export function applySettings(thread: Incarnation, id: SubmissionId, op: UserTurnOp | OverrideTurnContextOp): void {
  const cwd = op.cwd ?? thread.config.cwd;
  if (!isAbsolutePath(cwd)) {
    refuseOp(thread, id, `cwd is not absolute: ${cwd}`);
    return;
  }
  const before = thread.config;
  const mode = op.type === "override_turn_context" ? op.collaboration_mode : undefined;
  const effort = mode ? (mode.settings.reasoning_effort ?? null) : op.effort;
  const next: ResolvedThreadConfig = {
    ...before,
    cwd,
    ...sandboxGivenBy(op),
    approvalPolicy: op.approval_policy ?? before.approvalPolicy,
    model: mode?.settings.model ?? op.model ?? before.model,
    reasoningEffort: effort === undefined ? before.reasoningEffort : effort,
    collaborationMode: mode ? collaborationModeOf(mode) : before.collaborationMode,
    reasoningSummary: op.summary ?? before.reasoningSummary,
    serviceTier: op.type === "user_turn" || op.service_tier === undefined ? before.serviceTier : op.service_tier,
  };
  thread.session.configure(next);
}

function sandboxGivenBy(op: UserTurnOp | OverrideTurnContextOp): Partial<ResolvedThreadConfig> {
  if (op.type === "override_turn_context" && op.permission_profile) return sandboxOfProfile(op.permission_profile);
  return op.sandbox_policy ? sandboxOfPolicy(op.sandbox_policy) : {};
}

async function listSkills(thread: Incarnation, { cwds = [], force_reload }: ListSkillsOp): Promise<EventMsg> {
  const asked = cwds.length === 0 ? [thread.config.cwd] : cwds;
  const skills = await Promise.all(
    asked.map(async (cwd) => ({
      cwd,
      ...(await thread.env.skills.skillsFor(cwd, { forceReload: force_reload === true })),
    })),
  );
  return { type: "list_skills_response", skills };
}
