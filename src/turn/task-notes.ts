import type { TaskItem } from "../protocol/rollout.ts";
import type { TurnHost } from "./turn-host.ts";
import type { TurnRun } from "./turn-run.ts";

/** Stores what a later life has to know of the turn to go on with it, where that is wanted. */
export function noteTask(
  host: Pick<TurnHost, "threadId" | "record">,
  run: TurnRun,
  facts: Omit<TaskItem, "thread_id" | "turn_id">,
): void {
  if (run.config.recovery !== "continue") return;
  host.record({ type: "task", payload: { thread_id: host.threadId, turn_id: run.turnId, ...facts } });
}

/** That the turn has begun. What it is to do is said where the history does not say it. */
export function noteBegun(host: TurnHost, run: TurnRun): void {
  const op = host.intake.inbox.startOf(run.id)?.op;
  const schema = op !== undefined && "final_output_json_schema" in op ? op.final_output_json_schema : undefined;
  noteTask(host, run, {
    id: run.id,
    kind: run.kind,
    ...(run.kind === "review" && { op }),
    ...(schema != null && { output_schema: schema }),
  });
}
