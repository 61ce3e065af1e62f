import { InternalDefect } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { CatalogAnchors } from "./catalog-anchors.ts";
import type { StoredThread, ThreadPage, ThreadQuery } from "./thread-store.ts";

/** One thread as the catalog keeps it: what lists show, and by what a scan sees that its file has changed. */
export type CatalogRow = StoredThread & {
  /** The thread whose lines this one begins with (its history_base); null when all lines are its own. */
  readonly baseThreadId: ThreadId | null;
  readonly fileSize: number;
  readonly mtimeMs: number;
  /** The texts of the first user messages, SEARCHED_CHARS at most. Left out: those of before stay. */
  readonly searchText?: string;
};

export type CatalogFile = Pick<CatalogRow, "threadId" | "rolloutPath" | "archived" | "fileSize" | "mtimeMs">;

/** What changes with each append. */
export type CatalogGrowth = Pick<CatalogRow, "threadId" | "updatedAt" | "fileSize" | "mtimeMs">;

const unfinished = (): never => {
  throw new InternalDefect("not built yet");
};

export class Catalog {
  declare readonly path: string;
  declare readonly anchors: CatalogAnchors;

  /** `fresh`: there was none, or one that was damaged or of another version and was thrown away. It has no rows yet. */
  static open(_path: string): { catalog: Catalog; fresh: boolean } {
    return unfinished();
  }

  /** Adds or replaces rows, in one transaction. */
  put(_rows: Iterable<CatalogRow>): void {
    unfinished();
  }

  /** Notes growth of threads that are there; others are passed over. One transaction. */
  grow(_rows: Iterable<CatalogGrowth>): void {
    unfinished();
  }

  get(_threadId: ThreadId): CatalogRow | undefined {
    return unfinished();
  }

  list(_query?: ThreadQuery): ThreadPage {
    return unfinished();
  }

  /** Every thread's file, for the scan that finds what is new, changed or gone. */
  files(): Iterable<CatalogFile> {
    return unfinished();
  }

  /** false: there was no such thread. Its anchors stay for as long as another thread's `baseThreadId` leads to it. */
  remove(_threadId: ThreadId): boolean {
    return unfinished();
  }

  setArchived(_threadId: ThreadId, _archived: boolean, _rolloutPath: string | null): boolean {
    return unfinished();
  }

  rename(_threadId: ThreadId, _name: string | null): boolean {
    return unfinished();
  }

  /** Direct forks, the oldest first. */
  children(_threadId: ThreadId): ThreadId[] {
    return unfinished();
  }

  /** Direct forks and theirs, parents before children; through threads that are gone as well. */
  descendants(_threadId: ThreadId): ThreadId[] {
    return unfinished();
  }

  /** Those whose `baseThreadId` this is: they need its lines. */
  inheritors(_threadId: ThreadId): ThreadId[] {
    return unfinished();
  }

  close(): void {
    unfinished();
  }
}

/** Whether an error says that the database is damaged: close it and open it anew, which makes a fresh one. */
export function isCatalogDamage(_error: unknown): boolean {
  return unfinished();
}
