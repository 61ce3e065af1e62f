import type { AnyActorRef } from "xstate";
import { actorFace } from "../thread/actor-face.ts";

type Snapshot = ReturnType<AnyActorRef["getSnapshot"]>;
type Observer = { next?: (snapshot: Snapshot) => void; error?: (error: unknown) => void; complete?: () => void };

/**
 * The supervisor as orchestrators hold it. What they send is read first (supervisor-gate.ts), and never throws. Its
 * registry stays behind it: a snapshot tells how many threads there are, and gives none of them.
 */
export function supervisorFace(actor: AnyActorRef): AnyActorRef {
  const shown = (snapshot: Snapshot): Snapshot => ({ ...snapshot, context: snapshot.context.registry.toJSON() });
  const getSnapshot = () => shown(actor.getSnapshot());
  const subscribe = (next: Observer | ((snapshot: Snapshot) => void), error?: Observer["error"]) => {
    const observer: Observer = typeof next === "function" ? { next, ...(error === undefined ? {} : { error }) } : next;
    return actor.subscribe({
      next: (snapshot: Snapshot) => observer.next?.(shown(snapshot)),
      error: (problem: unknown) => observer.error?.(problem),
      complete: () => observer.complete?.(),
    });
  };
  return actorFace(actor, {
    send: (event: unknown) => actor.send(typeof event === "object" && event !== null ? event : { message: event }),
    getSnapshot,
    subscribe,
    select: actor.select.bind({ ...actor, getSnapshot, subscribe }),
    getPersistedSnapshot: () => ({ status: "active", value: getSnapshot().value, context: getSnapshot().context }),
  });
}
