/** What stores that have no files answer where a caller speaks of them. */
import { RolloutNotFoundError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { ThreadLocator } from "./thread-store.ts";

/** @throws RolloutNotFoundError for the path of a file */
export function threadIdOf(locator: ThreadLocator): ThreadId {
  if (typeof locator === "string") return locator;
  throw new RolloutNotFoundError(
    `no rollout found at ${locator.rolloutPath}: this store has no files; name the thread`,
  );
}
