import type { ThreadId } from "../../protocol/ids.ts";
import type { ThreadStore } from "../../store/thread-store.ts";

/** The stored agents that a thread's turns have started, at any depth: each before those under it. */
export async function agentsUnder(
  store: ThreadStore,
  threadId: ThreadId,
  { archived }: { readonly archived: boolean },
): Promise<ThreadId[]> {
  const found: ThreadId[] = [];
  const seen = new Set([threadId]);
  const open = [threadId];
  for (let parent = open.shift(); parent !== undefined; parent = open.shift()) {
    let cursor: string | null = null;
    do {
      const query = { parentThreadId: parent, sourceKinds: ["subagent"], archived, limit: 100 };
      const page = await store.list(cursor === null ? query : { ...query, cursor });
      const fresh = page.threads.map((thread) => thread.threadId).filter((id) => !seen.has(id));
      for (const id of fresh) seen.add(id);
      found.push(...fresh);
      open.push(...fresh);
      cursor = page.nextCursor;
    } while (cursor !== null);
  }
  return found;
}
