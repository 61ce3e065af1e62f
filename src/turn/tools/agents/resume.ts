import { statusUnder } from "../../../protocol/agent-status.ts";
import { InvalidRequestError } from "../../../protocol/errors.ts";
import type { ThreadId } from "../../../protocol/ids.ts";
import type { AgentTerms } from "../../agents.ts";
import type { CallContext } from "../call-context.ts";
import { agentFailure, DEPTH_REACHED } from "./agent-failure.ts";
import { tellingOf } from "./collab-call.ts";

/** Opens an agent that was closed, or was left by an earlier process. One that is open stays as it is. */
export async function resumeAgent(
  call: CallContext,
  { target, terms }: { readonly target: ThreadId; readonly terms: AgentTerms },
): Promise<string> {
  const { agents, callId: call_id, threadId: sender_thread_id, config, signal } = call;
  if (agents.depthOf(sender_thread_id) >= terms.maxDepth) throw new InvalidRequestError(DEPTH_REACHED);
  const about = { call_id, sender_thread_id, receiver_thread_id: target };
  const facts = { tool: "resume_agent", receivers: [target] };
  return tellingOf(call, { facts, begin: { type: "collab_resume_begin", ...about } }, async () => {
    let failure: string | undefined;
    try {
      if ((await agents.statusOf(target)) === "not_found") {
        await agents.resume(target, { parent: sender_thread_id, config, terms, signal });
      }
    } catch (error) {
      signal.throwIfAborted();
      failure = agentFailure(target, error);
    }
    const status = statusUnder("0.169", await agents.statusOf(target));
    return {
      states: { [target]: status },
      event: { type: "collab_resume_end", ...about, status },
      output: failure ?? JSON.stringify({ status }),
      hasFailed: failure !== undefined,
    };
  });
}
