/** What a connection that may only look can call. The server decides it, whatever the client shows. */
import type { Access } from "./wire.ts";

const LOOKING: ReadonlySet<string> = new Set([
  "initialize",
  "thread/list",
  "thread/loaded/list",
  "thread/read",
  "thread/turns/list",
  "thread/items/list",
  "thread/items/read",
  "thread/timeline/list",
  "thread/search",
  "thread/searchOccurrences",
  "skein/acting/begin",
  "skein/approvals/unwatch",
  "skein/approvals/watch",
  "skein/capacity/read",
  "skein/info/read",
  "skein/machines/read",
  "skein/metrics/read",
  "skein/metrics/unwatch",
  "skein/metrics/watch",
  "skein/rollout/read",
  "skein/thread/events/read",
  "skein/thread/figures/read",
  "skein/thread/machine/unwatch",
  "skein/thread/machine/watch",
  "skein/thread/standing/read",
  "skein/thread/unwatch",
  "skein/thread/watch",
  "skein/timeline/read",
  "skein/tree/read",
  "skein/tree/unwatch",
  "skein/tree/watch",
]);

export const mayCall = (access: Access, method: string): boolean => access === "act" || LOOKING.has(method);

export const WHY_NOT: Readonly<Record<Exclude<Access, "act">, string>> = {
  ask: "this connection only looks until it asks to act: call skein/acting/begin",
  look: "this connection may only look: the server was started read-only",
};
