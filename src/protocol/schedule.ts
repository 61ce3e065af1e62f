import * as z from "zod";
import { InvalidRequestError } from "./errors.ts";

/**
 * When an op is to be given to a thread: once `after` so many milliseconds or `at` a time (Unix milliseconds or a Date), or `every`
 * so many milliseconds, the first time one period from now on. Times are those of the day: one that is set forward fires within a minute.
 */
export type When =
  | { readonly after: number }
  | { readonly at: number | Date }
  | {
      readonly every: number;
      /** What becomes of firings that nobody could make: one for all of them (the default), none, or each, at most a hundred. */
      readonly missed?: "skip" | "one" | "all" | undefined;
    };

/** `id`: names the timer in its thread, by 1 to 256 characters: setting one again under the same name replaces it. */
export type ScheduleOptions = { readonly id?: string | undefined };

/** A timer that was set. */
export type ScheduledTimer = {
  readonly id: string;
  /** When it fires next, in Unix milliseconds. */
  readonly dueAt: number;
  /**
   * Takes it away: from then on it does not fire any more. `fired`: how often it has, since it was set.
   * `cancelled`: false when there was nothing to take away any more.
   */
  cancel(): Promise<{ readonly cancelled: boolean; readonly fired: number }>;
};

/** What an op says of the timer that gave it; as its `timer`. Times are Unix milliseconds. */
export type FiredTimer = {
  readonly id: string;
  readonly due_at: number;
  readonly fired_at: number;
  /** It could not be given in time, since the thread's process was not there. */
  readonly late: boolean;
  /** For how many firings it stands that could not be made. */
  readonly missed: number;
};

const name = z.string().min(1);

/** A timer as it stands in its thread's note. */
export const storedTimerSchema = z.object({
  id: name,
  /** Made anew whenever it is set, so that a firing of the one before is another submission. */
  set: name,
  op: z.looseObject({ type: z.string() }),
  firstAt: z.number(),
  every: z.number().nullable(),
  missed: z.enum(["skip", "one", "all"]),
  /** The number of the next firing, from 0 on. */
  next: z.int().min(0),
  fired: z.int().min(0),
});
export type StoredTimer = z.infer<typeof storedTimerSchema>;

export const timersNoteSchema = z.array(storedTimerSchema);

const LONGEST_MS = 100 * 365 * 24 * 3_600_000;

/** The last time that a Date can be. */
const LAST_MS = 8.64e15;

const isSpan = (ms: unknown, least: number): ms is number => typeof ms === "number" && ms >= least && ms <= LONGEST_MS;

/** @throws InvalidRequestError that says what is wrong */
export function readWhen(
  when: When,
  now: number,
): { readonly firstAt: number; readonly every: number | null; readonly missed: "skip" | "one" | "all" } {
  const { after, at, every, missed = "one" } = Object(when) as Record<string, unknown>;
  if ([after, at, every].filter((one) => one !== undefined).length !== 1) {
    throw new InvalidRequestError("schedule: give one of `after`, `at` and `every`");
  }
  if (missed !== "one" && missed !== "skip" && missed !== "all") {
    throw new InvalidRequestError('schedule: missed: must be "skip", "one" or "all"');
  }
  if (every !== undefined) {
    if (!isSpan(every, 1)) throw new InvalidRequestError("schedule: every: must be milliseconds, from 1 on");
    return { firstAt: now + every, every, missed };
  }
  if (after !== undefined) {
    if (!isSpan(after, 0)) throw new InvalidRequestError("schedule: after: must be milliseconds, from 0 on");
    return { firstAt: now + after, every: null, missed };
  }
  const time = at instanceof Date ? at.getTime() : at;
  if (typeof time !== "number" || !(Math.abs(time) <= LAST_MS)) {
    throw new InvalidRequestError("schedule: at: must be a Date, or Unix milliseconds");
  }
  return { firstAt: time, every: null, missed };
}

/** When its next firing is due: counted from the first, so that it does not drift. */
export const dueAtOf = ({ firstAt, every, next }: StoredTimer): number => firstAt + (every ?? 0) * next;
