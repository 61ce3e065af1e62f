/** The making of threads, for those who watch (docs/observing.md), and which manager a watched thing is of. */
import { type TracedWork, Tracing } from "../kernel/traced-work.ts";
import type { ThreadId } from "../protocol/ids.ts";

/** A thread comes into memory: place, lease, first event. */
export type SpawnTrace = TracedWork & {
  readonly threadId: ThreadId;
  /** `create`: it is new, or a fork; else it was stored: `load`, after a crash (`restart`), or to be given away (`remove`). */
  readonly purpose: "create" | "load" | "restart" | "remove";
  /** The thread whose agent it is. */
  readonly parentThreadId: ThreadId | undefined;
  readonly role: string | undefined;
  readonly nickname: string | undefined;
  readonly model: string;
  readonly provider: string;
  /** Set when its rollout is open. */
  origin?: "new" | "resumed" | "forked";
  forkedFrom?: ThreadId;
  epoch?: number;
};

export const spawnTracing = new Tracing<SpawnTrace>("skein:spawn");

const scopes = new WeakMap<object, object>();

/** From now on the manager is known by this object. */
export const bindScope = (manager: object, scope: object): void => void scopes.set(manager, scope);

/** The object that stands for a manager in what is watched; undefined for what is no manager. */
export const scopeOf = (manager: object): object | undefined => scopes.get(manager);
