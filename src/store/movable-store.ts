/** What a store offers beside the port, so that its threads can be written out, and move to another store as they lie there. */
import type { LeaseOwner } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { HistoryMode, SessionMeta } from "../protocol/rollout.ts";
import type { ThreadGit, ThreadLocator, ThreadStore } from "./thread-store.ts";

/** A line as it is stored: its place, and its text without the line feed. */
export type StoredLine = { readonly ordinal: number; readonly text: string };

/** How lines are read: half told, so that a copy says what it could not take. */
export type ImageRead = {
  /** Told of each line that has no place of its own, and so does not come along. */
  readonly onLeft?: ((why: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
};

/** A thread as another store is to hold it. */
export type ThreadImage = {
  readonly threadId: ThreadId;
  /** The header of its own. */
  readonly meta: SessionMeta;
  readonly historyMode: HistoryMode;
  /** Unix milliseconds. */
  readonly updatedAt: number;
  readonly archived: boolean;
  readonly name: string | null;
  /** What was noted of its repository; undefined: what the header says holds. */
  readonly git: ThreadGit | null | undefined;
  /** Whose lines it inherits, and how many (W3). */
  readonly base: { readonly threadId: ThreadId; readonly end: number } | null;
  /** The thread's own lines, its header first, in pages, by rising ordinals: those that there were when it was looked at. */
  lines(read?: ImageRead): AsyncIterable<readonly StoredLine[]>;
};

/** A thread as it lies in a store now. */
export type StoredImage = ThreadImage & {
  /** Grows with each line. */
  readonly size: number;
  /** Who writes it now. */
  readonly owner: LeaseOwner | null;
  /** As `lines`, with what it inherits before them, headers of ancestors included. */
  history(read?: ImageRead): AsyncIterable<readonly StoredLine[]>;
};

/** How a thread is written out. */
export type ExportOptions = {
  /** `"legacy"`, which 0.80 and 0.87 resume too, or `"paginated"`. Default `"legacy"`. */
  readonly format?: HistoryMode;
  readonly signal?: AbortSignal;
};

/** A store whose threads can leave it and come into it whole. */
export interface MovableStore extends ThreadStore {
  /** Whether legacy threads share lines with their forks here. In files they cannot: Codex reads no base there. */
  readonly sharesLegacyLines: boolean;
  /** The thread as one self-contained rollout file, in pieces of whole lines. @throws RolloutNotFoundError */
  export(thread: ThreadLocator, options?: ExportOptions): AsyncGenerator<string>;
  /** The thread as it lies here; nothing is changed, and no lease is taken. @throws RolloutNotFoundError */
  image(threadId: ThreadId): Promise<StoredImage>;
  /**
   * Stores a thread that lies elsewhere: all of it or nothing, whatever happens. Its base must be here.
   * @throws DuplicateThreadError, RolloutNotFoundError (the base), InvalidForkPointError (it has not so many lines), StoreIoError
   */
  place(thread: ThreadImage, options?: { readonly signal?: AbortSignal }): Promise<void>;
}
