/** What an agent does (SPEC 14.2). `interrupted` comes from versions newer than 0.87 only. */
export type AgentStatus =
  | "pending_init"
  | "running"
  | "interrupted"
  | { completed: string | null }
  | { errored: string }
  | "shutdown"
  | "not_found";

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

/** A thread that was ended in the middle of something is there no more, whatever it last said. */
export const lastStatusOf = ({
  outcome,
  isClosed,
}: {
  readonly outcome: AgentStatus;
  readonly isClosed: boolean;
}): AgentStatus => (isClosed && !isFinalStatus(outcome) ? "not_found" : outcome);
