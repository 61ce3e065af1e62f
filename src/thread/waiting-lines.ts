/** The ops that a thread's lines say were taken, and not that they have entered the history. Pure. */
import type { SubmissionItem } from "../protocol/rollout.ts";

/** Each life counts its ids anew: ops of two lives may wait under one id. */
export class WaitingLines {
  readonly #items = new Map<string, SubmissionItem>();

  get size(): number {
    return this.#items.size;
  }

  /** A line may say again what waits still. */
  add(item: SubmissionItem): void {
    if (item.op !== undefined) this.#items.set(keyOf(item), item);
    else if (item.taken === true && item.turn_id !== undefined) this.#items.delete(keyOf(item));
    else if (item.taken === true) this.#removeOldest(item);
  }

  /** An earlier version did not say which one. */
  #removeOldest({ thread_id, id }: SubmissionItem): void {
    for (const [key, item] of this.#items) {
      if (item.thread_id !== thread_id || item.id !== id) continue;
      this.#items.delete(key);
      return;
    }
  }

  all(): SubmissionItem[] {
    return [...this.#items.values()];
  }
}

const keyOf = ({ thread_id, id, turn_id, wait }: SubmissionItem): string => `${thread_id} ${id} ${turn_id} ${wait}`;

/** Whether both lines say of one op that it waits. */
export const areOfOne = (one: SubmissionItem, other: SubmissionItem): boolean => keyOf(one) === keyOf(other);
