import type { Clock } from "../kernel/clock.ts";
import type { SkeinLogger } from "../kernel/log.ts";
import { fileStore } from "../store/file-store.ts";
import type { ThreadStore } from "../store/thread-store.ts";

/** The store of a manager that was given none: rollouts under the home folder. Nothing is made before it is needed. */
export function defaultStore(options: { home: string; clock: Clock; logger: SkeinLogger }): ThreadStore {
  return fileStore(options);
}
