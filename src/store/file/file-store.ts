/** Threads in files: Codex's layout and line format, forks by reference, one writer for each thread over all processes. */

import { elapsedBy, sleep } from "../../kernel/clock.ts";
import { type LeaseOwner, SkeinError, StoreIoError } from "../../protocol/errors.ts";
import type { ThreadId, TurnId } from "../../protocol/ids.ts";
import type { ForkAnchor } from "../../protocol/initial-history.ts";
import { jsonForm } from "../../protocol/json-form.ts";
import type { RolloutItem, RolloutLine, SessionMeta } from "../../protocol/rollout.ts";
import { ifStored } from "../is-stored.ts";
import type { LastTurn } from "../last-turn.ts";
import type { ExportOptions, MovableStore, StoredImage, ThreadImage } from "../movable-store.ts";
import type { RolloutProblem } from "../rollout-problem.ts";
import type { StandingNotes } from "../standing-notes.ts";
import type {
  ForkBase,
  LoadRange,
  OpenOptions,
  StoredThread,
  ThreadGit,
  ThreadLocator,
  ThreadPage,
  ThreadQuery,
  TurnPlace,
} from "../thread-store.ts";
import { Catalog, type CatalogRow } from "./catalog/catalog.ts";
import { IN_MEMORY } from "./catalog/database.ts";
import { HomeScan } from "./catalog/scan.ts";
import { isOfFile, readRow } from "./catalog/thread-row.ts";
import { FileNotes } from "./file-notes.ts";
import type { FilePosition, RolloutWriter } from "./file-position.ts";
import { errorCode, isMissing } from "./file-system.ts";
import { ForkPoints } from "./fork-points.ts";
import type { FileStoreOptions } from "./options.ts";
import { exportLines } from "./rollout/export.ts";
import { StoreCore } from "./store-core.ts";
import { asStoreError } from "./store-error.ts";
import { ThreadArchive } from "./thread-archive.ts";
import { ThreadForker } from "./thread-forker.ts";
import { ThreadImages } from "./thread-images.ts";
import { withNotes } from "./thread-notes.ts";
import { ThreadOpener } from "./thread-opener.ts";

const ATTEMPTS = 2;
/** How long a list waits for a catalog that another process holds. */
const BUSY_FOR_MS = 2_000;
const BUSY_PAUSE_MS = 50;

export type { FilePosition, RolloutWriter } from "./file-position.ts";
export type { FileStoreOptions } from "./options.ts";

/** A store of files under `home`, in the form that Codex 0.169 reads and goes on with. */
export const fileStore = (options: FileStoreOptions): FileStore => new FileStore(options);

/** A ThreadStore over a home's rollout files and their catalog (SQLite). */
export class FileStore implements MovableStore {
  readonly #core: StoreCore;
  readonly #opener: ThreadOpener;
  readonly #forker: ThreadForker;
  readonly #points: ForkPoints;
  readonly #archive: ThreadArchive;
  readonly #notes: FileNotes;
  readonly #images: ThreadImages;
  readonly sharesLegacyLines = false;

  constructor(options: FileStoreOptions) {
    this.#core = new StoreCore(options);
    this.#opener = new ThreadOpener(this.#core);
    this.#forker = new ThreadForker(this.#core, this.#opener);
    this.#points = new ForkPoints(this.#core, this.#opener);
    this.#archive = new ThreadArchive(this.#core);
    this.#images = new ThreadImages(this.#core, this.#opener, this.#forker);
    this.#notes = new FileNotes(this.#core.fs, this.#core.layout.home, {
      keep: (threadId) => this.#core.livePath(threadId),
      isStored: async (threadId) => (await ifStored(this.#core.pathOf(threadId))) !== undefined,
    });
  }

  get notes(): StandingNotes {
    return this.#notes;
  }

  /** What reading met and passed over, the newest thousand. */
  get problems(): readonly RolloutProblem[] {
    return this.#core.problems;
  }

  /** How many rollouts are open now. */
  get openFiles(): number {
    return this.#core.handles.size;
  }

  create(meta: SessionMeta, options?: OpenOptions): Promise<RolloutWriter> {
    return this.#opener.create(meta, options);
  }

  fork(meta: SessionMeta, base: ForkBase, options?: OpenOptions): Promise<RolloutWriter> {
    return this.#finding(() => this.#forker.fork(meta, base, options));
  }

  adopt(meta: SessionMeta, items: readonly RolloutItem[], options?: OpenOptions): Promise<RolloutWriter> {
    return this.#forker.adopt(meta, items, options);
  }

  open(thread: ThreadLocator, options?: OpenOptions): Promise<RolloutWriter> {
    return this.#finding(() => this.#opener.open(thread, options));
  }

  header(thread: ThreadLocator): Promise<SessionMeta> {
    return this.#finding(async () => this.#core.reader.head(await this.#core.pathOf(thread)).meta);
  }

  async *load(thread: ThreadLocator, range: LoadRange = {}): AsyncGenerator<readonly RolloutLine[]> {
    this.#core.check(range.signal);
    yield* this.#reading(thread, (path) => this.#core.reader.pages(path, range));
  }

  /** Files are moved to the archive and back, also by others: one that is gone when it is opened is found again. */
  async #finding<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!isGone(error)) throw typed(error);
    }
    return typedly(work);
  }

  /** The same for what comes in pieces, as long as none has come. */
  async *#reading<T>(thread: ThreadLocator, read: (path: string) => AsyncGenerator<T>): AsyncGenerator<T> {
    for (let attempt = 1, hasCome = false; ; attempt += 1) {
      try {
        const path = await this.#core.pathOf(thread);
        this.#core.group.writeAll();
        for await (const piece of read(path)) {
          hasCome = true;
          yield piece;
        }
        return;
      } catch (error) {
        if (hasCome || attempt === ATTEMPTS || !isGone(error)) throw typed(error);
      }
    }
  }

  forkBase(thread: ThreadLocator, at: ForkAnchor): Promise<ForkBase | undefined> {
    return this.#finding(() => this.#points.forkBase(thread, at));
  }

  findTurn(threadId: ThreadId, turnId: TurnId): Promise<TurnPlace<FilePosition> | undefined> {
    return this.#finding(() => this.#points.findTurn(threadId, turnId));
  }

  get(threadId: ThreadId): Promise<StoredThread> {
    return this.#finding(() => this.#get(threadId));
  }

  async #get(threadId: ThreadId): Promise<StoredThread> {
    const { index, fs, live, locator, notes } = this.#core;
    const path = await this.#core.pathOf(threadId);
    const row = locator.isDeleted(threadId) ? undefined : index.row(threadId);
    const writing = live.get(threadId);
    if (row !== undefined && row.rolloutPath === path && (writing !== undefined || isOfFile(row, fs.infoOf(path)))) {
      // Growth is noted later: what is live knows its own.
      const { interrupted, openTurn } = writing?.row ?? row;
      const updatedAt = writing?.updatedAt ?? row.updatedAt;
      return storedThread(withNotes({ ...row, updatedAt, interrupted, openTurn }, notes.now()));
    }
    this.#core.group.writeAll();
    return storedThread(await readRow(this.#core, path, notes.now()));
  }

  list(query?: ThreadQuery): Promise<ThreadPage> {
    return typedly(() => this.#list(query));
  }

  async #list(query: ThreadQuery | undefined): Promise<ThreadPage> {
    const { group, index } = this.#core;
    this.#core.check();
    group.writeAll();
    const page = await this.#askCatalog((catalog) => catalog.list(query));
    index.refresh();
    return page;
  }

  /**
   * The catalog answers when it is in step with the files. One that turns out to be damaged is built anew; one that another
   * process holds is waited for, and then gone round: the files say the same, slowly.
   */
  async #askCatalog<T>(question: (catalog: Catalog) => T): Promise<T> {
    const { index, clock } = this.#core;
    const until = elapsedBy(clock) + BUSY_FOR_MS;
    for (let attempt = 0; attempt < ATTEMPTS || (index.isBusy && elapsedBy(clock) < until); attempt += 1) {
      if (index.isBusy && attempt > 0) await sleep(clock, BUSY_PAUSE_MS);
      await index.look();
      this.#core.check();
      // One that was found damaged is built anew meanwhile: until then it says nothing of what there is.
      const answer = index.isComplete ? index.use((catalog) => ({ value: question(catalog) })) : undefined;
      if (answer !== undefined) return answer.value;
    }
    return this.#askFiles(question);
  }

  async #askFiles<T>(question: (catalog: Catalog) => T): Promise<T> {
    const { catalog } = Catalog.open(IN_MEMORY);
    try {
      await new HomeScan({ ...this.#core.scanEnv, isLive: () => false }, catalog).scan();
      this.#core.check();
      return question(catalog);
    } finally {
      catalog.close();
    }
  }

  ancestors(threadId: ThreadId): Promise<readonly ThreadId[]> {
    return typedly(() => this.#ancestors(threadId));
  }

  async #ancestors(threadId: ThreadId): Promise<readonly ThreadId[]> {
    const { locator, reader } = this.#core;
    const found = new Set<ThreadId>();
    let path: string | undefined = await this.#core.pathOf(threadId);
    while (path !== undefined) {
      const { meta, base } = reader.head(path);
      const parent: ThreadId | null | undefined = meta.forked_from_id;
      if (parent === undefined || parent === null || found.has(parent)) break;
      found.add(parent);
      path = await locator.findFile(parent);
      if (path !== undefined || base === null) continue;
      path = await locator.findFile(base.fileId);
      if (path !== undefined) found.add(reader.head(path).meta.id);
    }
    return [...found];
  }

  descendants(threadId: ThreadId): Promise<readonly ThreadId[]> {
    return typedly(async () => {
      await this.#core.pathOf(threadId);
      return this.#askCatalog((catalog) => catalog.descendants(threadId));
    });
  }

  rename(threadId: ThreadId, name: string | null): Promise<void> {
    return typedly(async () => this.#archive.rename(threadId, jsonForm(name, "a name")));
  }

  setGitInfo(threadId: ThreadId, gitInfo: ThreadGit | null): Promise<void> {
    return typedly(async () => this.#archive.setGitInfo(threadId, jsonForm(gitInfo, "a repository")));
  }

  archive(threadId: ThreadId): Promise<void> {
    return typedly(() => this.#archive.archive(threadId));
  }

  unarchive(threadId: ThreadId): Promise<void> {
    return typedly(() => this.#archive.unarchive(threadId));
  }

  delete(threadId: ThreadId): Promise<void> {
    return typedly(async () => {
      await this.#archive.delete(threadId);
      await this.#notes.forget(threadId);
    });
  }

  /** Brings the catalog up to date with what other programs changed in the files. */
  rescan(): Promise<void> {
    return typedly(async () => {
      this.#core.check();
      this.#core.index.rescan();
      await this.#core.index.ready();
    });
  }

  /** The thread as one self-contained rollout file, in pieces of whole lines. */
  async *export(thread: ThreadLocator, options?: ExportOptions): AsyncGenerator<string> {
    this.#core.check(options?.signal);
    yield* this.#reading(thread, (path) => exportLines(this.#core.reader, path, options));
  }

  holderOf(threadId: ThreadId): Promise<LeaseOwner | null> {
    return typedly(async () => {
      const { live, leases } = this.#core;
      if (live.get(threadId) !== undefined) return leases.self;
      const path = await ifStored(this.#core.pathOf(threadId));
      return path === undefined ? null : (this.#core.leasesOf(path).holderOf(threadId) ?? null);
    });
  }

  image(threadId: ThreadId): Promise<StoredImage> {
    return this.#finding(async () => this.#images.image(await this.#get(threadId)));
  }

  place(thread: ThreadImage, { signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    return this.#images.place(thread, signal);
  }

  /** @throws the first failure to write, after everything is freed. */
  async close(): Promise<void> {
    const { live, group, handles, index } = this.#core;
    if (this.#core.closed) return;
    const writers = live.all().map(({ writer }) => writer);
    const outcomes = await Promise.allSettled(writers.map((writer) => writer.close()));
    this.#core.close();
    for (const writer of writers) {
      group.end(writer.file, new StoreIoError("the store is closed"));
      await writer.close();
    }
    group.close();
    handles.closeAll();
    index.close();
    this.#core.closeLeases();
    const failed = outcomes.find((outcome) => outcome.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }
}

/** What of ours and of the system's says that a file is not where it was. */
const isGone = (error: unknown): boolean => isMissing(error) || (error instanceof SkeinError && isMissing(error.cause));

/** The system's failures get a type; an abort's reason stays what it is. */
const typed = (error: unknown): unknown =>
  errorCode(error) === undefined ? error : asStoreError("the file system refused", error);

async function typedly<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw typed(error);
  }
}

/** A row without what is the catalog's own. */
function storedThread(row: CatalogRow & LastTurn): StoredThread {
  const { baseThreadId, fileSize, mtimeMs, searchText, waiting, ...stored } = row;
  return stored;
}
