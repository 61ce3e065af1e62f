import { type AgentRule, statusUnder } from "../../../protocol/agent-status.ts";
import { newTurnId, type ThreadId } from "../../../protocol/ids.ts";
import type { UserInput } from "../../../protocol/user-input.ts";
import type { CallContext } from "../call-context.ts";
import { agentFailure } from "./agent-failure.ts";
import { previewOf } from "./agent-input.ts";
import { tellingOf } from "./collab-call.ts";

export type Sending = {
  readonly target: ThreadId;
  readonly input: UserInput[];
  /** Whether what the agent does now goes on, or ends first. */
  readonly running: "continues" | "is interrupted";
  readonly rule: AgentRule;
};

/** Gives an agent more input. The status that is told is the one from before it. */
export function sendInput(call: CallContext, { target, input, running, rule }: Sending): Promise<string> {
  const { agents, callId: call_id, threadId: sender_thread_id, signal } = call;
  const prompt = previewOf(input);
  const about = { call_id, sender_thread_id, receiver_thread_id: target, prompt };
  const facts = { tool: "send_input", receivers: [target], prompt };
  return tellingOf(call, { facts, begin: { type: "collab_agent_interaction_begin", ...about } }, async () => {
    let output: string;
    let status = await agents.statusOf(target);
    let hasFailed = false;
    try {
      if (running === "is interrupted") {
        await agents.interrupt(target, signal);
        status = await agents.statusOf(target);
      }
      const id = await agents.send(target, input, {
        rootTurn: call.rootTurnId,
        ...(rule === "0.169" && { id: newTurnId() }),
      });
      output = JSON.stringify({ submission_id: id });
    } catch (error) {
      signal.throwIfAborted();
      output = agentFailure(target, error);
      hasFailed = true;
    }
    const told = statusUnder(rule, status);
    return {
      states: { [target]: told },
      event: { type: "collab_agent_interaction_end", ...about, status: told },
      output,
      hasFailed,
    };
  });
}
