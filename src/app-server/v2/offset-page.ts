/** Pages of a list that stands in memory. */
import { invalidRequest } from "../rpc-error.ts";

type PageParams = { cursor?: string | null | undefined; limit?: number | null | undefined };

/** A cursor is the number of those that came before. */
export function pageOf<T>(all: readonly T[], { cursor, limit }: PageParams, what: string) {
  const from = cursor == null ? 0 : readOffset(cursor, all.length, what);
  const to = limit == null ? all.length : from + Math.max(1, limit);
  return { data: all.slice(from, to), nextCursor: to < all.length ? String(to) : null };
}

function readOffset(cursor: string, total: number, what: string): number {
  if (!/^\d+$/.test(cursor)) throw invalidRequest(`invalid cursor: ${cursor}`);
  const offset = Number(cursor);
  if (offset > total) throw invalidRequest(`cursor ${offset} exceeds total ${what} ${total}`);
  return offset;
}
