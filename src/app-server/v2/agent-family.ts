import type { ThreadId } from "../../protocol/ids.ts";
import { everyThread } from "../../store/every-thread.ts";
import type { ThreadStore } from "../../store/thread-store.ts";

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
      const query = { parentThreadId: parent, sourceKinds: ["subagent"], archived: state };
      for await (const { threadId: id } of everyThread(store, query)) {
        if (seen.has(id)) continue;
        seen.add(id);
        found.push(id);
        open.push(id);
      }
    }
  }
  return found;
}
