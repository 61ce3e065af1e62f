/** Which firings of a timer are made at a time, and what each of them is called. */
import { type SubmissionId, toSubmissionId } from "../protocol/ids.ts";
import { type Op, parseOp } from "../protocol/op.ts";
import { dueAtOf, type FiredTimer, type StoredTimer } from "../protocol/schedule.ts";

/** So many missed firings of one timer are made up for, at most. */
const MOST_MADE_UP = 100;
/** What is later than this was missed. */
const LATE_MS = 1_000;

/** The number of a firing, and for how many it stands that could not be made. */
export type Firing = { readonly n: number; readonly missed: number };

/** The number of the last firing that is due. */
export const lastDue = ({ every, firstAt, next }: StoredTimer, now: number): number =>
  every === null ? 0 : Math.max(next, Math.floor((now - firstAt) / every));

/** Which firings are made now, of those that are due. */
export function firingsOf(timer: StoredTimer, now: number): Firing[] {
  const { every, firstAt, missed, next: first } = timer;
  const last = lastDue(timer, now);
  if (every === null || first === last) {
    const isMissed = every !== null && missed === "skip" && now - (firstAt + every * last) > LATE_MS;
    return isMissed ? [] : [{ n: last, missed: 0 }];
  }
  const isNow = now - (firstAt + every * last) <= LATE_MS;
  if (missed === "skip") return isNow ? [{ n: last, missed: 0 }] : [];
  if (missed === "one") return [{ n: last, missed: last - first }];
  const from = Math.max(first, last - MOST_MADE_UP + 1);
  return Array.from({ length: last - from + 1 }, (_, at) => ({ n: from + at, missed: at === 0 ? from - first : 0 }));
}

/** A firing as the submission that it is: whoever makes it a second time gives the same id. */
export function submissionOf(
  timer: StoredTimer,
  { n, missed }: Firing,
  now: number,
): { readonly id: SubmissionId; readonly op: Op; readonly fired: FiredTimer } {
  const dueAt = dueAtOf({ ...timer, next: n });
  const fired: FiredTimer = { id: timer.id, due_at: dueAt, fired_at: now, late: now - dueAt > LATE_MS, missed };
  const id = toSubmissionId(`timer:${timer.id}:${timer.set}:${n}`);
  return { id, op: parseOp({ ...timer.op, timer: fired }), fired };
}
