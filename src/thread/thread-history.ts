/** One thread's history in memory: loaded when it is needed, kept as long as there is room for it (T9). */
import { raceAbort } from "../kernel/cancellation.ts";
import type { ResponseItem } from "../protocol/response-item.ts";
import type { ForkBase } from "../store/thread-store.ts";
import { History } from "../turn/history.ts";
import type { HistoryCache, HistoryHolder } from "./history-cache.ts";
import { HistoryLoader, type LoadingThread } from "./history-loader.ts";
import type { SharedPasts } from "./shared-pasts.ts";

/** Whose history it is. */
export type HistoryOwner = LoadingThread & {
  readonly env: { readonly histories: HistoryCache; readonly pasts: SharedPasts };
  /** The history is loaded, or can't be. */
  noteRest(): void;
};

/** Nobody writes its fields but these methods. */
export class ThreadHistory implements HistoryHolder {
  readonly #owner: HistoryOwner;
  #items: History | undefined;
  #isFresh: boolean;
  #loader: HistoryLoader | undefined;
  #isKept = false;
  readonly #inherits: ForkBase["inherits"];

  /**
   * @param isFresh whether nothing is stored yet
   * @param inherits which lines a fork begins with, where that is known
   */
  constructor(owner: HistoryOwner, isFresh: boolean, inherits: ForkBase["inherits"]) {
    this.#owner = owner;
    this.#isFresh = isFresh;
    this.#inherits = inherits;
  }

  /** What the next request is made of; undefined while nobody has needed it. */
  get history(): History | undefined {
    return this.#items;
  }

  /** Whether the history holds nothing yet. */
  get isFresh(): boolean {
    return this.#isFresh;
  }

  get isLoading(): boolean {
    return this.#loader !== undefined;
  }

  /** As open; and what is read is kept for the thread's next life in this process, which goes on from it. */
  openKept(signal: AbortSignal): Promise<void> | undefined {
    this.#isKept = true;
    return this.open(signal);
  }

  /** Loads and repairs the history, unless it is in memory (T6): then there is nothing to wait for. */
  open(signal: AbortSignal): Promise<void> | undefined {
    if (this.#isFresh) this.#items ??= new History();
    if (this.#items !== undefined) return undefined;
    const reading = { inherits: this.#inherits, isKept: this.#isKept };
    this.#loader ??= new HistoryLoader(this.#owner, reading, {
      onRead: (history) => {
        this.#items = history;
      },
      onEnd: () => {
        this.#loader = undefined;
        this.keep();
        this.#owner.noteRest();
      },
    });
    return raceAbort(this.#loader.loaded, signal);
  }

  /** An item has come through the door. */
  append(item: ResponseItem): void {
    this.#isFresh = false;
    this.#items?.append(item);
    this.#loader?.noteRecorded();
  }

  /** What is in memory stays there only as long as there is room for it. */
  keep(): void {
    if (this.#items !== undefined && this.#owner.turn === undefined) this.#owner.env.histories.keep(this);
  }

  dropHistory(): boolean {
    if (this.#owner.turn !== undefined) return false;
    this.#items = undefined;
    return true;
  }

  /** The thread has ended. */
  close(reason: unknown): void {
    this.#loader?.abort(reason);
    this.#owner.env.histories.forget(this);
    this.#items = undefined;
  }
}
