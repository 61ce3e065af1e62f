/** One thread's history in memory: loaded when it is needed, kept as long as there is room for it (T9). */
import { raceAbort } from "../kernel/cancellation.ts";
import type { ResponseItem } from "../protocol/response-item.ts";
import type { RolloutItem } from "../protocol/rollout.ts";
import type { ForkBase } from "../store/thread-store.ts";
import { History } from "../turn/history.ts";
import type { HistoryCache, HistoryHolder } from "./history-cache.ts";
import { HistoryLoader, type LoadingThread } from "./history-loader.ts";
import { HistoryReader } from "./history-reader.ts";
import type { Rebuilt } from "./rebuild.ts";
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
  readonly #reader: HistoryReader;

  /**
   * @param isFresh whether nothing is stored yet
   * @param inherits which lines a fork begins with, where that is known
   */
  constructor(owner: HistoryOwner, isFresh: boolean, inherits: ForkBase["inherits"]) {
    this.#owner = owner;
    this.#isFresh = isFresh;
    this.#reader = new HistoryReader(owner, inherits);
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
    this.#reader.keep();
    return this.open(signal);
  }

  /** Loads and repairs the history, unless it is in memory (T6): then there is nothing to wait for. */
  open(signal: AbortSignal): Promise<void> | undefined {
    if (this.#isFresh) this.#items ??= new History();
    if (this.#items !== undefined) return undefined;
    this.#loader ??= new HistoryLoader(this.#owner, this.#reader, {
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

  /** What the history is once `marker` is stored too. Nothing is changed by asking. */
  readWith(marker: RolloutItem, signal: AbortSignal): Promise<Rebuilt> {
    return this.#reader.read(signal, marker);
  }

  /** The history is another one now, as a rollback makes it. */
  replace(history: History): void {
    this.#items = history;
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
