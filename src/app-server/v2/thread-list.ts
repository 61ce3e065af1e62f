/** A page of stored threads (SPEC 8 and 13.4). */
import * as z from "zod";
import type { ThreadId } from "../../protocol/ids.ts";
import { placeOf as folderOf } from "../../store/place.ts";
import { comparePlaces, type PagePlace, pageLimit, readCursor, writeCursor } from "../../store/thread-query.ts";
import type { StoredThread, ThreadQuery, ThreadStore } from "../../store/thread-store.ts";
import { INVALID_PARAMS, invalidRequest, projectNotFound, RpcError } from "../rpc-error.ts";
import type { ServerContext } from "../server-context.ts";
import { agentsUnder } from "./agent-family.ts";
import { readThreadId } from "./thread-source.ts";
import type { V2Thread } from "./wire-types.ts";

export const sourceKind = z.enum([
  ...(["cli", "vscode", "exec", "appServer", "subAgent", "subAgentReview", "subAgentCompact"] as const),
  ...(["subAgentThreadSpawn", "subAgentOther", "unknown"] as const),
]);

export type ListParams = {
  cursor?: string | null | undefined;
  limit?: number | null | undefined;
  sortKey?: string | null | undefined;
  sortDirection?: "asc" | "desc" | null | undefined;
  modelProviders?: string[] | null | undefined;
  sourceKinds?: z.infer<typeof sourceKind>[] | null | undefined;
  archived?: boolean | null | undefined;
  cwd?: string | string[] | null | undefined;
  searchTerm?: string | null | undefined;
  parentThreadId?: string | null | undefined;
  ancestorThreadId?: string | null | undefined;
  includeEmpty?: boolean | null | undefined;
  includedThreadIds?: string[] | null | undefined;
  excludedThreadIds?: string[] | null | undefined;
  originators?: string[] | null | undefined;
  attachedToThreadId?: string | null | undefined;
  includeAttachedThreads?: boolean | null | undefined;
  projectId?: string | null | undefined;
  sectionId?: string | null | undefined;
};

export type ThreadListPage = {
  data: V2Thread[];
  readStates: Record<string, never>;
  nextCursor: string | null;
  backwardsCursor: string | null;
};

type StoredPage = { threads: readonly StoredThread[]; nextCursor: string | null };
type List = (query: ThreadQuery) => Promise<StoredPage>;
type Fits = (thread: StoredThread) => boolean;
/** What has to be read of a thread to know whether it is wanted: looked at in the order of the list, and no further than a page. */
export type Wanted = (thread: StoredThread) => Promise<boolean>;

export async function listThreads(
  { manager, views }: ServerContext,
  params: ListParams,
  isWanted?: Wanted,
): Promise<ThreadListPage> {
  if (params.parentThreadId != null && params.ancestorThreadId != null) {
    throw invalidRequest("parentThreadId and ancestorThreadId are mutually exclusive");
  }
  const query = queryOf(params, manager.config.modelProvider);
  const cwds = Array.isArray(params.cwd) && params.cwd.length > 1 ? new Set(params.cwd.map(folderOf)) : undefined;
  const family = params.ancestorThreadId == null ? undefined : await familyOf(manager.store, params.ancestorThreadId);
  const isAsked = params.includeEmpty === true ? () => true : isShown;
  const isNamed = namedOnly(params);
  const isNowhere = asksForPlace(params);
  const fits: Fits = (thread) =>
    !isNowhere &&
    isAsked(thread) &&
    isNamed(thread) &&
    (cwds === undefined || cwds.has(folderOf(thread.cwd))) &&
    (family === undefined || family.has(thread.threadId));
  const list: List = (page) => manager.listThreads(page);
  const { threads, nextCursor } =
    params.sortDirection === "asc" || cwds !== undefined
      ? await pageOfAll(list, query, params, { fits, isWanted })
      : await pageOfFitting(list, query, { fits, isWanted });
  return {
    data: threads.map((thread) => ({ ...views.ofStored(thread), canAcceptDirectInput: null })),
    readStates: {},
    nextCursor,
    backwardsCursor: threads[0] === undefined ? null : writeCursor(placeOf(threads[0], query)),
  };
}

/** Whether the list is of a section, or of what is attached to a thread: no thread here is. @throws RpcError for a project, as there are none */
function asksForPlace({
  attachedToThreadId,
  includeAttachedThreads,
  projectId,
  sectionId,
  searchTerm,
}: ListParams): boolean {
  if (projectId != null) throw projectNotFound(projectId, INVALID_PARAMS);
  if (attachedToThreadId != null) readThreadId(attachedToThreadId, "attached thread parent");
  if (includeAttachedThreads === true && (searchTerm ?? "").trim() === "") {
    throw invalidRequest("includeAttachedThreads requires a non-empty searchTerm");
  }
  return attachedToThreadId != null || sectionId != null;
}

const MOST_NAMED = 100;

/** Of the threads that a request names, those that it does not exclude. @throws RpcError -32602 */
function namedOnly({ includedThreadIds, excludedThreadIds, originators }: ListParams): Fits {
  const refuse = (why: string) => new RpcError(INVALID_PARAMS, why);
  const read = (ids: readonly string[] | null | undefined, what: "included thread" | "excluded thread") =>
    ids == null ? undefined : new Set(ids.map((id) => readThreadId(id, what, INVALID_PARAMS)));
  if (originators != null && originators.length > 0) {
    throw refuse("originator filtering is not supported by the local app-server");
  }
  if (includedThreadIds != null && includedThreadIds.length > MOST_NAMED) {
    throw refuse(`includedThreadIds accepts at most ${MOST_NAMED} entries`);
  }
  const included = read(includedThreadIds, "included thread");
  const excluded = read(excludedThreadIds, "excluded thread");
  return ({ threadId }) => included?.has(threadId) !== false && excluded?.has(threadId) !== true;
}

/** A thread's place in the order of a list, which is a cursor for either direction. */
const placeOf = (thread: StoredThread, { orderBy }: ThreadQuery): PagePlace => ({
  at: orderBy === "updatedAt" ? thread.updatedAt : thread.createdAt,
  threadId: thread.threadId,
});

function queryOf(params: ListParams, ownProvider: string): ThreadQuery {
  const { cursor, limit, modelProviders, cwd, searchTerm, parentThreadId, archived, sortKey } = params;
  const providers = providersOf(modelProviders, ownProvider);
  const cwdOf = Array.isArray(cwd) ? (cwd.length === 1 ? cwd[0] : undefined) : (cwd ?? undefined);
  return {
    ...(cursor == null ? {} : { cursor }),
    ...(limit == null ? {} : { limit }),
    ...(providers.length === 0 ? {} : { modelProviders: providers }),
    ...(parentThreadId == null
      ? { sourceKinds: kindsOf(params) }
      : { parentThreadId: readThreadId(parentThreadId, "parent thread") }),
    ...(cwdOf === undefined ? {} : { cwd: cwdOf }),
    ...(searchTerm == null || searchTerm === "" ? {} : { search: searchTerm }),
    archived: archived ?? false,
    orderBy: sortKey == null || sortKey === "created_at" ? "createdAt" : "updatedAt",
  };
}

/** Who asks for a thread's agents asks for no kind. */
function kindsOf({ sourceKinds, ancestorThreadId }: ListParams): string[] {
  if (ancestorThreadId != null) return ["subagent"];
  return sourceKinds == null || sourceKinds.length === 0 ? ["cli", "vscode"] : sourceKinds.map(coreKind);
}

/** The agents of a thread at any depth, archived ones and those of archived ones too: the query says which are listed. */
async function familyOf(store: ThreadStore, ancestorThreadId: string): Promise<ReadonlySet<ThreadId>> {
  const threadId = readThreadId(ancestorThreadId, "ancestor thread");
  return new Set(await agentsUnder(store, threadId, { archived: "either" }));
}

/** A thread that names no provider counts as one of the server's own. */
export function providersOf(given: readonly string[] | null | undefined, own: string): (string | null)[] {
  const named = given ?? [own];
  return named.includes(own) ? [...named, null] : [...named];
}

const coreKind = (kind: string): string =>
  kind === "appServer" ? "mcp" : kind.startsWith("subAgent") ? "subagent" : kind;

/** Threads that nobody has written to are not shown, unless they have been named: stock Codex has no file of them yet. */
const isShown = ({ preview, name }: StoredThread): boolean => preview !== "" || name !== null;

/** A page of the threads that somebody has written to. */
export const pageOfSpoken = (list: List, query: ThreadQuery): Promise<StoredPage> =>
  pageOfFitting(list, query, { fits: isShown });

type Filter = { readonly fits: Fits; readonly isWanted?: Wanted | undefined };

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

async function pageOfFitting(list: List, query: ThreadQuery, filter: Filter): Promise<StoredPage> {
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
  return { threads, nextCursor: last === undefined ? nextCursor : writeCursor(placeOf(last, query)) };
}

/** Lists run from the newest on, and so do places. */
function isBehind(place: PagePlace, after: PagePlace, isRising: boolean): boolean {
  const order = comparePlaces(place, after);
  return isRising ? order < 0 : order > 0;
}

/** How many threads are looked at for an order or a filter that the store does not have. */
const MOST = 10_000;

/** Oldest first, or of several folders: the store knows neither, so all are looked at. */
async function pageOfAll(
  list: List,
  { cursor: _, limit, ...query }: ThreadQuery,
  { sortDirection, cursor }: ListParams,
  { fits, isWanted }: Filter,
): Promise<StoredPage> {
  const all: StoredThread[] = [];
  for (let next: string | null | undefined; next !== null && all.length < MOST; ) {
    const page = await list({ ...query, limit: 100, ...(next === undefined ? {} : { cursor: next }) });
    all.push(...page.threads.filter(fits));
    next = page.nextCursor;
  }
  const isRising = sortDirection === "asc";
  if (isRising) all.reverse();
  const after = cursor == null ? undefined : readCursor(cursor);
  const most = pageLimit(limit);
  const behind = (thread: StoredThread) => after === undefined || isBehind(placeOf(thread, query), after, isRising);
  const rest = await kept(all, { fits: behind, isWanted }, most + 1);
  const threads = rest.slice(0, most);
  const last = threads.length < rest.length ? threads.at(-1) : undefined;
  return { threads, nextCursor: last === undefined ? null : writeCursor(placeOf(last, query)) };
}
