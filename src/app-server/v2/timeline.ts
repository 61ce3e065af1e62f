/** thread/timeline/list: a thread's turns and items as rows, each at the place of its line, in pages from the end. */
import * as z from "zod";
import { type MethodTable, method } from "../method.ts";
import { optionalCount, optionalText, text } from "../params.ts";
import { invalidRequest, METHOD_NOT_FOUND, RpcError } from "../rpc-error.ts";
import type { ServerContext } from "../server-context.ts";
import type { HistoryTurn } from "./history-turns.ts";
import { paginatedHistory } from "./thread-read.ts";
import type { V2Item, V2Turn } from "./wire-types.ts";

const METHOD = "thread/timeline/list";
const DEFAULT_LIMIT = 100;
const MAX_LIMIT = 100;

const listSchema = z.object({ threadId: text, cursor: optionalText, limit: optionalCount });

export const timelineMethods = (server: ServerContext): MethodTable => ({
  [METHOD]: method({
    params: listSchema,
    experimental: true,
    handle: async (params, call) => {
      const { turns, threadId } = await paginatedHistory(server, params.threadId, METHOD, call);
      if (turns.length === 0) throw new RpcError(METHOD_NOT_FOUND, `${METHOD} is not supported yet`);
      const rows = turns.flatMap(rowsOf).sort((a, b) => a.position - b.position);
      const end = params.cursor == null ? rows.length : placeOf(params.cursor, { rows, threadId });
      const start = Math.max(0, end - Math.min(MAX_LIMIT, Math.max(1, params.limit ?? DEFAULT_LIMIT)));
      const first = rows[start];
      return {
        data: rows.slice(start, end),
        nextCursor: start === 0 || first === undefined ? null : cursorOf(first, threadId),
        activeRealtimeSessionAtPageStart: null,
      };
    },
  }),
});

type Row =
  | { type: "turnStarted"; position: number; turnId: string; startedAt: number | null }
  | { type: "item"; position: number; turnId: string; item: V2Item }
  | ({ type: "turnCompleted"; position: number; turnId: string } & Pick<
      V2Turn,
      "status" | "error" | "startedAt" | "completedAt" | "durationMs"
    >);

/** What has begun and not ended has no line of its own yet, and no row. */
function rowsOf({ id: turnId, ordinal, endOrdinal, items, turn }: HistoryTurn): Row[] {
  const { status, error, startedAt, completedAt, durationMs } = turn;
  const rows: Row[] = [{ type: "turnStarted", position: ordinal, turnId, startedAt }];
  for (const { ordinal: position, item } of items) {
    if (item.completedAtMs !== null) rows.push({ type: "item", position, turnId, item });
  }
  if (endOrdinal !== undefined) {
    const end = { status, error, startedAt, completedAt, durationMs };
    rows.push({ type: "turnCompleted", position: endOrdinal, turnId, ...end });
  }
  return rows;
}

/** Stock Codex's numbers. */
const KINDS = { turnStarted: 0, item: 1, turnCompleted: 3 } as const;

const idOf = (row: Row): string => (row.type === "item" ? row.item.id : row.turnId);

/** Names the first row of a page: the next page ends before it. */
const cursorOf = (row: Row, threadId: string): string =>
  JSON.stringify({ threadId, position: row.position, kind: KINDS[row.type], id: idOf(row) });

const cursorSchema = z.object({ threadId: text, position: z.int().min(0), kind: z.int().min(0), id: text });

/** A row that was taken back meanwhile leaves its place. @throws RpcError */
function placeOf(given: string, { rows, threadId }: { rows: readonly Row[]; threadId: string }): number {
  try {
    const cursor = cursorSchema.parse(JSON.parse(given));
    if (cursor.threadId === threadId) {
      const at = rows.findIndex(
        (row) => row.position > cursor.position || (row.position === cursor.position && KINDS[row.type] >= cursor.kind),
      );
      return at === -1 ? rows.length : at;
    }
  } catch {
    // Said below.
  }
  throw invalidRequest("invalid thread timeline cursor");
}
