import { type AgentRule, type AgentStatus, statusUnder } from "../../../protocol/agent-status.ts";
import type { ThreadId } from "../../../protocol/ids.ts";
import type { CallContext } from "../call-context.ts";
import { agentFailure } from "./agent-failure.ts";
import { tellingOf } from "./collab-call.ts";

export type Closing = {
  readonly target: ThreadId;
  readonly rule: AgentRule;
  readonly outputOf: (before: AgentStatus) => unknown;
};

/** Ends an agent and those under it; tells what it had come to. */
export function closeAgent(call: CallContext, { target, rule, outputOf }: Closing): Promise<string> {
  const { agents, callId: call_id, threadId: sender_thread_id, signal } = call;
  const about = { call_id, sender_thread_id, receiver_thread_id: target };
  const facts = { tool: "close_agent", receivers: [target] };
  return tellingOf(call, { facts, begin: { type: "collab_close_begin", ...about } }, async () => {
    const status = statusUnder(rule, await agents.statusOf(target));
    const end = { states: { [target]: status }, event: { type: "collab_close_end", ...about, status } } as const;
    try {
      await agents.close(target, signal);
      return { ...end, output: JSON.stringify(outputOf(status)) };
    } catch (error) {
      signal.throwIfAborted();
      return { ...end, output: agentFailure(target, error), hasFailed: true };
    }
  });
}
