/** A page of stored threads (SPEC 8 and 13.4). */
import * as z from "zod";
import type { ThreadId } from "../../protocol/ids.ts";
import { placeOf as folderOf } from "../../store/place.ts";
import type { StoredThread, ThreadQuery, ThreadStore } from "../../store/thread-store.ts";
import { INVALID_PARAMS, invalidRequest, projectNotFound, RpcError } from "../rpc-error.ts";
import type { ServerContext } from "../server-context.ts";
import { agentsUnder } from "./agent-family.ts";
import { byPosition, type SectionMembers, threadsOfSection } from "./section-list.ts";
import {
  allFitting,
  byTime,
  type Fits,
  type List,
  type ListOrder,
  pageOf,
  pageOfFitting,
  type StoredPage,
  type Wanted,
  wholeCursor,
} from "./thread-page.ts";
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
  /** null: those that are in none. */
  sectionId?: string | null | undefined;
};

export type ThreadListPage = {
  data: V2Thread[];
  readStates: Record<string, never>;
  nextCursor: string | null;
  backwardsCursor: string | null;
};

export async function listThreads(
  server: ServerContext,
  params: ListParams,
  isWanted?: Wanted,
): Promise<ThreadListPage> {
  const { manager, views, sections } = server;
  if (params.parentThreadId != null && params.ancestorThreadId != null) {
    throw invalidRequest("parentThreadId and ancestorThreadId are mutually exclusive");
  }
  const query = queryOf(params, manager.config.modelProvider);
  const cwds = Array.isArray(params.cwd) && params.cwd.length > 1 ? new Set(params.cwd.map(folderOf)) : undefined;
  const family = params.ancestorThreadId == null ? undefined : await familyOf(manager.store, params.ancestorThreadId);
  const isNamed = namedOnly(params);
  const isNowhere = asksForPlace(params);
  const isSection = params.sectionId != null;
  const members = isSection ? await sections.members(params.sectionId ?? "") : undefined;
  const fits: Fits = (thread) =>
    !isNowhere &&
    (isSection || params.includeEmpty === true || isShown(thread)) &&
    (params.sectionId !== null || sections.placeOf(thread.threadId) === undefined) &&
    isNamed(thread) &&
    (cwds === undefined || cwds.has(folderOf(thread.cwd))) &&
    (family === undefined || family.has(thread.threadId));
  const list: List = (page) => manager.listThreads(page);
  const order = orderOf(params, query, members);
  const page = async (): Promise<StoredPage> => {
    if (members !== undefined)
      return pageOf(await threadsOfSection(server, members, query, fits), order, query, isWanted);
    if (!order.isRising && cwds === undefined) return pageOfFitting(list, query, { fits, isWanted });
    return pageOf(await allFitting(list, query, fits), order, query, isWanted);
  };
  const { threads, nextCursor } = await page();
  return {
    data: threads.map((thread) => ({ ...views.ofStored(thread), canAcceptDirectInput: null })),
    readStates: {},
    nextCursor,
    backwardsCursor: threads[0] === undefined ? null : order.writeBack(order.placeOf(threads[0])),
  };
}

/** A section's own order begins with what stands first, all others with the newest. @throws RpcError where there is no section to have one */
function orderOf(
  { sortKey, sortDirection }: ListParams,
  query: ThreadQuery,
  members: SectionMembers | undefined,
): ListOrder {
  if (sortKey !== "section_position") return byTime(query, sortDirection === "asc");
  if (members === undefined) throw invalidRequest("section-position sorting requires a section filter");
  return byPosition(members, sortDirection === "desc");
}

/** Whether the list is of what is attached to a thread: nothing here is. @throws RpcError for a project, as there are none */
function asksForPlace({ attachedToThreadId, includeAttachedThreads, projectId, searchTerm }: ListParams): boolean {
  if (projectId != null) throw projectNotFound(projectId, INVALID_PARAMS);
  if (attachedToThreadId != null) readThreadId(attachedToThreadId, "attached thread parent");
  if (includeAttachedThreads === true && (searchTerm ?? "").trim() === "") {
    throw invalidRequest("includeAttachedThreads requires a non-empty searchTerm");
  }
  return attachedToThreadId != null;
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

function queryOf(params: ListParams, ownProvider: string): ThreadQuery {
  const { cursor, limit, modelProviders, cwd, searchTerm, parentThreadId, archived, sortKey, sortDirection } = params;
  const isBySection = sortKey === "section_position";
  const providers = providersOf(modelProviders, ownProvider);
  const cwdOf = Array.isArray(cwd) ? (cwd.length === 1 ? cwd[0] : undefined) : (cwd ?? undefined);
  return {
    ...(cursor == null ? {} : { cursor: isBySection ? cursor : wholeCursor(cursor, sortDirection === "asc") }),
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
