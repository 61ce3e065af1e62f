/** How much is in use of what is bounded. A bound that is not set is Infinity, and null once it is JSON. */
export type Capacity = {
  readonly residentThreads: { readonly used: number; readonly max: number };
  /** `waiting`: turns that have begun and wait for a place. */
  readonly runningTurns: { readonly used: number; readonly waiting: number; readonly max: number };
  /** Threads that have left memory and come back with the next message. */
  readonly unloadedThreads: number;
};
