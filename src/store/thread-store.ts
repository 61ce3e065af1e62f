/**
 * The ThreadStore port: where threads last. Implementations pass `storeContract` of `skein/testing`.
 *
 * W1  Appends of one thread are stored in the order of `append`; `flush` resolves when all earlier ones are stored.
 * W2  One writer for each thread, over all processes that share the store; a later one fences the earlier one.
 *     A thread that could not be made or opened is held by nobody, also where the store did it and only the word of it was lost.
 * W3  A fork stores O(1), and reading it stitches the prefix of its ancestors before its own lines.
 * W4  Ordinals count a thread's lines from 0 without gaps; a fork's own lines go on from the end of its base.
 * W5  Lines of unknown kinds are stored and given back as they are.
 * W6  A writer that was fenced, or whose thread is gone, stores nothing more; it hears of it by `onFailure`, at its next
 *     flush at the latest, and what it was not told is stored is not there.
 * W7  What cannot be stored now waits and is tried again; it is given up only with the writer, and told by a typed error.
 * W8  Values are stored as JSON has them at their `append`, U+FFFD for half of a surrogate pair. One that has no JSON (a BigInt, what
 *     holds itself or nests too deep, a getter that throws) is refused: nothing of its line is stored, `onFailure` hears of it and
 *     the next flush rejects with InvalidRequestError, once. In a header, or among adopted lines, it is refused with the thread.
 */

import type { LeaseOwner } from "../protocol/errors.ts";
import type { ThreadId, TurnId } from "../protocol/ids.ts";
import type { ForkAnchor } from "../protocol/initial-history.ts";
import type { HistoryMode, RolloutItem, RolloutLine, SessionMeta } from "../protocol/rollout.ts";
import type { SessionSource } from "../protocol/session-source.ts";
import type { ProblemSink } from "./rollout-problem.ts";
import type { StandingNotes } from "./standing-notes.ts";

/** A place between two lines: how many lines come before it, inherited ones included. A store may add to it what is its own. */
export type Position = { readonly ordinal: number };

/**
 * A thread by its id, or by the path of its rollout file, wherever that lies. A store without files knows ids alone: it reads
 * a locator by `threadIdOf` (without-files.ts).
 */
export type ThreadLocator = ThreadId | { readonly rolloutPath: string };

/** A turn that is open at the end of what is stored. */
export type OpenTurn = { readonly turnId: TurnId | null };

/** Where a fork begins. */
export type ForkBase = {
  /** The thread that was asked to be forked. */
  readonly source: ThreadId;
  /** The thread whose lines below the position are inherited; null when nothing is. Never a copy. */
  readonly inherits: { readonly threadId: ThreadId; readonly end: Position } | null;
  /** How the source stores; a fork goes on with it. Default `paginated`. */
  readonly historyMode?: HistoryMode;
  /** The turn that the inherited history breaks off in, to be recorded as interrupted; its id where it has one. */
  readonly openTurn: OpenTurn | null;
};

/** How a writer is opened. On abort, and past the deadline (milliseconds), nothing is opened and no lease is held. */
export type OpenOptions = {
  signal?: AbortSignal;
  /** What to do when another writer holds the thread. Default `"refuse"`: ThreadBusyError. `"wait"` needs a signal or deadline. */
  lease?: "refuse" | "wait" | "takeOver";
  deadlineMs?: number;
  /** Called when a write fails, or when another writer has taken the thread over; every later flush rejects with it until mended. */
  onFailure?: (error: Error) => void;
};

/** The one writer of a thread. Never throws from `append`: failures go to `onFailure` and to `flush`. */
export interface ThreadWriter {
  readonly threadId: ThreadId;
  /** Rises with every writer that the thread has had, over all processes: the thread's epoch and fencing token. */
  readonly epoch: number;
  /** Which events are to be appended. */
  readonly historyMode: HistoryMode;
  /** The failure that holds now, if any; cleared when a retry succeeds. */
  readonly failure: Error | undefined;
  /** Whether something appended is not stored yet. */
  readonly dirty: boolean;
  append(item: RolloutItem): void;
  /**
   * Resolves when everything appended before is stored: it outlives the process.
   * @throws StoreIoError, ThreadBusyError (taken over); an abort rejects with the signal's reason.
   */
  flush(options?: { signal?: AbortSignal }): Promise<void>;
  /** As {@link flush}, and it outlives the machine, where the store's policy says so: for a turn's end. */
  sync(options?: { signal?: AbortSignal }): Promise<void>;
  /**
   * Asks the store whether the thread is still this writer's, though nothing is to be stored.
   * @throws ThreadBusyError when another one has taken it over: this one has ended then, as after a failed write
   */
  confirm(): Promise<void>;
  /** The end of the thread, with everything appended so far. */
  position(): Position;
  /** Syncs what was appended and gives the lease back. Never rejects for a lease that is lost. */
  close(): Promise<void>;
}

/** The repository that a thread works in. */
export type ThreadGit = {
  readonly sha: string | null;
  readonly branch: string | null;
  readonly originUrl: string | null;
};

/** What is known of a thread without reading its history. */
export type StoredThread = {
  readonly threadId: ThreadId;
  /** null: the store has no files. */
  readonly rolloutPath: string | null;
  /** Unix milliseconds. */
  readonly createdAt: number;
  readonly updatedAt: number;
  /** The text of the first user message; empty when there is none yet. */
  readonly preview: string;
  readonly name: string | null;
  readonly cwd: string;
  readonly modelProvider: string | null;
  readonly cliVersion: string;
  /** The program that the thread was started for. */
  readonly originator: string | null;
  readonly historyMode: HistoryMode;
  readonly source: SessionSource;
  readonly gitInfo: ThreadGit | null;
  /** Of its last request; before the first one, what it began with. null: nobody has written it down. */
  readonly model: string | null;
  readonly reasoningEffort: string | null;
  readonly forkedFromId: ThreadId | null;
  readonly parentThreadId: ThreadId | null;
  readonly archived: boolean;
  /**
   * The last turn did not complete: it was left open when its process died, or was ended by `turn_aborted` (an interrupt, a
   * shutdown, a crash), or was accepted and has not begun. A turn that runs in another process at this moment counts too.
   */
  readonly interrupted: boolean;
  /** The turn that is open at the end of what is stored, of no id where it was accepted and has not begun; null: none is. */
  readonly openTurn: OpenTurn | null;
};

/** Which stored threads to list; what is left out does not narrow the list. */
export type ThreadQuery = {
  /** Opaque: the `nextCursor` of a page. */
  cursor?: string;
  /** 1 to 100, what lies outside is brought within; 25 by default. */
  limit?: number;
  /** Newest first. By default by the time of creation. */
  orderBy?: "createdAt" | "updatedAt";
  /** A folder, however it is written: paths are resolved and links followed. */
  cwd?: string;
  /** null: those that name none. */
  modelProviders?: readonly (string | null)[];
  /** `"cli"`, `"vscode"`, `"exec"`, `"mcp"`, `"subagent"`. By default all but sub-agents. */
  sourceKinds?: readonly string[];
  /** Default false: only those that are not archived. */
  archived?: boolean;
  /** Only those whose last turn did not complete, or only the others. */
  interrupted?: boolean;
  parentThreadId?: ThreadId;
  forkedFromId?: ThreadId;
  /** Words that the preview, name or text must hold. */
  search?: string;
};

/** One page of a listing. `nextCursor` is null on the last. */
export type ThreadPage = { readonly threads: readonly StoredThread[]; readonly nextCursor: string | null };

/** Which lines of a thread to load: half open, by ordinal. On abort the load rejects with the signal's reason. */
export type LoadRange = {
  /** `"compaction"` starts at the last `compacted` line, where there is one: what a model's history needs. Default `"start"`. */
  from?: "start" | "compaction" | { ordinal: number };
  /** Exclusive. */
  toOrdinal?: number;
  /**
   * Of which types lines are given, and of which event where it is an `event_msg`; by default of all. A line that is not wanted is
   * not parsed either, where that stands at its head: so lines that only another reader needs cost no more than their bytes.
   */
  wants?: (type: string, event: string | undefined) => boolean;
  /** Called with what is wrong in the files and passed over, beside the store's log. */
  onProblem?: ProblemSink;
  signal?: AbortSignal;
};

/** Where a turn begins and ends in its thread's rollout; `end` is null while it runs, or when it was cut off. */
export type TurnPlace<P extends Position = Position> = {
  readonly turnId: TurnId;
  readonly start: P;
  readonly end: P | null;
};

/**
 * Where threads last: the port that `fileStore` and `memoryStore` implement, and that another database may. Every method
 * rejects with the signal's reason on abort, and leaves nothing half done.
 */
export interface ThreadStore {
  /** Makes a thread, paginated unless its header says otherwise; the header is stored before this resolves. @throws DuplicateThreadError, StoreIoError */
  create(meta: SessionMeta, options?: OpenOptions): Promise<ThreadWriter>;
  /** Makes a thread that begins at `base` (W3). The store fills in `forked_from_id` and `history_base`. */
  fork(meta: SessionMeta, base: ForkBase, options?: OpenOptions): Promise<ThreadWriter>;
  /** Stores a thread whose lines come from elsewhere, under the id of `meta`. @throws DuplicateThreadError */
  adopt(meta: SessionMeta, items: readonly RolloutItem[], options?: OpenOptions): Promise<ThreadWriter>;
  /** Takes the writer lease of a stored thread. @throws RolloutNotFoundError, RolloutCorruptError, ThreadBusyError */
  open(thread: ThreadLocator, options?: OpenOptions): Promise<ThreadWriter>;

  /** The thread's own header (the first session_meta). @throws RolloutNotFoundError, RolloutCorruptError */
  header(thread: ThreadLocator): Promise<SessionMeta>;
  /** The lines, inherited ones first, in pages; torn or garbage lines are left out and reported by the store's log. */
  load(thread: ThreadLocator, range?: LoadRange): AsyncIterable<readonly RolloutLine[]>;
  /**
   * Turns an anchor into the base of a fork, without reading the history that it shares.
   * undefined: nothing is inherited since the anchor lies outside (SPEC 6.2), so the fork is a new thread.
   * @throws InvalidForkPointError for a turn that the thread does not have or that is still running.
   */
  forkBase(thread: ThreadLocator, at: ForkAnchor): Promise<ForkBase | undefined>;
  /** Where a turn lies; undefined when the thread has none of this id. */
  findTurn(threadId: ThreadId, turnId: TurnId): Promise<TurnPlace | undefined>;

  /** Metadata of one thread. @throws RolloutNotFoundError */
  get(threadId: ThreadId): Promise<StoredThread>;
  list(query?: ThreadQuery): Promise<ThreadPage>;
  /** From the thread it was forked from up to the first. Deleted ones are named as long as a descendant needs them. */
  ancestors(threadId: ThreadId): Promise<readonly ThreadId[]>;
  /** Direct forks and theirs, parents before children. */
  descendants(threadId: ThreadId): Promise<readonly ThreadId[]>;
  rename(threadId: ThreadId, name: string | null): Promise<void>;
  /** Replaces what is shown of the thread's repository; its lines stay as they are. */
  setGitInfo(threadId: ThreadId, gitInfo: ThreadGit | null): Promise<void>;
  archive(threadId: ThreadId): Promise<void>;
  unarchive(threadId: ThreadId): Promise<void>;
  /** Never breaks a fork, and is never refused because of one: what children still need is kept (F3). */
  delete(threadId: ThreadId): Promise<void>;

  /**
   * Who writes a thread now, by its lease: a process that lives, this one too. null: nobody does, or there is no such thread.
   * Nothing is taken, waited for or written by asking. A store whose leases are of this process alone need not say it.
   */
  holderOf?(threadId: ThreadId): Promise<LeaseOwner | null>;

  /**
   * What stands beside the lines of a thread: its budgets' use, its timers, mail that waits. A store without it has them kept in
   * memory, as long as its manager lives.
   */
  readonly notes?: StandingNotes | undefined;

  /** Flushes every writer and frees all that the store holds. */
  close(): Promise<void>;
}
