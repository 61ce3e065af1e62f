import { RolloutNotFoundError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { ThreadStore } from "./thread-store.ts";

/** What a store was asked of a thread; undefined where it has no such thread. @throws what keeps it from saying so */
export async function ifStored<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (error instanceof RolloutNotFoundError) return undefined;
    throw error;
  }
}

/** Whether the store has the thread. @throws what keeps it from saying so */
export const isStored = async (store: Pick<ThreadStore, "header">, threadId: ThreadId): Promise<boolean> =>
  (await ifStored(store.header(threadId))) !== undefined;
