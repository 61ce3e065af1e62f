import type { AnyActorRef } from "xstate";
import { actorFace } from "../thread/actor-face.ts";

/**
 * The supervisor as orchestrators hold it. What they send is read first (supervisor-gate.ts), and never throws. Its
 * registry stays behind it: a snapshot tells how many threads there are, and gives none of them.
 */
export function supervisorFace(actor: AnyActorRef): AnyActorRef {
  const countsOf = () => actor.getSnapshot().context.registry.toJSON();
  return actorFace(
    actor,
    {
      send: (event: unknown) => actor.send(typeof event === "object" && event !== null ? event : { message: event }),
      getPersistedSnapshot: () => ({ status: "active", value: actor.getSnapshot().value, context: countsOf() }),
    },
    (snapshot) => ({ ...snapshot, context: snapshot.context.registry.toJSON() }),
  );
}
