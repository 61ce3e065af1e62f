/**
 * Pages of a thread's turns and items. A cursor is the place of one of them, and serves in both directions:
 * `includeAnchor` says whether that one comes again.
 */
import * as z from "zod";
import type { HistoryMode } from "../../protocol/rollout.ts";
import { pageLimit } from "../../store/thread-query.ts";
import { invalidRequest } from "../rpc-error.ts";
import { type HistoryTurn, viewOf } from "./history-turns.ts";
import type { ItemsView, V2Item, V2Turn } from "./wire-types.ts";

const cursorSchema = z.object({
  requestedThreadId: z.string(),
  rolloutOrdinal: z.int().min(0),
  includeAnchor: z.boolean(),
  scope: z.looseObject({ kind: z.string() }),
});
type Cursor = Pick<z.infer<typeof cursorSchema>, "rolloutOrdinal" | "includeAnchor">;
/** The turns of a legacy thread are named and not counted. */
const turnCursorSchema = z.object({ turnId: z.string(), includeAnchor: z.boolean() });
export type PageKind = "turns" | "itemsByCreatedAtOrdinal";

export type PageQuery = {
  threadId: string;
  historyMode?: HistoryMode | undefined;
  cursor?: string | null | undefined;
  limit?: number | null | undefined;
  sortDirection?: "asc" | "desc" | null | undefined;
};
export type Page<T> = { data: T[]; nextCursor: string | null; backwardsCursor: string | null };

/** A place after everything: the end of a history that has not been read. */
const END = Number.MAX_SAFE_INTEGER;

export const writeCursor = (kind: PageKind, threadId: string, rolloutOrdinal: number, includeAnchor: boolean): string =>
  JSON.stringify({ requestedThreadId: threadId, rolloutOrdinal, includeAnchor, scope: { kind } });

/** From the end of the thread backwards. */
export const endCursor = (kind: PageKind, threadId: string): string => writeCursor(kind, threadId, END, true);

/** @param entries to be looked through for a turn that the cursor names */
function readCursor(text: string, threadId: string, entries: readonly Entry[]): Cursor {
  try {
    const json: unknown = JSON.parse(text);
    const named = turnCursorSchema.safeParse(json);
    if (named.success) {
      const entry = entries.find(({ id }) => id === named.data.turnId);
      if (entry !== undefined) return { rolloutOrdinal: entry.ordinal, includeAnchor: named.data.includeAnchor };
    } else {
      const cursor = cursorSchema.parse(json);
      if (cursor.requestedThreadId === threadId) return cursor;
    }
  } catch {
    // Said below.
  }
  throw invalidRequest(`invalid cursor: ${text}`);
}

type Entry = { readonly ordinal: number; readonly id?: string };

/** @param entries by rising ordinal */
function pageOf<E extends Entry, T>(
  kind: PageKind,
  entries: readonly E[],
  query: PageQuery,
  defaults: { direction: "asc" | "desc" },
  show: (entry: E) => T,
): Page<T> {
  const { threadId } = query;
  const isRising = (query.sortDirection ?? defaults.direction) === "asc";
  const limit = pageLimit(query.limit);
  const cursor = query.cursor == null ? undefined : readCursor(query.cursor, threadId, entries);
  const ordered = isRising ? [...entries] : entries.toReversed();
  const rest = cursor === undefined ? ordered : ordered.filter(({ ordinal }) => isAfter(ordinal, cursor, isRising));
  const shown = rest.slice(0, limit);
  const first = shown[0];
  const last = shown.at(-1);
  const cursorOf = ({ ordinal, id }: E, includeAnchor: boolean): string =>
    query.historyMode === "legacy" && id !== undefined
      ? JSON.stringify({ turnId: id, includeAnchor })
      : writeCursor(kind, threadId, ordinal, includeAnchor);
  return {
    data: shown.map(show),
    nextCursor: last !== undefined && rest.length > shown.length ? cursorOf(last, false) : null,
    backwardsCursor: first === undefined ? null : cursorOf(first, true),
  };
}

function isAfter(ordinal: number, { rolloutOrdinal, includeAnchor }: Cursor, isRising: boolean): boolean {
  if (ordinal === rolloutOrdinal) return includeAnchor;
  return isRising ? ordinal > rolloutOrdinal : ordinal < rolloutOrdinal;
}

export const turnsPage = (
  turns: readonly HistoryTurn[],
  query: PageQuery & { itemsView?: ItemsView | null | undefined },
): Page<V2Turn> =>
  pageOf("turns", turns, query, { direction: "desc" }, (turn) => viewOf(turn, query.itemsView ?? "summary"));

export function itemsPage(
  turns: readonly HistoryTurn[],
  query: PageQuery & { turnId?: string | null | undefined },
): Page<{ turnId: string; item: V2Item; startedAtMs: number | null; completedAtMs: number | null }> {
  const wanted = query.turnId == null ? turns : turns.filter(({ id }) => id === query.turnId);
  const entries = wanted
    .flatMap(({ id, items }) => items.map((placed) => ({ ...placed, turnId: id })))
    .sort((a, b) => a.ordinal - b.ordinal);
  return pageOf("itemsByCreatedAtOrdinal", entries, query, { direction: "asc" }, ({ turnId, item }) =>
    itemRow(turnId, item),
  );
}

export const itemRow = (turnId: string, item: V2Item) => ({
  turnId,
  item,
  startedAtMs: item.startedAtMs,
  completedAtMs: item.completedAtMs,
});
