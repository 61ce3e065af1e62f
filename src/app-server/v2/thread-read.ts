/** thread/read, turns/list, items/list, list, loaded/list and search: what is stored, and what is loaded. */
import * as z from "zod";
import { RolloutNotFoundError } from "../../protocol/errors.ts";
import { parseThreadId, type ThreadId } from "../../protocol/ids.ts";
import { type Call, type MethodTable, method } from "../method.ts";
import {
  loose,
  optionalCount,
  optionalFlag,
  optionalText,
  optionalTexts,
  sortDirection,
  text,
  untagged,
} from "../params.ts";
import { INVALID_PARAMS, invalidRequest, METHOD_NOT_FOUND, RpcError } from "../rpc-error.ts";
import type { ServerContext } from "../server-context.ts";
import { itemRow, itemsPage, turnsPage } from "./pages.ts";
import { passedOver } from "./passed-over.ts";
import { listThreads, sourceKind } from "./thread-list.ts";
import { readThreadId } from "./thread-source.ts";
import { itemsView } from "./thread-start.ts";
import { findStored, fullTurns, type History, modeOf } from "./thread-view.ts";

const readSchema = z.object({ threadId: text, includeTurns: optionalFlag });
const page = { threadId: text, cursor: optionalText, limit: optionalCount, sortDirection };
const turnsSchema = z.object({ ...page, itemsView });
const itemsSchema = z.object({ ...page, ...passedOver.items, turnId: optionalText });
const readItemsSchema = z.object({ threadId: text, turnId: text, itemIds: z.array(text) });
const loadedSchema = z.object({ cursor: optionalText, limit: optionalCount });
export const query = {
  cursor: optionalText,
  limit: optionalCount,
  sortDirection,
  sourceKinds: z.array(sourceKind).nullish(),
  archived: optionalFlag,
};
const listSchema = z.object({
  ...query,
  ...passedOver.list,
  attachedToThreadId: optionalText,
  includeAttachedThreads: optionalFlag,
  projectId: optionalText,
  sectionId: optionalText,
  sortKey: z.enum(["created_at", "updated_at", "recency_at", "section_position", "relevance"]).nullish(),
  modelProviders: optionalTexts,
  cwd: z.union([text, z.array(text)], untagged("ThreadListCwdFilter")).nullish(),
  searchTerm: optionalText,
  parentThreadId: optionalText,
  ancestorThreadId: optionalText,
  includeEmpty: optionalFlag,
  includedThreadIds: optionalTexts,
  excludedThreadIds: optionalTexts,
  originators: optionalTexts,
});

const LIST_EXPERIMENTAL = [
  "ancestorThreadId",
  "attachedToThreadId",
  "includeAttachedThreads",
  "parentThreadId",
  "projectId",
];

const READ_NOTICE = {
  method: "deprecationNotice",
  params: {
    summary:
      "Full-history hydration is deprecated for paginated threads; omit `includeTurns` or set it to `false`, then page with `thread/turns/list` and `thread/items/list`.",
    details: null,
  },
};

export const threadReadMethods = (server: ServerContext): MethodTable => ({
  "thread/list": method({
    params: loose(listSchema),
    experimental: LIST_EXPERIMENTAL,
    handle: (params) => {
      if (params.searchTerm != null) checkTerm(params.searchTerm, "thread/list");
      return listThreads(server, params);
    },
  }),
  "thread/loaded/list": method({ params: loadedSchema, handle: (params) => listLoaded(server, params) }),
  "thread/read": method({ params: readSchema, handle: (params, call) => read(server, params, call) }),
  "thread/turns/list": method({
    params: turnsSchema,
    handle: async (params, call) => {
      const { threadId, turns } = await historyOf(server, params.threadId, "thread/turns/list", call);
      const historyMode = modeOf(await server.manager.store.header(threadId));
      return turnsPage(turns, { ...params, threadId, historyMode });
    },
  }),
  "thread/items/read": method({
    params: readItemsSchema,
    experimental: true,
    handle: async ({ threadId: given, turnId, itemIds }, call) => {
      if (itemIds.length === 0 || itemIds.length > 100) throw invalidRequest("itemIds must contain 1 to 100 IDs");
      const { turns } = await paginatedHistory(server, given, "thread/items/read", call);
      const wanted = new Set(itemIds);
      const items = turns.find(({ id }) => id === turnId)?.items ?? [];
      return { data: items.filter(({ item }) => wanted.has(item.id)).map(({ item }) => itemRow(turnId, item)) };
    },
  }),
  "thread/items/list": method({
    params: itemsSchema,
    handle: async (params, call) => {
      const { threadId, turns } = await historyOf(server, params.threadId, "thread/items/list", call);
      return itemsPage(turns, { ...params, threadId });
    },
  }),
});

/** Longer than anything that somebody looks for. */
const LONGEST_TERM = 65_536;

/** @throws RpcError -32602 */
export function checkTerm(term: string, what: string): void {
  if (term.length <= LONGEST_TERM / 4 || Buffer.byteLength(term) <= LONGEST_TERM) return;
  throw new RpcError(INVALID_PARAMS, `${what} searchTerm exceeds ${LONGEST_TERM} UTF-8 bytes`);
}

async function read(server: ServerContext, params: z.infer<typeof readSchema>, call: Call): Promise<unknown> {
  const threadId = readThreadId(params.threadId);
  const view = await notLoaded(threadId, () => server.views.read(threadId));
  // An agent's thread is nobody's to read.
  const readState = view.parentThreadId === null ? { firstUnread: null, revision: `initial:${threadId}` } : null;
  if (params.includeTurns !== true) return { thread: view, readState };
  const history = await historyOf(server, params.threadId, "includeTurns", call);
  if (view.historyMode === "paginated") call.connection.tell(READ_NOTICE);
  return { thread: { ...view, turns: fullTurns(history) }, readState };
}

async function historyOf(
  { views }: ServerContext,
  text: string,
  what: string,
  call: Call,
): Promise<History & { threadId: ThreadId }> {
  const threadId = readThreadId(text);
  if (views.ephemeral.has(threadId)) throw invalidRequest(`ephemeral threads do not support ${what}`);
  return { ...(await notLoaded(threadId, () => views.history(threadId, call.signal))), threadId };
}

/** The history of a thread whose items can be told apart for good. @throws RpcError -32601 for any other, as stock Codex */
export async function paginatedHistory(
  server: ServerContext,
  text: string,
  what: string,
  call: Call,
): Promise<History & { threadId: ThreadId }> {
  const threadId = readThreadId(text);
  const stored = server.views.ephemeral.has(threadId) ? undefined : await findStored(server.manager, threadId);
  if (stored !== undefined && stored.historyMode === "paginated") return historyOf(server, text, what, call);
  throw new RpcError(METHOD_NOT_FOUND, `${what} is not supported yet`);
}

async function notLoaded<T>(threadId: ThreadId, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof RolloutNotFoundError)) throw error;
    throw invalidRequest(`thread not loaded: ${threadId}`, { code: error.code, cause: error });
  }
}

/** By id, as text. The cursor is the last id given; it need not be loaded any more. */
async function listLoaded(
  { manager }: ServerContext,
  { cursor, limit }: z.infer<typeof loadedSchema>,
): Promise<{ data: ThreadId[]; nextCursor: string | null }> {
  const ids = (await manager.listThreadIds()).sort();
  const after = cursor == null ? undefined : readCursor(cursor);
  const rest = after === undefined ? ids : ids.filter((id) => id > after);
  const data = limit == null ? rest : rest.slice(0, Math.max(1, limit));
  return { data, nextCursor: data.length < rest.length ? (data.at(-1) ?? null) : null };
}

function readCursor(cursor: string): ThreadId {
  try {
    return parseThreadId(cursor);
  } catch (cause) {
    throw invalidRequest(`invalid cursor: ${cursor}`, { cause });
  }
}
