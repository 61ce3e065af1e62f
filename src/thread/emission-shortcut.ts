import type { AnyEventObject, AnyStateMachine } from "xstate";
import type { ThreadEmitted, ThreadSignal } from "../../machines/thread.machine.ts";

/** What XState itself sends to a machine without being asked. */
const LIFECYCLE = ["xstate.init", "xstate.stop"];

/**
 * The same machine, which emits what a thread says without a macrostep: `event.publish` and `rollout.record` change no
 * state in an open thread, and that halves the cost of a turn with many deltas. `test/machines/thread.machine.test.ts`
 * shows that both ways emit the same. What the machine does not know never reaches it: XState remembers for ever what it
 * does with each type of event that it has met.
 */
export function withEmissionShortcut<M extends AnyStateMachine>(machine: M): M {
  const { transition, provide } = machine;
  const known: ReadonlySet<string> = new Set([...machine.events, ...LIFECYCLE]);
  const short: M["transition"] = (snapshot, event: AnyEventObject, scope) => {
    if (isOpen(snapshot)) {
      const said = emissionOf(event as ThreadSignal);
      if (said !== undefined) {
        scope.emit(said as Parameters<typeof scope.emit>[0]);
        return snapshot;
      }
    }
    return known.has(event.type) ? transition(snapshot, event, scope) : snapshot;
  };
  return Object.assign(machine, {
    transition: short,
    provide: (implementations: Parameters<M["provide"]>[0]) =>
      withEmissionShortcut(provide.call(machine, implementations)),
  });
}

/** Of the machine's states, only those under `open` are compound. */
const isOpen = (snapshot: { value: unknown; status: string }): boolean =>
  snapshot.status === "active" && typeof snapshot.value === "object";

function emissionOf(event: ThreadSignal): ThreadEmitted | undefined {
  if (event.type === "event.publish") {
    const { id, msg, recorded } = event;
    return recorded ? { type: msg.type, id, msg, recorded } : { type: msg.type, id, msg };
  }
  return event.type === "rollout.record" ? { type: "rollout_item", item: event.item } : undefined;
}
