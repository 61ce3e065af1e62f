/** How a thread stands with whoever supervises and holds it. Read of what is there: nothing is loaded, taken or written. */
import type { ThreadManager } from "../../manager/thread-manager.ts";
import type { ThreadId } from "../../protocol/ids.ts";
import { ifStored } from "../../store/is-stored.ts";
import { lifeLookedAt } from "../../thread/looked-at.ts";
import type { ThreadStanding } from "./wire.ts";

/** @throws StoreIoError and what else a store fails by: a thread that cannot be read is not one that is not stored */
export async function standingOf(manager: ThreadManager, threadId: ThreadId, now: number): Promise<ThreadStanding> {
  const { store } = manager;
  // An ephemeral thread is in memory alone.
  const stored = await ifStored(store.get(threadId));
  const holder = stored === undefined ? null : await store.holderOf?.(threadId);
  const thread = manager.loadedThread(threadId);
  const life = thread === undefined ? undefined : lifeLookedAt(thread);
  const { priority, placeInQueue, depth, budget } = manager.capacity(threadId);
  return {
    restarts: manager.restartsOf(threadId),
    epoch: thread?.epoch ?? null,
    isHere: thread !== undefined,
    heldForMs: life === undefined ? null : now - life.beganAt,
    holder: holder === undefined ? null : holder,
    saysHolder: holder !== undefined,
    rolloutPath: thread?.rolloutPath ?? stored?.rolloutPath ?? null,
    lines: life?.lines ?? null,
    priority,
    placeInQueue,
    depth: depth.used,
    cost: budget?.used.cost ?? null,
  };
}
