/**
 * An actor as outsiders see it: everything may be read and listened to, what is sent passes its owner first, and nothing
 * ends it. XState trusts every holder of a reference: `xstate.stop` sent to it, its `_parent`, its system would all do.
 */
import type { AnyActorRef } from "xstate";

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
  const face: AnyActorRef = new Proxy(actor, {
    get(target, name) {
      if (Object.hasOwn(members, name)) return members[name];
      if (name === "ref") return face;
      if (HIDDEN.has(name) || (typeof name === "string" && name.startsWith("_"))) return undefined;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
    set: () => false,
    defineProperty: () => false,
    deleteProperty: () => false,
    setPrototypeOf: () => false,
    getOwnPropertyDescriptor: () => undefined,
    ownKeys: () => [],
    has: (target, name) => !HIDDEN.has(name) && !String(name).startsWith("_") && Reflect.has(target, name),
  });
  return face;
}
