/** Every wait can be given up (it rejects with the signal's reason) and bounded (DeadlineExceededError). */
export type WaitOptions = { readonly signal?: AbortSignal | undefined; readonly deadlineMs?: number | undefined };

/**
 * What becomes of an op while its thread's mailbox is full: it waits for room, or is refused by OverloadedError at once.
 * `dropOldest`: it waits, in place of the last such op that waits, which is refused: for what only the newest of counts.
 */
export type WhenFull = "wait" | "reject" | "dropOldest";
