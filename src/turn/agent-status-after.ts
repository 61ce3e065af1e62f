import type { AgentRule, AgentStatus } from "../protocol/agent-status.ts";
import type { EventMsg } from "../protocol/event.ts";

/**
 * The status after one emitted event. An error is followed by task_complete, so a failed turn ends as `completed: null`.
 *
 * @param rule `0.169` tells an interrupt as `interrupted`, which is not final; `0.80` as an error, which is.
 */
export function agentStatusAfter(previous: AgentStatus, msg: EventMsg, rule: AgentRule = "0.80"): AgentStatus {
  switch (msg.type) {
    case "task_started":
    case "turn_resumed":
      return "running";
    case "task_complete":
      return { completed: msg.last_agent_message ?? null };
    case "turn_aborted":
      if (rule === "0.169" && msg.reason === "interrupted") return "interrupted";
      return { errored: pascalCase(msg.reason) };
    case "error":
      return { errored: msg.message };
    case "shutdown_complete":
      return "shutdown";
    default:
      return previous;
  }
}

const pascalCase = (snake: string): string =>
  snake
    .split("_")
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join("");
