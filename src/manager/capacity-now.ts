/** What there is room for, as it is at this moment: read without a lock, and without waiting for any thread. */
import type { RankedSlots } from "../kernel/ranked-slots.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { Budgets } from "./budgets.ts";
import type { Capacity, Share, ThreadCapacity } from "./capacity.ts";
import type { Limits } from "./options.ts";
import type { Registry } from "./registry.ts";
import type { Rooms } from "./rooms.ts";

/** Where the numbers come from. */
type Parts = {
  readonly registry: Registry;
  readonly rooms: Rooms;
  readonly turnSlots: RankedSlots;
  readonly setup: { readonly limits: Limits };
};
type PartsOfThread = Parts & { readonly budgets: Budgets };

/** What is in use beyond a bound that was lowered, or that does not bind what came from elsewhere, leaves nothing free. */
const share = (used: number, max: number): Share => ({ used, free: Math.max(0, max - used), max });

export function capacityOf({ registry, rooms, turnSlots, setup }: Parts): Capacity {
  const rate = registry.spawnRate;
  return {
    residentThreads: share(rooms.used, setup.limits.residentThreads),
    runningTurns: { ...share(turnSlots.inUse, turnSlots.limit), waiting: turnSlots.waiting },
    spawnRate:
      rate === undefined
        ? null
        : { ...share(rate.used, rate.rate.count), periodMs: rate.rate.periodMs, retryAfterMs: rate.retryAfterMs },
    unloadedThreads: registry.unloadedCount,
  };
}

export function capacityAt(runtime: PartsOfThread, threadId: ThreadId): ThreadCapacity {
  const { depth, childrenPerParent, treeSize } = runtime.setup.limits;
  const used = runtime.registry.kin.roomUnder(threadId);
  return {
    ...capacityOf(runtime),
    depth: share(used.depth, depth),
    childrenPerParent: share(used.children, childrenPerParent),
    treeSize: share(used.tree, treeSize),
    priority: runtime.turnSlots.rankOf(threadId),
    placeInQueue: runtime.turnSlots.ahead(threadId) ?? null,
    budget: runtime.budgets.peek(threadId) ?? null,
  };
}
