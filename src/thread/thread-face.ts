import type { AnyActorRef } from "xstate";
import { InvalidRequestError } from "../protocol/errors.ts";
import { isTagged } from "../protocol/unknown-kind.ts";
import { actorFace } from "./actor-face.ts";
import { isSignal } from "./told.ts";

const faces = new WeakMap<AnyActorRef, AnyActorRef>();

/**
 * A thread's actor as its holders see it. It takes `op.submit`, and whatever else its logic listens to.
 * @param hides the built-in logic's turns are nobody's to signal; an own logic's children are its embedder's
 * @throws InvalidRequestError from `send`, for everything else
 */
export function threadFace(actor: AnyActorRef, hides: "children" | "nothing"): AnyActorRef {
  const known = faces.get(actor);
  if (known !== undefined) return known;
  const send = (event: unknown) => {
    if (!isTagged(event) || !isHeard(actor, event.type)) {
      const type = isTagged(event) ? `\`${event.type}\`` : "message without a `type`";
      throw new InvalidRequestError(`thread ${actor.id} takes no ${type} from outside; give it ops with \`submit\``);
    }
    actor.send(event);
  };
  const face = actorFace(actor, { send }, (snapshot) =>
    hides === "nothing" ? snapshot : { ...snapshot, children: {} },
  );
  faces.set(actor, face);
  return face;
}

/** A machine remembers every type of event that it meets, so it is to meet those alone that it knows. */
function isHeard({ logic }: AnyActorRef & { readonly logic?: unknown }, type: string): boolean {
  if (isSignal(type) || type.startsWith("xstate.")) return false;
  const events: unknown = (logic as { events?: unknown } | undefined)?.events;
  return !Array.isArray(events) || events.includes(type) || events.includes("*");
}
