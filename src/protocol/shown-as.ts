/**
 * What `JSON.stringify` and `console.log` show of an object in place of its insides, which hold what is nobody's to read:
 * keys, headers, the environment. Code that copies the object's fields by hand still has them.
 */

/** The method that `util.inspect` asks an object for. */
export const INSPECT: unique symbol = Symbol.for("nodejs.util.inspect.custom") as never;

/** Shows the summary for the object, in JSON as well. */
export function shownAs<T extends object>(target: T, summary: () => object): T {
  for (const name of ["toJSON", INSPECT]) hide(target, name, summary);
  return target;
}

/** Shows an actor by its id. From its parent, its logic and its system everything else could be reached; its JSON is XState's. */
export function shownById<T extends { readonly id: string; readonly sessionId: string }>(actor: T): T {
  hide(actor, INSPECT, idsOf);
  return actor;
}

function idsOf(this: { readonly id: string; readonly sessionId: string }): object {
  return { actor: this.id, sessionId: this.sessionId };
}

const hide = (target: object, name: string | symbol, value: unknown): void => {
  Object.defineProperty(target, name, { value, enumerable: false, configurable: true, writable: true });
};
