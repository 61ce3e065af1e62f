import type { Incarnation } from "./incarnation.ts";
import { applySettings } from "./op-answers.ts";
import { told } from "./told.ts";

/** A life goes on with what earlier ones have left undone: as if the ops had come to it, in their order. */
export function takeUpWork(thread: Incarnation): void {
  const work = thread.intake.claimWork();
  if (work === undefined || thread.ended !== undefined) return;
  const { task, queue, held } = work;
  thread.intake.ledger.remember(task.id, () => task.id);
  for (const { submission, line, task: owner } of held) {
    thread.intake.ledger.restore(submission.id, line);
    if (submission.op.type === "user_turn") applySettings(thread, submission.id, submission.op);
    thread.intake.inbox.hold(submission, owner);
  }
  thread.touch();
  thread.actor.send(told({ type: "tasks.takeUp", task, queue: [...queue] }));
}
