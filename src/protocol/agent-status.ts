import type { EventMsg } from "./event.ts";

/** What an agent does (SPEC 14.2). `interrupted` comes from versions newer than 0.87 only. */
export type AgentStatus =
  | "pending_init"
  | "running"
  | "interrupted"
  | { completed: string | null }
  | { errored: string }
  | "shutdown"
  | "not_found";

/**
 * The status after one emitted event. An error is followed by task_complete, so a failed turn ends as `completed: null`.
 *
 * @param rule `0.169` tells an interrupt as `interrupted`, which is not final; `0.80` as an error, which is.
 */
export function agentStatusAfter(previous: AgentStatus, msg: EventMsg, rule: AgentRule = "0.80"): AgentStatus {
  switch (msg.type) {
    case "task_started":
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

const INTERRUPTED = "Interrupted";

/** Whether an agent in this status has done what it was asked, or never will. */
export const isFinalStatus = (status: AgentStatus): boolean =>
  status !== "pending_init" && status !== "running" && status !== "interrupted";

/** Which version's statuses are meant: 0.169 does not take an interrupt for an end, as it may be followed by more input. */
export type AgentRule = "0.80" | "0.169";

/** A status of the older rule as another one tells it. */
export const statusUnder = (rule: AgentRule, status: AgentStatus): AgentStatus =>
  rule === "0.169" && typeof status === "object" && "errored" in status && status.errored === INTERRUPTED
    ? "interrupted"
    : status;

const pascalCase = (snake: string): string =>
  snake
    .split("_")
    .map((word) => word.charAt(0).toUpperCase() + word.slice(1))
    .join("");
