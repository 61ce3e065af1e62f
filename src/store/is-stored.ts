import { RolloutNotFoundError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { ThreadStore } from "./thread-store.ts";

/** Whether the store has the thread. @throws what keeps it from saying so */
export async function isStored(store: Pick<ThreadStore, "header">, threadId: ThreadId): Promise<boolean> {
  try {
    await store.header(threadId);
    return true;
  } catch (error) {
    if (error instanceof RolloutNotFoundError) return false;
    throw error;
  }
}
