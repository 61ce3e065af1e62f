import { LRUCache } from "lru-cache";
import type { History } from "../turn/history.ts";

/** Keeps a history that can be loaded again. */
export interface HistoryHolder {
  readonly history: History | undefined;
  /** Lets go of it. False while a turn works with it. */
  dropHistory(): boolean;
}

/**
 * The histories of idle threads, so that an active thread need not load its own anew for every turn. Bounded for all
 * threads together (T9): beyond `maxBytes`, the least recently used ones are dropped.
 */
export class HistoryCache {
  readonly #kept: LRUCache<HistoryHolder, true>;

  constructor(maxBytes: number) {
    this.#kept = new LRUCache({
      maxSize: Math.min(Number.MAX_SAFE_INTEGER, Math.max(1, Math.floor(maxBytes))),
      dispose: (_, holder, reason) => {
        if (reason !== "set") holder.dropHistory();
      },
    });
  }

  /** Keeps the holder's history for now; one that is larger than the whole cache is dropped at once. */
  keep(holder: HistoryHolder): void {
    const size = Math.max(1, holder.history?.bytes ?? 0);
    if (size > this.#kept.maxSize) holder.dropHistory();
    else this.#kept.set(holder, true, { size });
  }

  forget(holder: HistoryHolder): void {
    this.#kept.delete(holder);
  }
}
