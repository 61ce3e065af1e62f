/** How a thread stands with whoever supervises and holds it. Read of what is there: nothing is loaded, taken or written. */
import type { ThreadManager } from "../../manager/thread-manager.ts";
import { RolloutNotFoundError } from "../../protocol/errors.ts";
import type { ThreadId } from "../../protocol/ids.ts";
import { lifeLookedAt } from "../../thread/looked-at.ts";
import type { ThreadStanding } from "./wire.ts";

/** @throws StoreIoError and what else a store fails by: a thread that cannot be read is not one that is not stored */
export async function standingOf(manager: ThreadManager, threadId: ThreadId, now: number): Promise<ThreadStanding> {
  const { store } = manager;
  const stored = await store.get(threadId).catch(nothingWhenUnknown);
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

/** An ephemeral thread is in memory alone. */
function nothingWhenUnknown(error: unknown): undefined {
  if (!(error instanceof RolloutNotFoundError)) throw error;
}
