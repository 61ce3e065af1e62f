/**
 * Where a fork begins, in the words of the source's history.
 *
 * - `"full"` (the default): all of it. A source in the middle of a turn is forked with the interruption recorded.
 * - `"interrupted"`: the same, said on purpose.
 * - `{ beforeUserMessage: n }`: strictly before the n-th (0-based) user message as SPEC 6.1 counts them. Past the end
 *   it gives a new, empty thread, as Codex 0.80 does; `Number.MAX_SAFE_INTEGER` and above keep everything.
 * - `{ throughTurn: id }`: up to and including that turn. `{ beforeTurn: id }`: everything before it.
 */
export type ForkAnchor =
  | "full"
  | "interrupted"
  | { beforeUserMessage: number }
  | { throughTurn: string }
  | { beforeTurn: string };
