import { raceAbort, withDeadline } from "../kernel/cancellation.ts";
import type { Clock } from "../kernel/clock.ts";
import type { ThreadId } from "../protocol/ids.ts";

/** Every wait can be given up (it rejects with the signal's reason) and bounded (DeadlineExceededError). */
export type WaitOptions = { readonly signal?: AbortSignal | undefined; readonly deadlineMs?: number | undefined };

/**
 * What becomes of an op while its thread's mailbox is full: it waits for room, or is refused by OverloadedError at once.
 * `dropOldest`: it waits, in place of the last such op that waits, which is refused: for what only the newest of counts.
 */
export type WhenFull = "wait" | "reject" | "dropOldest";

/** Whom a caller waits for. */
type Awaited = { readonly id: ThreadId; readonly incarnation: { readonly env: { readonly clock: Clock } } };

/** Works for as long as the caller waits. @param what does not finish, at the deadline */
export function bounded<T>(
  { id, incarnation }: Awaited,
  what: string,
  work: (signal: AbortSignal | undefined) => Promise<T>,
  { signal, deadlineMs }: WaitOptions,
): Promise<T> {
  if (deadlineMs !== undefined)
    return withDeadline(`${what} of thread ${id}`, work, { deadlineMs, signal, clock: incarnation.env.clock });
  return signal === undefined ? work(undefined) : raceAbort(work(signal), signal);
}
