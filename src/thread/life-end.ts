import type { ThreadTag } from "../../machines/thread.machine.ts";
import type { TaskStartedEvent, TurnAbortedEvent } from "../protocol/event.ts";

/**
 * Why an incarnation ended. `killed`: by force. `lost`: nothing of it can be stored any more. `refused`: it never came to be.
 * `moved`: another manager goes on with it.
 */
export type EndReason = "closed" | "crashed" | "unloaded" | "killed" | "lost" | "refused" | "moved";

/** How an incarnation ended; `error` is what it crashed of, or what made its end necessary. */
export type LifeEnd = { readonly reason: EndReason; readonly epoch: number; readonly error?: unknown };

/** What a thread does, as its state tells; `gone` when it has ended. */
export type Activity = Exclude<ThreadTag, "takesInput"> | "starting" | "gone";

/** The end of a turn that was not to go on, stamped as it began. */
export const interruptionOf = ({ turn_id, root_turn_id, started_at }: TaskStartedEvent): TurnAbortedEvent => ({
  type: "turn_aborted",
  reason: "interrupted",
  turn_id,
  ...(root_turn_id && { root_turn_id }),
  ...(started_at && { started_at }),
});
