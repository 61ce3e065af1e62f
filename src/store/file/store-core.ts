/** What all parts of one file store share, built in one place. */

import { join, resolve } from "node:path";
import { type Clock, systemClock } from "../../kernel/clock.ts";
import { type SkeinLogger, silentLog } from "../../kernel/log.ts";
import { InvalidRequestError, RolloutNotFoundError, StoreIoError } from "../../protocol/errors.ts";
import type { ThreadId } from "../../protocol/ids.ts";
import { placeOf } from "../place.ts";
import type { ProblemSink, RolloutProblem } from "../rollout-problem.ts";
import type { ThreadLocator } from "../thread-store.ts";
import { FolderWatches } from "./catalog/folder-watches.ts";
import { CatalogIndex } from "./catalog/index-of-home.ts";
import { HomeScan, type ScanEnv } from "./catalog/scan.ts";
import { CommitGroup } from "./commit-group.ts";
import type { FilePosition } from "./file-position.ts";
import { type FileSystem, nodeFileSystem } from "./file-system.ts";
import type { WriterEnv } from "./file-writer.ts";
import { HandlePool } from "./handle-pool.ts";
import { Layout, leasesFolderOf, parseRolloutName } from "./layout.ts";
import { ForkMarks } from "./lease/fork-marks.ts";
import { LeaseKeeper } from "./lease/lease.ts";
import { LiveThreads } from "./live-threads.ts";
import type { FileStoreOptions, FsyncPolicy } from "./options.ts";
import { HistoryReader } from "./rollout/history-reader.ts";
import type { RolloutFile } from "./rollout-file.ts";
import { nameOf, RolloutLocator } from "./rollout-locator.ts";
import { threadNotStored } from "./store-error.ts";
import { KnownNotes } from "./thread-notes.ts";

/** The newest problems that reading met, at most. */
const MAX_PROBLEMS = 1_000;
const DEFAULT_OPEN_FILES = 256;

export class StoreCore {
  readonly fs: FileSystem;
  readonly clock: Clock;
  readonly log: SkeinLogger;
  readonly layout: Layout;
  readonly forkStorage: "reference" | "copy";
  readonly newFiles: NonNullable<FileStoreOptions["newFiles"]>;
  readonly handles: HandlePool;
  readonly group: CommitGroup;
  readonly leases: LeaseKeeper;
  readonly forkMarks: ForkMarks;
  readonly locator: RolloutLocator;
  readonly reader: HistoryReader;
  readonly index: CatalogIndex;
  readonly live: LiveThreads;
  readonly watches: FolderWatches;
  readonly notes: KnownNotes;
  /** One for all writers. */
  readonly writerEnv: WriterEnv;
  readonly problems: RolloutProblem[] = [];
  readonly fsync: FsyncPolicy;
  /** Told when a thread has no writer of this store any more. */
  readonly releases = new Map<ThreadId, Set<() => void>>();
  closed = false;
  readonly #ownPlaces = new WeakSet<FilePosition>();
  readonly #foreignLeases = new Map<string, LeaseKeeper>();

  constructor(options: FileStoreOptions) {
    this.fs = options.fileSystem ?? nodeFileSystem;
    this.clock = options.clock ?? systemClock;
    this.log = options.logger ?? silentLog;
    this.layout = new Layout(options.home);
    this.fsync = options.fsync ?? "turn";
    this.forkStorage = options.forkStorage ?? "reference";
    this.newFiles = options.newFiles ?? "at-start";
    this.handles = new HandlePool(this.fs, this.clock, options.maxOpenFiles ?? DEFAULT_OPEN_FILES);
    this.group = new CommitGroup(this.fs, this.clock, this.handles, this.fsync);
    this.leases = new LeaseKeeper(this.fs, this.layout.leases, this.clock, this.log);
    this.forkMarks = new ForkMarks(this.fs, this.leases, this.layout.leases);
    this.locator = new RolloutLocator(this.fs, this.layout, (threadId) => this.#cataloguedPath(threadId));
    this.reader = new HistoryReader(this.fs, this.locator, this.report);
    this.live = new LiveThreads(this.fs, this.clock);
    this.watches = new FolderWatches(this.fs);
    this.notes = new KnownNotes(this.fs, this.layout);
    this.index = new CatalogIndex({
      path: this.layout.catalog,
      clock: this.clock,
      log: this.log,
      scan: async (catalog, rest) => {
        await new HomeScan({ ...this.scanEnv, rest, onProgress: options.onScanProgress }, catalog).scan();
        if (!this.closed) this.forkMarks.sweep();
      },
      look: (catalog, { isFirst }) => new HomeScan(this.scanEnv, catalog).look({ isFirst }),
      growing: this.live,
    });
    this.live.connect(this.index);
    this.writerEnv = this.#makeWriterEnv();
  }

  /** Nothing is opened or written any more. */
  close(): void {
    this.closed = true;
    this.watches[Symbol.dispose]();
  }

  get scanEnv(): ScanEnv {
    const { fs, layout, locator, reader, log, live, notes, watches } = this;
    const isLive = (threadId: ThreadId) => live.get(threadId)?.row !== undefined;
    return { fs, layout, locator, reader, notes, log, watches, isClosed: () => this.closed, isLive };
  }

  /** Each is told once, however often its line is read. */
  readonly report: ProblemSink = (problem) => {
    const isKnown = ({ kind, path, offset }: RolloutProblem) =>
      kind === problem.kind && offset === problem.offset && path === problem.path;
    if (this.problems.some(isKnown)) return;
    this.log.warn(problem, `rollout: ${problem.kind}`);
    if (this.problems.length === MAX_PROBLEMS) this.problems.shift();
    this.problems.push(problem);
  };

  #makeWriterEnv(): WriterEnv {
    return {
      clock: this.clock,
      group: this.group,
      appended: (writer, item, start, end) => this.live.appended(writer, item, start, end),
      stored: (writer) => this.live.stored(writer),
      released: (writer) => {
        const isCurrent = this.live.get(writer.threadId)?.writer === writer;
        this.live.remove(writer);
        if (isCurrent) writer.lease.keeper.release(writer.lease);
        for (const wake of this.releases.get(writer.threadId) ?? []) wake();
      },
    };
  }

  check(signal?: AbortSignal): void {
    signal?.throwIfAborted();
    if (this.closed) throw new StoreIoError("the store is closed");
  }

  /** @throws RolloutNotFoundError */
  async pathOf(locator: ThreadLocator): Promise<string> {
    this.check();
    if (typeof locator !== "string") {
      const rolloutPath: unknown = Object(locator).rolloutPath;
      if (typeof rolloutPath !== "string")
        throw new InvalidRequestError("a thread is named by its id, or as { rolloutPath }");
      const path = resolve(rolloutPath);
      if (this.#isThere(path)) return path;
      const { file } = this.live.get(parseRolloutName(nameOf(path))?.threadId)?.writer ?? {};
      if (file?.path === path && !file.isMade) return this.#made(file);
      throw new RolloutNotFoundError(`no rollout found at ${path}`);
    }
    const live = this.livePath(locator);
    if (live !== undefined) return live;
    const path = await this.locator.findThread(locator);
    if (path === undefined) throw threadNotStored(locator);
    return path;
  }

  /** Where a thread that this store writes lies; its file is made now if that was put off. @throws StoreIoError */
  livePath(threadId: ThreadId): string | undefined {
    const { file } = this.live.get(threadId)?.writer ?? {};
    return file === undefined || file.ended ? undefined : this.#made(file);
  }

  #made(file: RolloutFile): string {
    if (!file.isMade && !this.group.commit(file)) throw file.failure;
    return file.path;
  }

  #isThere(path: string): boolean {
    try {
      return this.fs.infoOf(path) !== undefined;
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new InvalidRequestError(`no rollout can lie at ${JSON.stringify(path)}: ${why}`, { cause });
    }
  }

  /** Notes a position that this store found itself, so that it is not checked against the file again. */
  own(end: FilePosition): FilePosition {
    this.#ownPlaces.add(end);
    return end;
  }

  isOwnPlace(end: FilePosition): boolean {
    return this.#ownPlaces.has(end);
  }

  /**
   * Who gives the lease of a rollout: the keeper of the home that the file really lies in, whichever home it was opened
   * from, so that it has one writer.
   */
  leasesOf(path: string): LeaseKeeper {
    const folder = leasesFolderOf(path);
    if (folder === undefined || folder === join(placeOf(this.layout.home), "leases")) return this.leases;
    const known = this.#foreignLeases.get(folder);
    if (known !== undefined) return known;
    try {
      this.fs.makeFolder(folder);
    } catch {
      return this.leases; // others who may not write there either meet in their own homes at most
    }
    const keeper = new LeaseKeeper(this.fs, folder, this.clock, this.log);
    this.#foreignLeases.set(folder, keeper);
    return keeper;
  }

  closeLeases(): void {
    for (const keeper of [this.leases, ...this.#foreignLeases.values()]) keeper.close();
  }

  /** Whether a file lies where the catalog looks. */
  isInHome(path: string): boolean {
    return this.locator.roots().some((root) => this.locator.isBelow(path, root));
  }

  #cataloguedPath(threadId: ThreadId): string | null | undefined {
    return this.index.row(threadId)?.rolloutPath;
  }
}
