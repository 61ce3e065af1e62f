/**
 * An actor as outsiders see it: everything may be read and listened to, what is sent passes its owner first, and nothing
 * ends it. XState trusts every holder of a reference: `xstate.stop` sent to it, its `_parent`, its system would all do.
 */
import type { AnyActorRef } from "xstate";
import { shownById } from "../protocol/shown-as.ts";

const HIDDEN: ReadonlySet<PropertyKey> = new Set([
  "system",
  "mailbox",
  "options",
  "observers",
  "eventListeners",
  "ref",
]);

/** @param own what stands in place of the actor's members; `send` has to be among them */
export function actorFace(
  actor: AnyActorRef,
  own: Pick<AnyActorRef, "send"> & Readonly<Record<string, unknown>>,
): AnyActorRef {
  const members: Readonly<Record<PropertyKey, unknown>> = {
    start: () => face,
    stop: () => face,
    ...own,
  };
  // Inspection goes round the traps of a proxy, so the actor itself must not be what it is made of.
  const shown: AnyActorRef = shownById(Object.create(Object.getPrototypeOf(actor)));
  const face: AnyActorRef = new Proxy(shown, {
    get(_, name) {
      if (Object.hasOwn(members, name)) return members[name];
      if (name === "ref") return face;
      if (HIDDEN.has(name) || (typeof name === "string" && name.startsWith("_"))) return undefined;
      const value: unknown = Reflect.get(actor, name, actor);
      return typeof value === "function" ? value.bind(actor) : value;
    },
    set: () => false,
    defineProperty: () => false,
    deleteProperty: () => false,
    setPrototypeOf: () => false,
    getOwnPropertyDescriptor: () => undefined,
    ownKeys: () => [],
    has: (_, name) => !HIDDEN.has(name) && !String(name).startsWith("_") && Reflect.has(actor, name),
  });
  return face;
}
