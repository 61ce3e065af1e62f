/** The ops that a thread's lines say were taken, and not that they have entered the history. Pure. */
import type { SubmissionItem } from "../protocol/rollout.ts";

/** Each life counts its ids anew: ops of two lives may wait under one id. The older one is taken first. */
export class WaitingLines {
  readonly #items = new Map<string, SubmissionItem>();

  get size(): number {
    return this.#items.size;
  }

  /** A line may say again what waits still. */
  add(item: SubmissionItem): void {
    const { thread_id, id, turn_id, op, taken } = item;
    if (op !== undefined) this.#items.set(`${thread_id} ${id} ${turn_id}`, item);
    else if (taken === true) this.#remove(thread_id, id);
  }

  #remove(threadId: string, id: string): void {
    for (const [key, item] of this.#items) {
      if (item.thread_id !== threadId || item.id !== id) continue;
      this.#items.delete(key);
      return;
    }
  }

  all(): SubmissionItem[] {
    return [...this.#items.values()];
  }
}
