import type { BudgetUse } from "../protocol/budget.ts";

/** `used` and `free` come to `max`. A bound that is not set is Infinity, and null once it is JSON. */
export type Share = { readonly used: number; readonly free: number; readonly max: number };

/** How much is in use of what is bounded, and how much is free. */
export type Capacity = {
  readonly residentThreads: Share;
  /** `waiting`: turns that have begun and wait for a place. */
  readonly runningTurns: Share & { readonly waiting: number };
  /** Threads that came to be in the period that ends now; null where any number may. `retryAfterMs`: 0 when one may come. */
  readonly spawnRate: (Share & { readonly periodMs: number; readonly retryAfterMs: number }) | null;
  /** Threads that have left memory and come back with the next message. */
  readonly unloadedThreads: number;
};

/** The same, and how one thread stands. */
export type ThreadCapacity = Capacity & {
  /** How deep it is, of how deep agents may be. */
  readonly depth: Share;
  readonly childrenPerParent: Share;
  readonly treeSize: Share;
  /** From 1 (first) to 5. */
  readonly priority: 1 | 2 | 3 | 4 | 5;
  /** How many turns get a place before this thread's, if nobody else came; null: none of its turns waits for one. */
  readonly placeInQueue: number | null;
  /** null: it has none, or none that was looked at yet. */
  readonly budget: BudgetUse | null;
};
