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

type Work<T> = (signal: AbortSignal | undefined) => Promise<T>;

/** Works for as long as the caller waits. @param what does not finish, at the deadline */
export const bounded = <T>({ id, incarnation }: Awaited, what: string, work: Work<T>, options: WaitOptions) =>
  inTime(`${what} of thread ${id}`, work, options, incarnation.env.clock);

/** As {@link bounded}, where no thread is waited for. */
export function inTime<T>(what: string, work: Work<T>, { signal, deadlineMs }: WaitOptions, clock: Clock): Promise<T> {
  if (deadlineMs !== undefined) return withDeadline(what, work, { deadlineMs, signal, clock });
  return signal === undefined ? work(undefined) : raceAbort(work(signal), signal);
}
