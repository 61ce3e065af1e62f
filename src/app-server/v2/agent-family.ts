import type { ThreadId } from "../../protocol/ids.ts";
import type { ThreadPage, ThreadStore } from "../../store/thread-store.ts";

/** The stored agents that a thread's turns have started, at any depth: each before those under it. */
export async function agentsUnder(
  store: ThreadStore,
  threadId: ThreadId,
  { archived }: { readonly archived: boolean | "either" },
): Promise<ThreadId[]> {
  const found: ThreadId[] = [];
  const seen = new Set([threadId]);
  const open = [threadId];
  for (let parent = open.shift(); parent !== undefined; parent = open.shift()) {
    for (const state of archived === "either" ? [false, true] : [archived]) {
      for await (const id of agentsOf(store, parent, state)) {
        if (seen.has(id)) continue;
        seen.add(id);
        found.push(id);
        open.push(id);
      }
    }
  }
  return found;
}

async function* agentsOf(store: ThreadStore, parent: ThreadId, archived: boolean): AsyncGenerator<ThreadId> {
  const query = { parentThreadId: parent, sourceKinds: ["subagent"], archived, limit: 100 };
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page: ThreadPage = await store.list(cursor === undefined ? query : { ...query, cursor });
    for (const { threadId } of page.threads) yield threadId;
    cursor = page.nextCursor;
  }
}
