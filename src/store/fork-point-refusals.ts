/** What every store says of a fork anchor that it cannot take (SPEC 6.2). */
import { InvalidForkPointError } from "../protocol/errors.ts";

/** @throws InvalidForkPointError for what is no number of a message. Infinity, and what is too great, stands for the end. */
export function assertMessageNumber(n: number): void {
  if (n >= 0 && (!Number.isFinite(n) || Number.isInteger(n))) return;
  throw new InvalidForkPointError(`beforeUserMessage must be a whole number from 0 on, not ${n}`);
}

/** Whether a message's number stands for the end of the history, whatever that has. */
export const isBeyondMessages = (n: number): boolean => n >= Number.MAX_SAFE_INTEGER;

/** The parameters that name a turn, as clients know them. */
export type TurnAnchor = "lastTurnId" | "beforeTurnId";

export const turnStillRuns = (turnId: string): InvalidForkPointError =>
  new InvalidForkPointError(`lastTurnId '${turnId}' identifies an in-progress turn`);

/** `hasTurns`: whether the history has any; one with messages and without turns is older than turns are. */
export function turnMissing(
  anchor: TurnAnchor,
  turnId: string,
  { hasTurns, hasMessages }: { hasTurns: boolean; hasMessages: boolean },
): InvalidForkPointError {
  return new InvalidForkPointError(
    !hasTurns && hasMessages
      ? `${anchor} '${turnId}' is not a persisted canonical turn in the source thread`
      : `turn not found: ${turnId}`,
  );
}
