/** How urgent the turns of a thread are beside others'. */
import type { Rank, Standing } from "../kernel/ranked-slots.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { Priority } from "../protocol/thread-config.ts";
import type { Registry } from "./registry.ts";

const USUAL: Rank = 3;

const rankOf = (priority: Priority): Rank =>
  priority === "interactive" ? 1 : priority === "background" ? 5 : priority;

/** An agent is as urgent as the least urgent thread above it, itself included. */
export function standingOf(registry: Registry, threadId: ThreadId): Standing {
  let rank: Rank | undefined;
  for (let at: ThreadId | undefined = threadId; at !== undefined; at = registry.kin.parentOf(at)) {
    const { priority } = registry.configOf(at) ?? {};
    if (priority !== undefined) rank = Math.max(rank ?? 1, rankOf(priority)) as Rank;
  }
  return { rank: rank ?? USUAL, tree: registry.kin.rootOf(threadId) };
}
