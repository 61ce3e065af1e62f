import type { Clock } from "../kernel/clock.ts";
import { memoryStore } from "../store/memory-store.ts";
import type { ThreadStore } from "../store/thread-store.ts";
import type { SkeinLogger } from "../thread/thread-env.ts";

/** The store of a manager that was given none. */
export function defaultStore({ clock }: { home: string; clock: Clock; logger: SkeinLogger }): ThreadStore {
  return memoryStore({ clock });
}
