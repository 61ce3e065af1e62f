import type { AnyActorLogic, AnyEventObject } from "xstate";

/**
 * The same logic, which lets go of what it holds when it fails: timers of a callback, children of a machine. XState tells a
 * logic `xstate.stop` when its actor is stopped, and nothing when it has thrown.
 */
export function withCleanup<L extends AnyActorLogic>(logic: L): L {
  const cleanUp: L["transition"] = (snapshot, _event, scope) => {
    try {
      logic.transition(snapshot, { type: "xstate.stop" } as AnyEventObject, scope);
    } catch {
      // It has failed already, and that is what is told.
    }
  };
  const transition: L["transition"] = (snapshot, event: AnyEventObject, scope) => {
    try {
      const next = logic.transition(snapshot, event, scope);
      if ((next as { status?: unknown }).status === "error") cleanUp(next, event, scope);
      return next;
    } catch (error) {
      cleanUp(snapshot, event, scope);
      throw error;
    }
  };
  return Object.create(logic, { transition: { value: transition } }) as L;
}
