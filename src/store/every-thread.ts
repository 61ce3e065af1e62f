import type { StoredThread, ThreadQuery, ThreadStore } from "./thread-store.ts";

const PAGE = 100;

/** All that a query finds, page after page. @throws what the store throws; the signal's reason before the next page */
export async function* everyThread(
  store: Pick<ThreadStore, "list">,
  query: Omit<ThreadQuery, "cursor" | "limit">,
  signal?: AbortSignal,
): AsyncGenerator<StoredThread, undefined> {
  for (let cursor: string | null | undefined; cursor !== null; ) {
    signal?.throwIfAborted();
    const page = await store.list({ ...query, limit: PAGE, ...(cursor !== undefined && { cursor }) });
    yield* page.threads;
    cursor = page.nextCursor;
  }
}
