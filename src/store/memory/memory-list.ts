import {
  comparePlaces,
  type ListPlan,
  matchesFilters,
  matchesSearch,
  planList,
  wordsOf,
  writeCursor,
} from "../thread-query.ts";
import type { ThreadPage, ThreadQuery } from "../thread-store.ts";
import type { MemoryThread } from "./memory-thread.ts";

type Candidate = { readonly at: number; readonly threadId: MemoryThread["id"]; readonly thread: MemoryThread };

/** One pass over all threads that keeps the best of what the query wants. */
export function selectPage(threads: Iterable<MemoryThread>, query?: ThreadQuery): ThreadPage {
  const plan = planList(query);
  /** In order; one more than the page holds, to know whether there is a next one. */
  const best: Candidate[] = [];
  for (const thread of threads) {
    const candidate = { at: thread[plan.orderBy], threadId: thread.id, thread };
    if (plan.after !== undefined && comparePlaces(candidate, plan.after) <= 0) continue;
    const last = best.length > plan.limit ? best.at(-1) : undefined;
    if (last !== undefined && comparePlaces(candidate, last) >= 0) continue;
    if (!isWanted(plan, thread)) continue;
    if (last !== undefined) best.pop();
    best.splice(placeOf(candidate, best), 0, candidate);
  }
  const shown = best.slice(0, plan.limit);
  const end = best.length > plan.limit ? shown.at(-1) : undefined;
  return {
    threads: shown.map(({ thread }) => thread.summary()),
    nextCursor: end === undefined ? null : writeCursor(end),
  };
}

const isWanted = (plan: ListPlan, thread: MemoryThread): boolean =>
  matchesFilters(plan, thread) &&
  (plan.search === undefined || matchesSearch(plan.search, wordsOf(thread.searchedText())));

function placeOf(candidate: Candidate, sorted: readonly Candidate[]): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const other = sorted[middle];
    if (other !== undefined && comparePlaces(other, candidate) < 0) low = middle + 1;
    else high = middle;
  }
  return low;
}
