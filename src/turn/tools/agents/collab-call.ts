/** One call of a tool for agents as it is told: an item that begins and ends, and the older events beside it. */
import type { AgentStatus } from "../../../protocol/agent-status.ts";
import type { ThreadId } from "../../../protocol/ids.ts";
import type { CollabEventMsg } from "../../../protocol/tool-events.ts";
import type { CollabAgentToolCallTurnItem } from "../../../protocol/turn-item.ts";
import type { CallContext } from "../call-context.ts";

export type CollabFacts = {
  readonly tool: CollabAgentToolCallTurnItem["tool"];
  readonly receivers: readonly ThreadId[];
  readonly prompt?: string;
  readonly model?: string;
  readonly reasoningEffort?: string;
};

export type AgentStates = Readonly<Record<ThreadId, AgentStatus>>;

/** What the work came to: the statuses that are told, the older event, and the model's output. */
export type CollabEnd = {
  readonly states: AgentStates;
  readonly event: CollabEventMsg;
  readonly output: string;
  readonly facts?: Partial<CollabFacts>;
  /** Whether it failed for a reason that no status tells. */
  readonly hasFailed?: boolean;
};

/** Tells of the call, does the work and tells how it ended; also when the turn is interrupted meanwhile. */
export async function tellingOf(
  call: CallContext,
  { facts, begin }: { readonly facts: CollabFacts; readonly begin: CollabEventMsg },
  work: () => Promise<CollabEnd>,
): Promise<string> {
  call.startItem(itemOf(call, facts, { status: "in_progress", states: {} }));
  call.publish(begin);
  let end: CollabEnd;
  try {
    end = await work();
  } catch (error) {
    call.completeItem(itemOf(call, facts, { status: "failed", states: {} }));
    throw error;
  }
  const status = end.hasFailed || Object.values(end.states).some(isFailure) ? "failed" : "completed";
  call.completeItem(itemOf(call, { ...facts, ...end.facts }, { status, states: end.states }));
  call.publish(end.event);
  return end.output;
}

const isFailure = (status: AgentStatus): boolean =>
  status === "not_found" || (typeof status === "object" && "errored" in status);

function itemOf(
  call: CallContext,
  { tool, receivers, prompt, model, reasoningEffort }: CollabFacts,
  { status, states }: { readonly status: string; readonly states: AgentStates },
): CollabAgentToolCallTurnItem {
  return {
    type: "CollabAgentToolCall",
    id: call.callId,
    tool,
    status,
    sender_thread_id: call.threadId,
    receiver_thread_ids: [...receivers],
    receiver_agents: receivers.map((id) => ({ thread_id: id, agent_nickname: call.agents.nicknameOf(id) })),
    ...(prompt === undefined ? {} : { prompt }),
    ...(model === undefined ? {} : { model }),
    ...(reasoningEffort === undefined ? {} : { reasoning_effort: reasoningEffort }),
    agents_states: { ...states },
  };
}
