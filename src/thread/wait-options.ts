/** Every wait can be given up (it rejects with the signal's reason) and bounded (DeadlineExceededError). */
export type WaitOptions = { readonly signal?: AbortSignal | undefined; readonly deadlineMs?: number | undefined };
