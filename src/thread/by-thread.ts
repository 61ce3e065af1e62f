import type { ThreadId } from "../protocol/ids.ts";

/** A thread and all that are known under it. */
export interface Subtree {
  /** About how many there are. */
  readonly size: number;
  has(threadId: ThreadId): boolean;
  threads(): Iterable<ThreadId>;
}

/** What is held for threads of all trees. To find what is held in one of them costs what the tree has, or what is held, whichever is less. */
export class ByThread<T> {
  readonly #held = new Map<ThreadId, { readonly at: number; readonly value: T }>();
  #last = 0;

  get size(): number {
    return this.#held.size;
  }

  get(threadId: ThreadId): T | undefined {
    return this.#held.get(threadId)?.value;
  }

  values(): T[] {
    return Array.from(this.#held.values(), ({ value }) => value);
  }

  /** What is held already keeps its place in the order. */
  set(threadId: ThreadId, value: T): void {
    this.#last += 1;
    this.#held.set(threadId, { at: this.#held.get(threadId)?.at ?? this.#last, value });
  }

  delete(threadId: ThreadId): boolean {
    return this.#held.delete(threadId);
  }

  /** The tree's, in the order in which it came to be held. */
  within(tree: Subtree): { readonly threadId: ThreadId; readonly value: T }[] {
    const isSmaller = tree.size < this.#held.size;
    const threads = isSmaller ? tree.threads() : [...this.#held.keys()].filter((threadId) => tree.has(threadId));
    return [...threads]
      .flatMap((threadId) => {
        const held = this.#held.get(threadId);
        return held === undefined ? [] : [{ threadId, ...held }];
      })
      .toSorted((a, b) => a.at - b.at)
      .map(({ threadId, value }) => ({ threadId, value }));
  }
}
