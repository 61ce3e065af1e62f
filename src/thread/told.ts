/**
 * What the runtime tells a thread of the built-in logic, and nobody else can: such an event is known by the object itself,
 * which this module alone makes. So it is with all signals, whoever sends them: the actor's holders, its children, theirs.
 */
import type { AnyActorRef, AnyEventObject, AnyStateMachine } from "xstate";
import type { ThreadMachineEvent } from "../../machines/thread.machine.ts";

/** What any thread is told by the runtime alone; own logics hear some of it. */
const SIGNALS: ReadonlySet<string> = new Set<ThreadMachineEvent["type"]>([
  "session.configure",
  "boot.failed",
  "event.publish",
  "rollout.record",
  "turn.ending",
  "task.begun",
  "tasks.takeUp",
]);

export const isSignal = (type: string): boolean => SIGNALS.has(type);

class Told {
  readonly #byRuntime = true;

  static isOne(event: object): boolean {
    return #byRuntime in event;
  }
}

/** The signal, as one that is heard. */
export const told = <S extends ThreadMachineEvent>(signal: S): S => Object.assign(new Told(), signal);

/** XState's own word for a child's end, which anybody may send: the child itself is asked whether it is true. */
const EXIT = /^xstate\.(?:done|error)\.actor\.(.+)$/;

function isForged(
  { children }: { children: Readonly<Record<string, AnyActorRef | undefined>> },
  type: string,
): boolean {
  const [, child] = EXIT.exec(type) ?? [];
  return child !== undefined && children[child]?.getSnapshot().status === "active";
}

/** The same machine, deaf to signals that the runtime has not made. */
export function deafToForgeries<M extends AnyStateMachine>(machine: M): M {
  const { transition } = machine;
  const guarded: M["transition"] = (snapshot, event: AnyEventObject, scope) => {
    const { type } = event;
    const isRefused = SIGNALS.has(type) ? !Told.isOne(event) : type.startsWith("xstate.") && isForged(snapshot, type);
    return isRefused ? snapshot : transition(snapshot, event, scope);
  };
  return Object.assign(machine, { transition: guarded });
}
