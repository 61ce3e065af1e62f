/** Pages of the tree: all that is stored, sub-agents and threads without a word too, and what no store lists. */
import type { ThreadManager } from "../../manager/thread-manager.ts";
import type { ThreadId } from "../../protocol/ids.ts";
import { ifStored } from "../../store/is-stored.ts";
import { ALL_SOURCE_KINDS } from "../../store/thread-query.ts";
import type { StoredThread } from "../../store/thread-store.ts";
import { agentsUnder } from "../v2/agent-family.ts";
import { TREE_COLUMNS } from "./rows.ts";
import type { Studio } from "./studio.ts";
import type { TreePage, TreeRow } from "./wire.ts";

export const TREE_PAGE = 2_000;
const LIST_PAGE = 100;

export type TreeQuery = {
  readonly cursor: string | undefined;
  readonly limit: number;
  readonly archived: boolean;
};

/** Newest first. Ephemeral threads stand on the first page, which so may be longer. */
export async function readTree(studio: Studio, manager: ThreadManager, query: TreeQuery): Promise<TreePage> {
  const { cursor, limit, archived } = query;
  const stored: StoredThread[] = [];
  let next: string | null = cursor ?? null;
  do {
    const page = await manager.store.list({
      sourceKinds: ALL_SOURCE_KINDS,
      archived,
      limit: Math.min(LIST_PAGE, limit - stored.length),
      ...(next !== null && { cursor: next }),
    });
    stored.push(...page.threads);
    next = page.nextCursor;
  } while (next !== null && stored.length < limit);
  const unlisted = cursor === undefined && !archived ? await unlistedThreads(manager) : [];
  // Nothing is awaited from here on: a change that is told later is newer than these rows.
  const rows: TreeRow[] = stored.map((thread) => studio.rows.ofStored(thread));
  for (const id of unlisted) {
    const thread = manager.loadedThread(id);
    if (thread !== undefined) rows.push(studio.rows.ofUnlisted(thread));
  }
  return pageOf(studio, rows, next);
}

async function unlistedThreads(manager: ThreadManager): Promise<ThreadId[]> {
  const ids = await manager.listThreadIds();
  return ids.filter((id) => manager.loadedThread(id)?.config.ephemeral === true);
}

/** A thread, its agents and their forks, at any depth; all on one page. */
export async function readSubtree(studio: Studio, manager: ThreadManager, root: ThreadId): Promise<TreePage> {
  const ids = await familyOf(manager, root);
  const read = await Promise.all([...ids].map((id) => studio.rows.read(id)));
  return pageOf(
    studio,
    read.filter((row) => row !== undefined),
    null,
  );
}

/** A thread, its agents and their forks, at any depth. */
export async function familyOf(manager: ThreadManager, root: ThreadId): Promise<ReadonlySet<ThreadId>> {
  const ids = new Set<ThreadId>([root]);
  for (const id of ids) {
    for (const agent of await agentsUnder(manager.store, id, { archived: "either" })) ids.add(agent);
    for (const fork of (await ifStored(manager.descendants(id))) ?? []) ids.add(fork);
  }
  return ids;
}

const pageOf = (studio: Studio, rows: readonly TreeRow[], nextCursor: string | null): TreePage => ({
  instanceId: studio.instanceId,
  seq: studio.seq,
  columns: TREE_COLUMNS,
  rows,
  nextCursor,
});
