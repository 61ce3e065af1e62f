/** Makes and opens threads: a lease first, then the file, then the writer. */
import { dirname } from "node:path";
import { linkSignals, raceAbort } from "../../kernel/cancellation.ts";
import { sleep } from "../../kernel/clock.ts";
import {
  DeadlineExceededError,
  DuplicateThreadError,
  InvalidRequestError,
  type LeaseOwner,
  StoreIoError,
  ThreadBusyError,
} from "../../protocol/errors.ts";
import type { ThreadId } from "../../protocol/ids.ts";
import type { HistoryMode, SessionMeta } from "../../protocol/rollout.ts";
import { NO_TURN } from "../last-turn.ts";
import { encodeLine, storableHeader, timestampOf } from "../rollout/codec.ts";
import { SEARCHED_CHARS } from "../thread-query.ts";
import type { OpenOptions, ThreadLocator } from "../thread-store.ts";
import { factsOf, startTimeOf } from "../thread-summary.ts";
import type { CatalogRow } from "./catalog/catalog.ts";
import { SummaryText } from "./catalog/said.ts";
import { isOfFile, readRow } from "./catalog/thread-row.ts";
import type { FilePosition } from "./file-position.ts";
import { errorCode, type FileInfo, isMissing, writeAll, writeNew } from "./file-system.ts";
import { FileThreadWriter } from "./file-writer.ts";
import type { Lease } from "./lease/lease.ts";
import type { RolloutHead } from "./rollout/head.ts";
import { fileIdOf } from "./rollout/history-reader.ts";
import { type RolloutTail, readTail } from "./rollout/tail.ts";
import type { StoreCore } from "./store-core.ts";
import { asStoreError, threadNotStored } from "./store-error.ts";
import { withNotes } from "./thread-notes.ts";

const POLL_MS = 100;
const TORN_PIECE_BYTES = 1024 * 1024;

/** What a new thread begins with: the base it shares, and what its lists show from the start. */
export type NewThreadBase = {
  readonly base: { readonly fileId: ThreadId; readonly end: FilePosition } | null;
  readonly preview: string;
};
const NO_BASE: NewThreadBase = { base: null, preview: "" };

export class ThreadOpener {
  readonly #core: StoreCore;
  /** All ids of the home, gathered once while the catalog is not complete. */
  #names: Promise<Set<ThreadId>> | undefined;

  constructor(core: StoreCore) {
    this.#core = core;
  }

  /** The header is in the file when this resolves, unless that is put off; its row is on the way to the catalog. */
  async create(
    given: SessionMeta,
    options: OpenOptions = {},
    from: NewThreadBase = NO_BASE,
  ): Promise<FileThreadWriter> {
    const core = this.#core;
    core.check(options.signal);
    const meta = storableHeader(given);
    if (await this.exists(meta.id)) throw new DuplicateThreadError(meta.id);
    core.check(options.signal);
    if (core.live.get(meta.id) !== undefined) throw new DuplicateThreadError(meta.id); // made while we looked
    const isLate = core.newFiles === "with-first-line" && from.base === null;
    const lease = isLate ? core.leases.reserve(meta.id) : this.acquireNew(meta.id);
    try {
      const now = core.clock.now();
      const header = headerOf(meta, from, now);
      const path = core.layout.rolloutPath(meta.id, new Date(startTimeOf(meta) || now));
      const info = isLate ? undefined : this.#writeNew(meta.id, path, header.text);
      const writer: FileThreadWriter = new FileThreadWriter(core.writerEnv, {
        threadId: meta.id,
        fileId: meta.id,
        path,
        lease,
        end: { ordinal: header.ordinal + 1, byteOffset: Buffer.byteLength(header.text) },
        numbered: header.numbered,
        historyMode: header.meta.history_mode,
        base: from.base,
        isNew: true,
        make: isLate ? () => this.#makeLate(writer, header.text) : undefined,
        onFailure: options.onFailure,
      });
      this.#register(writer, rowOf(header.meta, from, path, now));
      if (info !== undefined) this.#catalogue(meta.id, info);
      if (core.fsync === "always") await writer.flush();
      return writer;
    } catch (error) {
      core.leases.release(lease);
      throw asStoreError(`cannot make thread ${meta.id}`, error);
    }
  }

  #register(writer: FileThreadWriter, row: CatalogRow): void {
    this.#core.locator.remember(writer.threadId, writer.file.path);
    this.#core.live.add(writer, row, new SummaryText(row.preview, row.searchText));
  }

  /** Tells the catalog of a thread whose file is there now. */
  #catalogue(threadId: ThreadId, info: FileInfo): void {
    const live = this.#core.live.get(threadId);
    if (live?.row === undefined) return;
    live.row = { ...live.row, fileSize: info.size, mtimeMs: info.modifiedMs };
    void this.#core.index.put(live.row);
  }

  /** @throws ThreadBusyError where somebody else has made a thread of this id meanwhile */
  #makeLate({ threadId, lease, file }: FileThreadWriter, text: string): void {
    lease.keeper.take(lease);
    try {
      this.#catalogue(threadId, this.#writeNew(threadId, file.path, text));
    } catch (error) {
      lease.keeper.letGo(lease);
      if (error instanceof DuplicateThreadError) throw new ThreadBusyError(threadId, undefined);
      throw error;
    }
  }

  /** @throws DuplicateThreadError where somebody makes it just now */
  acquireNew(threadId: ThreadId): Lease {
    try {
      const acquired = this.#core.leases.acquire(threadId, "new", { takeOver: false });
      if ("busy" in acquired) throw new DuplicateThreadError(threadId);
      return acquired.lease;
    } catch (error) {
      throw asStoreError(`cannot take the lease of thread ${threadId}`, error);
    }
  }

  /** Whether the id was ever given here. */
  async exists(threadId: ThreadId): Promise<boolean> {
    const { live, index, locator, fs } = this.#core;
    if (live.get(threadId) !== undefined || locator.isDeleted(threadId)) return true;
    const row = index.row(threadId);
    if (row !== undefined) return row.rolloutPath === null || fs.infoOf(row.rolloutPath) !== undefined;
    if (index.isComplete) return false;
    this.#names ??= this.#gatherNames();
    const names = await this.#names;
    const known = names.has(threadId);
    names.add(threadId);
    return known && (await locator.findThread(threadId)) !== undefined;
  }

  async #gatherNames(): Promise<Set<ThreadId>> {
    const names = new Set<ThreadId>();
    for await (const { files } of this.#core.locator.walk()) for (const file of files) names.add(file.name.threadId);
    return names;
  }

  /** @throws DuplicateThreadError where the file is there; what the file system throws */
  #writeNew(threadId: ThreadId, path: string, text: string): FileInfo {
    const { fs } = this.#core;
    const make = () => {
      try {
        return writeNew(fs, path, Buffer.from(text));
      } catch (error) {
        if (errorCode(error) === "EEXIST") throw new DuplicateThreadError(threadId);
        throw error;
      }
    };
    try {
      return make();
    } catch (error) {
      if (!isMissing(error)) throw error;
      fs.makeFolder(dirname(path));
      return make();
    }
  }

  async open(locator: ThreadLocator, options: OpenOptions = {}): Promise<FileThreadWriter> {
    const core = this.#core;
    core.check(options.signal);
    if (options.lease === "wait" && options.signal === undefined && options.deadlineMs === undefined) {
      throw new InvalidRequestError('lease "wait" needs a signal or a deadlineMs');
    }
    const path = await core.pathOf(locator);
    const head = core.reader.head(path);
    // What is kept of a deleted thread is read by its forks alone.
    if (core.isInHome(path) && core.locator.isDeleted(head.meta.id)) throw threadNotStored(head.meta.id);
    if (options.lease === "wait") return this.#openWhenFree(locator, head.meta.id, options);
    const taken = this.#take(head, options);
    if ("busy" in taken) throw new ThreadBusyError(head.meta.id, taken.busy);
    return this.#openLeased(path, head, taken, options);
  }

  async #openWhenFree(locator: ThreadLocator, threadId: ThreadId, options: OpenOptions): Promise<FileThreadWriter> {
    const core = this.#core;
    const link = linkSignals(options.signal);
    const { deadlineMs } = options;
    const late = () =>
      link.abort(new DeadlineExceededError(`waiting for the writer of thread ${threadId}`, deadlineMs ?? 0));
    const timer = deadlineMs === undefined ? undefined : core.clock.setTimeout(late, deadlineMs);
    try {
      for (;;) {
        core.check(link.signal);
        const path = await core.pathOf(locator);
        const head = core.reader.head(path);
        const taken = this.#take(head, options);
        if (!("busy" in taken)) return await this.#openLeased(path, head, taken, options);
        await this.#released(threadId, link.signal);
      }
    } finally {
      link[Symbol.dispose]();
      if (timer !== undefined) core.clock.clearTimeout(timer);
    }
  }

  /** Resolves when this store gave the thread back, or after a while: other processes tell nobody. */
  async #released(threadId: ThreadId, signal: AbortSignal): Promise<void> {
    const { releases, clock } = this.#core;
    const poll = linkSignals(signal);
    const waiting = releases.get(threadId) ?? new Set();
    releases.set(threadId, waiting);
    const { promise: woken, resolve: wake } = Promise.withResolvers<void>();
    waiting.add(wake);
    try {
      await raceAbort(Promise.race([woken, sleep(clock, POLL_MS, poll.signal).catch(() => undefined)]), signal);
    } finally {
      poll.abort();
      waiting.delete(wake);
      if (waiting.size === 0) releases.delete(threadId);
    }
  }

  #take(head: RolloutHead, options: OpenOptions): { lease: Lease } | { busy: LeaseOwner | undefined } {
    const { live, leases, group } = this.#core;
    const threadId = head.meta.id;
    const takeOver = options.lease === "takeOver";
    const held = live.get(threadId);
    if (held === undefined || held.writer.file.ended) {
      try {
        const keeper = this.#core.leasesOf(head.path);
        return keeper.acquire(threadId, "stored", { takeOver, fenceOff: () => this.#renewInode(head.path) });
      } catch (error) {
        throw asStoreError(`cannot take the lease of thread ${threadId}`, error);
      }
    }
    if (!takeOver) return { busy: leases.self };
    group.commit(held.writer.file);
    const lease = held.writer.lease.keeper.renew(held.writer.lease);
    live.remove(held.writer);
    group.end(held.writer.file, new ThreadBusyError(threadId, leases.self));
    return { lease };
  }

  async #openLeased(
    path: string,
    head: RolloutHead,
    { lease }: { lease: Lease },
    options: OpenOptions,
  ): Promise<FileThreadWriter> {
    const core = this.#core;
    try {
      const fileId = fileIdOf(head);
      const row = core.isInHome(path) ? await this.#rowOf(path, head) : undefined;
      const known = core.index.peek((catalog) => catalog.anchors.indexedThrough(fileId));
      const tail = this.#mend(path, head, known);
      const writer = new FileThreadWriter(core.writerEnv, {
        threadId: head.meta.id,
        fileId,
        path,
        lease,
        end: tail.end,
        numbered: head.numbered,
        historyMode: head.meta.history_mode,
        base: head.base,
        isNew: false,
        onFailure: options.onFailure,
      });
      const live = core.live.add(writer, row, summaryOf(row));
      if (known !== undefined && known.byteOffset === tail.end.byteOffset) {
        live.fold = core.index.peek((catalog) => catalog.anchors.fold(fileId, baseOf(head)));
      }
      core.locator.remember(head.meta.id, path);
      return writer;
    } catch (error) {
      lease.keeper.release(lease);
      throw asStoreError(`cannot open ${path}`, error);
    }
  }

  /** As the file says now: its last writer may not have told the catalog, and the first message stays the first. */
  async #rowOf(path: string, head: RolloutHead): Promise<CatalogRow | undefined> {
    const { index, fs, notes } = this.#core;
    const known = index.row(head.meta.id);
    if (known?.rolloutPath === path && isOfFile(known, fs.infoOf(path))) return withNotes(known, notes.now());
    const row = await readRow(this.#core, path, notes.now());
    void index.put(row);
    return row;
  }

  /** From now on an owner that still runs writes into a file that nobody reads (E2). */
  #renewInode(path: string): void {
    const { fs } = this.#core;
    const copy = `${path}.${process.pid}.tmp`;
    try {
      fs.copy(path, copy);
      const fd = fs.open(copy, "update");
      try {
        fs.syncNow(fd);
      } finally {
        fs.close(fd);
      }
      fs.rename(copy, path);
    } catch (error) {
      if (fs.infoOf(copy) !== undefined) fs.remove(copy);
      throw error;
    }
  }

  /** Cuts a torn tail off, keeping its bytes beside the file, and ends a line that only lacks its line feed. */
  #mend(path: string, head: RolloutHead, known: FilePosition | undefined): RolloutTail {
    const { fs } = this.#core;
    const fd = fs.open(path, "update");
    try {
      if (!fs.info(fd).writable) throw new StoreIoError(`cannot open ${path} for writing: the file is read-only`);
      const tail = readTail(fs, fd, head, known);
      if (tail.torn !== null) {
        const { start, bytes } = tail.torn;
        this.#keepTorn(path, fd, start, bytes);
        fs.truncate(fd, start);
        this.#core.report({
          kind: "torn",
          path,
          offset: start,
          detail: `${bytes} bytes were cut off and kept beside it`,
        });
      }
      if (tail.missingFeed) writeAll(fs, fd, Buffer.from("\n"), path);
      return tail;
    } finally {
      fs.close(fd);
    }
  }

  #keepTorn(path: string, fd: number, start: number, bytes: number): void {
    const { fs } = this.#core;
    const beside = fs.open(`${path}.torn`, "append");
    try {
      const piece = Buffer.alloc(Math.min(bytes, TORN_PIECE_BYTES));
      for (let done = 0; done < bytes; ) {
        const count = fs.read(fd, piece, 0, Math.min(piece.length, bytes - done), start + done);
        if (count === 0) break;
        fs.write(beside, piece, 0, count);
        done += count;
      }
      fs.write(beside, Buffer.from("\n"), 0, 1);
    } finally {
      fs.close(beside);
    }
  }
}

type Header = {
  readonly meta: SessionMeta & { readonly history_mode: HistoryMode };
  readonly ordinal: number;
  readonly numbered: boolean;
  readonly text: string;
};

/** The first line of a new thread. */
function headerOf(given: SessionMeta, { base }: NewThreadBase, now: number): Header {
  const meta = { ...given, history_mode: given.history_mode ?? "paginated" };
  // What comes behind a base counts on from it, which only a line that says its ordinal can.
  const numbered = meta.history_mode !== "legacy" || base !== null;
  const ordinal = base?.end.ordinal ?? 0;
  const text = encodeLine({ type: "session_meta", payload: meta }, timestampOf(now), numbered ? ordinal : undefined);
  return { meta, ordinal, numbered, text };
}

/** Nothing of its file yet. */
const rowOf = (meta: SessionMeta, from: NewThreadBase, rolloutPath: string, updatedAt: number): CatalogRow => ({
  ...factsOf(meta),
  rolloutPath,
  updatedAt,
  preview: from.preview,
  name: null,
  archived: false,
  ...NO_TURN,
  baseThreadId: from.base?.fileId ?? null,
  fileSize: 0,
  mtimeMs: 0,
  searchText: from.preview.slice(0, SEARCHED_CHARS),
});

/** Nothing more is gathered of a thread whose text the catalog has, since what it searched before cannot be read back. */
function summaryOf(row: CatalogRow | undefined): SummaryText | undefined {
  if (row === undefined) return undefined;
  if (row.searchText !== undefined) return new SummaryText(row.preview, row.searchText);
  return row.preview === "" ? new SummaryText() : undefined;
}

/** What the anchors' fold is to know of a file's base. */
export const baseOf = (head: RolloutHead): { threadId: ThreadId; end: FilePosition } | null =>
  head.base === null ? null : { threadId: head.base.fileId, end: head.base.end };
