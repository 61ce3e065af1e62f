/**
 * Something in a rollout that is not as it should be, and that reading passes over.
 *
 * - `torn`: the file ends inside a line. `garbage`: a line that is no JSON object. `unreadable`: a line of a known type
 *   whose payload does not fit it. `partial`: one of which only optional fields do not fit; it is read without them.
 * - `gap`, `duplicate`, `reused`: ordinals are missing; a line stands there twice; two lines share an ordinal.
 * - `base_missing`, `base_offset`, `base_short`: the file that a fork shares lines of is not there, or its header does not
 *   say which lines; it does not have a line's end where the fork says (reading goes by ordinals then); it ends before
 *   that. `base_loop`: the files that a fork leads back to lead to each other, or are too many.
 */
export type ProblemKind =
  | "torn"
  | "garbage"
  | "unreadable"
  | "partial"
  | "gap"
  | "duplicate"
  | "reused"
  | "base_missing"
  | "base_offset"
  | "base_short"
  | "base_loop";

/** One place of a rollout file that reading passed over. */
export type RolloutProblem = {
  readonly kind: ProblemKind;
  readonly path: string;
  /** Where in the file, in bytes. */
  readonly offset: number;
  readonly detail: string;
};

/** Takes each problem as reading meets it. */
export type ProblemSink = (problem: RolloutProblem) => void;

const HIDING: ReadonlySet<ProblemKind> = new Set([
  ...(["garbage", "unreadable", "gap", "reused"] as const),
  ...(["base_missing", "base_short", "base_loop"] as const),
]);

/** Whether the model may not see something that it saw before, because of it. */
export const hidesHistory = ({ kind }: RolloutProblem): boolean => HIDING.has(kind);
