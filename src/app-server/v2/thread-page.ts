/** Pages of stored threads: in the store's own order, or in another one of all that fit. */
import { comparePlaces, type PagePlace, pageLimit, readCursor, writeCursor } from "../../store/thread-query.ts";
import type { StoredThread, ThreadQuery } from "../../store/thread-store.ts";

export type StoredPage = { threads: readonly StoredThread[]; nextCursor: string | null };
export type List = (query: ThreadQuery) => Promise<StoredPage>;
export type Fits = (thread: StoredThread) => boolean;
/** What has to be read of a thread to know whether it is wanted: looked at in the order of the list, and no further than a page. */
export type Wanted = (thread: StoredThread) => Promise<boolean>;
export type Filter = { readonly fits: Fits; readonly isWanted?: Wanted | undefined };

/** How a list runs, and what its cursors look like. */
export type ListOrder = {
  /** A thread's place, which falls from one to the next, or rises. */
  readonly placeOf: (thread: StoredThread) => PagePlace;
  readonly isRising: boolean;
  /** @throws InvalidRequestError */
  readonly read: (cursor: string) => PagePlace;
  readonly write: (place: PagePlace) => string;
  /** The cursor with which a list that runs the other way goes on from the first thread of a page. */
  readonly writeBack: (first: PagePlace) => string;
};

/** From the newest on, or from the oldest. */
export const byTime = ({ orderBy }: ThreadQuery, isRising: boolean): ListOrder => ({
  placeOf: ({ threadId, updatedAt, createdAt }) => ({ at: orderBy === "updatedAt" ? updatedAt : createdAt, threadId }),
  isRising,
  read: readCursor,
  write: writeCursor,
  writeBack: writeCursor,
});

const RFC_3339 = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/i;
/** As rollout files are named. */
const FILE_TIME = /^(\d{4}-\d\d-\d\d)T(\d\d)-(\d\d)-(\d\d)$/;
const LEAST_ID = "00000000-0000-0000-0000-000000000000";
const GREATEST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff";

/** A cursor as stores take it. A time alone, which stock Codex takes too, goes on behind every thread of that moment. */
export function wholeCursor(cursor: string, isRising: boolean): string {
  const time = cursor.replace(FILE_TIME, "$1T$2:$3:$4Z");
  const at = RFC_3339.test(time) ? Date.parse(time.replace(" ", "T").toUpperCase()) : Number.NaN;
  if (Number.isNaN(at)) return cursor;
  return `${new Date(at).toISOString()}|${isRising ? GREATEST_ID : LEAST_ID}`;
}

/** @param most how many are enough */
async function kept(
  threads: readonly StoredThread[],
  { fits, isWanted }: Filter,
  most = Number.POSITIVE_INFINITY,
): Promise<StoredThread[]> {
  const fitting = threads.filter(fits);
  if (isWanted === undefined) return fitting;
  const found: StoredThread[] = [];
  for (const thread of fitting) {
    if (await isWanted(thread)) found.push(thread);
    if (found.length >= most) break;
  }
  return found;
}

/** In the store's own order, as far as the page goes. */
export async function pageOfFitting(list: List, query: ThreadQuery, filter: Filter): Promise<StoredPage> {
  const limit = pageLimit(query.limit);
  const shown: StoredThread[] = [];
  for (let page: ThreadQuery = query; ; ) {
    const { threads, nextCursor } = await list(page);
    shown.push(...(await kept(threads, filter)));
    if (shown.length >= limit || nextCursor === null) return cut(shown, limit, nextCursor, query);
    page = { ...query, cursor: nextCursor };
  }
}

function cut(shown: StoredThread[], limit: number, nextCursor: string | null, query: ThreadQuery): StoredPage {
  if (shown.length <= limit) return { threads: shown, nextCursor };
  const threads = shown.slice(0, limit);
  const last = threads.at(-1);
  return { threads, nextCursor: last === undefined ? nextCursor : writeCursor(byTime(query, false).placeOf(last)) };
}

/** How many threads are looked at for an order or a filter that the store does not have. */
const MOST = 10_000;

/** Everything that the store finds and that fits, from the newest on. */
export async function allFitting(
  list: List,
  { cursor: _, ...query }: ThreadQuery,
  fits: Fits,
): Promise<StoredThread[]> {
  const all: StoredThread[] = [];
  for (let next: string | null | undefined; next !== null && all.length < MOST; ) {
    const page = await list({ ...query, limit: 100, ...(next === undefined ? {} : { cursor: next }) });
    all.push(...page.threads.filter(fits));
    next = page.nextCursor;
  }
  return all;
}

/** Of these threads, in an order that the store does not have. */
export async function pageOf(
  all: readonly StoredThread[],
  { placeOf, isRising, read, write }: ListOrder,
  { cursor, limit }: ThreadQuery,
  isWanted: Wanted | undefined,
): Promise<StoredPage> {
  const compare = (a: PagePlace, b: PagePlace) => (isRising ? comparePlaces(b, a) : comparePlaces(a, b));
  const after = cursor === undefined ? undefined : read(cursor);
  const behind = (thread: StoredThread) => after === undefined || compare(placeOf(thread), after) > 0;
  const most = pageLimit(limit);
  const sorted = all.toSorted((a, b) => compare(placeOf(a), placeOf(b)));
  const rest = await kept(sorted, { fits: behind, isWanted }, most + 1);
  const threads = rest.slice(0, most);
  const last = threads.length < rest.length ? threads.at(-1) : undefined;
  return { threads, nextCursor: last === undefined ? null : write(placeOf(last)) };
}
