import { RolloutNotFoundError, SkeinError, StoreIoError } from "../../protocol/errors.ts";

/**
 * Something in a rollout that is not as it should be, and that reading passes over.
 *
 * - `torn`: the file ends inside a line. `garbage`: a line that is no JSON object. `unreadable`: a line of a known type
 *   whose payload does not fit it.
 * - `gap`, `duplicate`, `reused`: ordinals are missing; a line stands there twice; two lines share an ordinal.
 * - `base_missing`, `base_offset`, `base_short`: the file that a fork shares lines of is not there; it does not have a
 *   line's end where the fork says (reading goes by ordinals then); it ends before that.
 */
export type ProblemKind =
  | "torn"
  | "garbage"
  | "unreadable"
  | "gap"
  | "duplicate"
  | "reused"
  | "base_missing"
  | "base_offset"
  | "base_short";

export type RolloutProblem = {
  readonly kind: ProblemKind;
  readonly path: string;
  /** Where in the file, in bytes. */
  readonly offset: number;
  readonly detail: string;
};

export type ProblemSink = (problem: RolloutProblem) => void;

export const threadNotStored = (which: string): RolloutNotFoundError =>
  new RolloutNotFoundError(`no rollout found for thread id ${which}`);

/** A failure of the system as a typed error; our own errors as they are. */
export function asStoreError(what: string, error: unknown): Error {
  if (error instanceof SkeinError) return error;
  return new StoreIoError(`${what}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
}
