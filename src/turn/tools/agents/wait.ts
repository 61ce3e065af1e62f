import { type AgentRule, statusUnder } from "../../../protocol/agent-status.ts";
import { InvalidRequestError } from "../../../protocol/errors.ts";
import type { ThreadId } from "../../../protocol/ids.ts";
import type { CallContext } from "../call-context.ts";
import { agentFailure } from "./agent-failure.ts";
import { agentIdOf } from "./agent-input.ts";
import { type AgentStates, tellingOf } from "./collab-call.ts";

export type Waiting = {
  readonly targets: readonly string[];
  readonly timeoutMs: number;
  /** What the wait is cut down or stretched to. */
  readonly bounds: { readonly leastMs: number; readonly mostMs: number };
  /** What the model is told when it names nobody. */
  readonly nobody: string;
  readonly rule: AgentRule;
};

/** Waits for the first of the agents to be done. @throws InvalidRequestError before anything is told */
export async function waitForAgents(call: CallContext, waiting: Waiting): Promise<string> {
  const { timeoutMs, bounds, nobody, rule } = waiting;
  if (waiting.targets.length === 0) throw new InvalidRequestError(nobody);
  const targets = [...new Set(waiting.targets.map(agentIdOf))];
  if (timeoutMs <= 0) throw new InvalidRequestError("timeout_ms must be greater than zero");
  const deadlineMs = Math.min(bounds.mostMs, Math.max(bounds.leastMs, timeoutMs));
  const { agents, callId: call_id, threadId: sender_thread_id, signal } = call;
  const about = { call_id, sender_thread_id };
  const begin = { type: "collab_waiting_begin", ...about, receiver_thread_ids: targets } as const;
  return tellingOf(call, { facts: { tool: "wait", receivers: targets }, begin }, async () => {
    try {
      const found = await agents.waitFor(targets, { deadlineMs, rule, signal });
      const states = statesUnder(rule, found);
      const output = JSON.stringify({ status: states, timed_out: Object.keys(states).length === 0 });
      return { states, event: { type: "collab_waiting_end", ...about, statuses: states }, output };
    } catch (error) {
      signal.throwIfAborted();
      const [first] = targets;
      const output = first === undefined ? nobody : agentFailure(first, error);
      return { states: {}, event: { type: "collab_waiting_end", ...about, statuses: {} }, output, hasFailed: true };
    }
  });
}

const statesUnder = (rule: AgentRule, states: AgentStates): Record<ThreadId, AgentStates[ThreadId]> =>
  Object.fromEntries(Object.entries(states).map(([id, status]) => [id, statusUnder(rule, status)]));
