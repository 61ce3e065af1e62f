/** How a thread stands with whoever supervises and holds it. Read of what is there: nothing is loaded, taken or written. */
import type { ThreadManager } from "../../manager/thread-manager.ts";
import type { ThreadId } from "../../protocol/ids.ts";
import { lifeLookedAt } from "../../thread/looked-at.ts";
import type { ThreadStanding } from "./wire.ts";

export async function standingOf(manager: ThreadManager, threadId: ThreadId, now: number): Promise<ThreadStanding> {
  const { store } = manager;
  const stored = await store.get(threadId).catch(() => undefined);
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
