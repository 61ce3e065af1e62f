import type { AnyActorLogic, AnyEventObject, Snapshot } from "xstate";
import type { ThreadEmitted, ThreadSignal } from "../../machines/thread.machine.ts";

/**
 * The same logic, with a short way for what a thread says: `event.publish` and `rollout.record` change no state, so they
 * are emitted without a macrostep of the machine, which would come to the same (measured: half the cost of a turn with
 * many deltas). In any other case, the machine decides.
 */
export function withSwiftSpeech<L extends AnyActorLogic>(
  logic: L,
  isOpen: (snapshot: Snapshot<unknown>) => boolean,
): L {
  const transition: L["transition"] = (snapshot, event: AnyEventObject, scope) => {
    const said = isOpen(snapshot) ? emissionOf(event as ThreadSignal | AnyEventObject) : undefined;
    if (said === undefined) return logic.transition(snapshot, event, scope);
    scope.emit(said as Parameters<typeof scope.emit>[0]);
    return snapshot;
  };
  return Object.create(logic, { transition: { value: transition } }) as L;
}

function emissionOf(event: ThreadSignal | AnyEventObject): ThreadEmitted | undefined {
  if (event.type === "event.publish") {
    const { id, msg, recorded } = event as Extract<ThreadSignal, { type: "event.publish" }>;
    return recorded ? { type: msg.type, id, msg, recorded } : { type: msg.type, id, msg };
  }
  if (event.type !== "rollout.record") return undefined;
  return { type: "rollout_item", item: (event as Extract<ThreadSignal, { type: "rollout.record" }>).item };
}
