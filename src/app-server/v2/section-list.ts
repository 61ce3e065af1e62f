/** The threads of one section, as a client has put them in order. */
import { InvalidRequestError } from "../../protocol/errors.ts";
import { isUuid, parseThreadId, type ThreadId } from "../../protocol/ids.ts";
import { matchesFilters, type PagePlace, planList } from "../../store/thread-query.ts";
import type { StoredThread, ThreadQuery } from "../../store/thread-store.ts";
import type { ServerContext } from "../server-context.ts";
import { allFitting, type Fits, type ListOrder } from "./thread-page.ts";
import { findStored } from "./thread-view.ts";

/** Where each of a section's threads stands. */
export type SectionMembers = ReadonlyMap<ThreadId, number>;

/** Those of a section that the query is for and that fit. Each is asked for by its id: a section is small beside a home. */
export async function threadsOfSection(
  { manager }: ServerContext,
  members: SectionMembers,
  { cursor: _, ...query }: ThreadQuery,
  fits: Fits,
): Promise<StoredThread[]> {
  if (query.search !== undefined) {
    const list = (page: ThreadQuery) => manager.listThreads(page);
    return allFitting(list, query, (thread) => members.has(thread.threadId) && fits(thread));
  }
  const plan = planList(query);
  const found: StoredThread[] = [];
  for (const threadId of members.keys()) {
    const thread = await findStored(manager, threadId);
    if (thread !== undefined && matchesFilters(plan, thread) && fits(thread)) found.push(thread);
  }
  return found;
}

/** Positions rise where the places of a list fall, so a place is a position below zero. */
export function byPosition(members: SectionMembers, isRising: boolean): ListOrder {
  const write = ({ at, threadId }: PagePlace) => `${-at}|${threadId}`;
  return {
    placeOf: ({ threadId }) => ({ at: -(members.get(threadId) ?? 0), threadId }),
    isRising,
    read: readPosition,
    write,
    // Just before the thread, that it comes again: as stock Codex.
    writeBack: ({ at, threadId }) => write({ at: isRising ? at + 1 : at - 1, threadId }),
  };
}

function readPosition(cursor: string): PagePlace {
  const [position = "", threadId = "", ...rest] = cursor.split("|");
  if (!/^-?\d{1,16}$/.test(position) || !isUuid(threadId) || rest.length > 0)
    throw new InvalidRequestError(`invalid cursor: ${cursor}`);
  return { at: -Number(position), threadId: parseThreadId(threadId) };
}
