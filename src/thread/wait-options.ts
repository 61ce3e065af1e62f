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
type Awaited = { readonly id: ThreadId; readonly incarnation: { readonly env: Place } };

/** Where a call waits. `over` aborts when the manager has ended. */
type Place = { readonly clock: Clock; readonly over: AbortSignal };

type Work<T> = (signal: AbortSignal | undefined) => Promise<T>;

/** Works for as long as the caller waits. @param what does not finish, at the deadline */
export const bounded = <T>({ id, incarnation }: Awaited, what: string, work: Work<T>, options: WaitOptions) =>
  inTime(`${what} of thread ${id}`, work, options, incarnation.env);

/** As {@link bounded}, where no thread is waited for. */
export function inTime<T>(what: string, work: Work<T>, options: WaitOptions, { clock, over }: Place): Promise<T> {
  const { signal, deadlineMs } = options;
  if (deadlineMs !== undefined) return withDeadline(what, work, { deadlineMs, signal, clock });
  return whileOpen(signal === undefined ? work(undefined) : raceAbort(work(signal), signal), over);
}

/** Ends with the manager at the latest, whatever it waits for, such as a store that hangs. What begins later is answered by what is there then. */
export const whileOpen = <T>(work: Promise<T>, over: AbortSignal): Promise<T> =>
  over.aborted ? work : raceAbort(work, over);
