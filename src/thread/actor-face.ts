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

type Snapshot = ReturnType<AnyActorRef["getSnapshot"]>;
type Observer = { next?: (snapshot: Snapshot) => void; error?: (error: unknown) => void; complete?: () => void };

/** The members that give snapshots, of which each is `shown` to outsiders. */
function snapshotsOf(actor: AnyActorRef, shown: (snapshot: Snapshot) => Snapshot) {
  const getSnapshot = () => shown(actor.getSnapshot());
  const subscribe = (next: Observer | ((snapshot: Snapshot) => void), error?: Observer["error"]) => {
    const observer: Observer = typeof next === "function" ? { next, ...(error === undefined ? {} : { error }) } : next;
    return actor.subscribe({
      next: (snapshot: Snapshot) => observer.next?.(shown(snapshot)),
      error: (problem: unknown) => observer.error?.(problem),
      complete: () => observer.complete?.(),
    });
  };
  return { getSnapshot, subscribe, select: actor.select.bind({ ...actor, getSnapshot, subscribe }) };
}

/**
 * @param own what stands in place of the actor's members; `send` has to be among them
 * @param shown what outsiders see of a snapshot; an actor that it holds would lead to this one
 */
export function actorFace(
  actor: AnyActorRef,
  own: Pick<AnyActorRef, "send"> & Readonly<Record<string, unknown>>,
  shown: (snapshot: Snapshot) => Snapshot,
): AnyActorRef {
  const members: Readonly<Record<PropertyKey, unknown>> = {
    ...snapshotsOf(actor, shown),
    start: () => face,
    stop: () => face,
    ...own,
  };
  // Inspection goes round the traps of a proxy, so the actor itself must not be what it is made of.
  const outside: AnyActorRef = shownById(Object.create(Object.getPrototypeOf(actor)));
  const face: AnyActorRef = new Proxy(outside, {
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
