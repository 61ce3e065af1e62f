import type { RolloutItem } from "./rollout.ts";
import { type BoundaryRule, isUserBoundary } from "./user-boundary.ts";

/**
 * Where the user's messages stand in `items`, in order, after each thread_rolled_back took its messages back
 * (SPEC 6.2, step 2). Compactions neither count nor reset the counting.
 */
export function userMessagePositions(items: readonly RolloutItem[], rule: BoundaryRule = "0.80"): number[] {
  const positions: number[] = [];
  for (const [index, item] of items.entries()) {
    if (item.type === "response_item") {
      if (isUserBoundary(item.payload, rule)) positions.push(index);
    } else if (item.type === "event_msg" && item.payload.type === "thread_rolled_back") {
      const { num_turns: count, before_turn_id: turnId } = item.payload;
      const start = turnId === undefined ? -1 : startOf(items, turnId);
      const kept = start === -1 ? positions.length - count : positions.filter((position) => position < start).length;
      positions.length = Math.max(0, kept);
    }
  }
  return positions;
}

const startOf = (items: readonly RolloutItem[], turnId: string): number =>
  items.findIndex(
    ({ type, payload }) => type === "event_msg" && payload.type === "task_started" && payload.turn_id === turnId,
  );

/**
 * The items strictly before the user's message number `n`, counted from 0 (SPEC 6.2). Rolled-back items before the cut
 * stay, with their markers. `n` of at least Number.MAX_SAFE_INTEGER keeps everything.
 *
 * With fewer messages than `n` + 1, rule `0.80` gives the empty list, from which a fork starts as a new thread. Rule
 * `0.169` keeps everything, or what precedes an unfinished turn (SPEC 13.2).
 */
export function truncateBeforeNth(
  items: readonly RolloutItem[],
  n: number,
  rule: BoundaryRule = "0.80",
): RolloutItem[] {
  if (n >= Number.MAX_SAFE_INTEGER) return [...items];
  const cut = userMessagePositions(items, rule)[n];
  if (cut !== undefined) return items.slice(0, cut);
  return rule === "0.80" ? [] : items.slice(0, openTurnStart(items, rule));
}

/**
 * Where the unfinished turn at the end of `items` starts; undefined when the last turn has its end (SPEC 13.2). Explicit
 * task_started events decide; a history without any is unfinished when no end follows its last user message.
 */
export function openTurnStart(items: readonly RolloutItem[], rule: BoundaryRule = "0.169"): number | undefined {
  let explicit = false;
  let started: number | undefined;
  let lastEnd = -1;
  for (const [index, item] of items.entries()) {
    if (item.type !== "event_msg") continue;
    if (item.payload.type === "task_started") {
      explicit = true;
      started = index;
    } else if (item.payload.type === "task_complete" || item.payload.type === "turn_aborted") {
      started = undefined;
      lastEnd = index;
    }
  }
  if (explicit) return started;
  const last = userMessagePositions(items, rule).at(-1);
  return last !== undefined && last > lastEnd ? last : undefined;
}
