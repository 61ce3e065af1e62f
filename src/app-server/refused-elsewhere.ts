/** What a server over a cluster does not serve: it would take the process that has the thread. */
import { InvalidRequestError } from "../protocol/errors.ts";

const TERMINALS = "background commands belong to the worker that runs the thread, and end with its turn's invocation";

/** Why, by method or by what it begins with. */
export const REFUSED_ELSEWHERE: Readonly<Record<string, string>> = {
  "skein/": "the live view shows a manager of the server's own process; look at the workers and at the engine's page",
  "thread/backgroundTerminals/clean": TERMINALS,
  "thread/backgroundTerminals/list": TERMINALS,
  "thread/backgroundTerminals/terminate": TERMINALS,
  "thread/goal/set": "the model ends a goal by a tool of the server's own process, which workers do not have",
};

export function refusedElsewhere(method: string): InvalidRequestError | undefined {
  const names = [method, method.slice(0, method.indexOf("/") + 1)];
  const name = names.find((one) => Object.hasOwn(REFUSED_ELSEWHERE, one));
  const why = name === undefined ? undefined : REFUSED_ELSEWHERE[name];
  return why === undefined ? undefined : new InvalidRequestError(`${method} is not served over a cluster: ${why}`);
}
