/** What the forks of one place inherit: the first of them reads it, and the others share it as long as there is room (T9). */
import type { History } from "../turn/history.ts";
import type { HistoryCache, HistoryHolder } from "./history-cache.ts";
import type { Rebuilt } from "./rebuild.ts";

class SharedPast implements HistoryHolder {
  readonly rebuilt: Rebuilt;
  readonly #onDropped: () => void;

  constructor(rebuilt: Rebuilt, onDropped: () => void) {
    this.rebuilt = rebuilt;
    this.#onDropped = onDropped;
  }

  get history(): History {
    return this.rebuilt.history;
  }

  dropHistory(): boolean {
    this.#onDropped();
    return true;
  }
}

export class SharedPasts {
  readonly #room: HistoryCache;
  readonly #pasts = new Map<string, SharedPast>();

  constructor(room: HistoryCache) {
    this.#room = room;
  }

  /** A copy, to go on from. */
  find(place: string): Rebuilt | undefined {
    const past = this.#pasts.get(place);
    if (past === undefined) return undefined;
    this.#room.keep(past);
    return past.rebuilt.copy();
  }

  share(place: string, rebuilt: Rebuilt): void {
    const past = new SharedPast(rebuilt.copy(), () => this.#pasts.delete(place));
    this.#pasts.set(place, past);
    this.#room.keep(past);
  }
}
