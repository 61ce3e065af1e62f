/**
 * What the lines up to some place come to, as long as there is room for it (T9): of the forks of one place the first reads it, and the
 * others share it; a thread that was given away and comes back reads only what has been said meanwhile.
 */
import type { RolloutLine } from "../protocol/rollout.ts";
import type { History } from "../turn/history.ts";
import type { HistoryCache, HistoryHolder } from "./history-cache.ts";
import type { Rebuilt } from "./rebuild.ts";

/** `last`: the line that it ends with, of those that were looked at. */
export type Past = { readonly rebuilt: Rebuilt; readonly last: RolloutLine };

class SharedPast implements HistoryHolder {
  readonly past: Past;
  readonly #onDropped: () => void;

  constructor(past: Past, onDropped: () => void) {
    this.past = past;
    this.#onDropped = onDropped;
  }

  get history(): History {
    return this.past.rebuilt.history;
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
  find(place: string): Past | undefined {
    const found = this.#pasts.get(place);
    if (found === undefined) return undefined;
    this.#room.keep(found);
    return { ...found.past, rebuilt: found.past.rebuilt.copy() };
  }

  share(place: string, { rebuilt, last }: Past): void {
    this.forget(place);
    const past = new SharedPast({ rebuilt: rebuilt.copy(), last }, () => this.#pasts.delete(place));
    this.#pasts.set(place, past);
    this.#room.keep(past);
  }

  forget(place: string): void {
    const past = this.#pasts.get(place);
    if (past !== undefined) this.#room.forget(past);
  }
}
