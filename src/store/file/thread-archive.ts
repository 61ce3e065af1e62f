/**
 * Archives, deletes and names threads (F3).
 *
 * - The file of a deleted thread that forks still need goes to the archived sessions, where stock Codex finds it as a
 *   base and lists it among the archived at most; a tombstone in `deleted/` keeps it off our lists and lookups.
 * - A tombstone comes before everything else of a deletion, and the file goes last, so a crash in between loses
 *   nothing. Files are only removed when the catalog is complete and names no heir.
 * - When the last heir goes, so does what was kept for it, up the line.
 */
import { basename, dirname } from "node:path";
import { ThreadBusyError } from "../../protocol/errors.ts";
import type { ThreadId } from "../../protocol/ids.ts";
import { timestampOf } from "../rollout/codec.ts";
import type { ThreadGit } from "../thread-store.ts";
import { removeIfThere, writeAll } from "./file-system.ts";
import type { LeaseKeeper } from "./lease/lease.ts";
import { fileIdOf } from "./rollout/history-reader.ts";
import type { StoreCore } from "./store-core.ts";
import { asStoreError, threadNotStored } from "./store-error.ts";
import { appendGit, appendName } from "./thread-notes.ts";

export class ThreadArchive {
  readonly #core: StoreCore;

  constructor(core: StoreCore) {
    this.#core = core;
  }

  async archive(threadId: ThreadId): Promise<void> {
    const { layout } = this.#core;
    await this.#move(threadId, true, (path) => (layout.isArchived(path) ? undefined : layout.archivedPath(path)));
  }

  async unarchive(threadId: ThreadId): Promise<void> {
    const { layout } = this.#core;
    await this.#move(threadId, false, (path) => (layout.isArchived(path) ? layout.unarchivedPath(path) : undefined));
  }

  async #move(threadId: ThreadId, archived: boolean, target: (path: string) => string | undefined): Promise<void> {
    const { fs, locator, live, index, group } = this.#core;
    await this.#alone(threadId, (path) => {
      const to = target(path);
      if (to === undefined) return;
      const writer = live.get(threadId)?.writer;
      if (writer !== undefined) group.commit(writer.file);
      this.#moveFile(path, to);
      writer?.file.moveTo(to);
      locator.remember(threadId, to);
      const known = live.get(threadId);
      if (known?.row !== undefined) known.row = { ...known.row, rolloutPath: to, archived };
      index.use((catalog) => catalog.setArchived(threadId, archived, to));
      if (fs.infoOf(`${path}.torn`) !== undefined) this.#moveFile(`${path}.torn`, `${to}.torn`);
    });
  }

  #moveFile(from: string, to: string): void {
    const { fs } = this.#core;
    fs.makeFolder(dirname(to));
    fs.rename(from, to);
  }

  async rename(threadId: ThreadId, name: string | null): Promise<void> {
    const { fs, layout, clock, live, index } = this.#core;
    await this.#core.pathOf(threadId);
    try {
      appendName(fs, layout, threadId, name, timestampOf(clock.now()));
    } catch (error) {
      throw asStoreError(`cannot name thread ${threadId}`, error);
    }
    const known = live.get(threadId);
    if (known?.row !== undefined) known.row = { ...known.row, name };
    index.use((catalog) => catalog.rename(threadId, name));
  }

  async setGitInfo(threadId: ThreadId, gitInfo: ThreadGit | null): Promise<void> {
    const { fs, layout, clock, live, index } = this.#core;
    await this.#core.pathOf(threadId);
    try {
      appendGit(fs, layout, threadId, gitInfo, timestampOf(clock.now()));
    } catch (error) {
      throw asStoreError(`cannot note the repository of thread ${threadId}`, error);
    }
    const known = live.get(threadId);
    if (known?.row !== undefined) known.row = { ...known.row, gitInfo };
    index.use((catalog) => catalog.setGitInfo(threadId, gitInfo));
  }

  async delete(threadId: ThreadId): Promise<void> {
    const { layout, live, group, index, locator, forkMarks } = this.#core;
    await index.look();
    let purged: { base: ThreadId | undefined } | undefined;
    await this.#alone(threadId, (path) => {
      const { base, fileId } = this.#lineage(path);
      const writer = live.get(threadId)?.writer;
      if (writer !== undefined) {
        live.remove(writer);
        group.end(writer.file, threadNotStored(threadId));
      }
      this.#note(layout.tombstone(threadId), path);
      locator.forget(threadId);
      if (this.#isNeeded(fileId)) {
        if (base !== undefined) this.#note(layout.heirMark(base, threadId), path);
        index.use((catalog) => catalog.remove(threadId));
        if (!layout.isArchived(path) && this.#core.isInHome(path)) this.#moveFile(path, layout.archivedPath(path));
      } else {
        index.use((catalog) => catalog.remove(threadId));
        if (this.#purge(threadId, fileId, path, base)) purged = { base };
      }
      if (base !== undefined) forkMarks.clear(base, threadId);
    });
    await this.#purgeUnneeded(purged?.base);
  }

  /** Up the line, what was only kept for the one that has gone. */
  async #purgeUnneeded(from: ThreadId | undefined): Promise<void> {
    const { locator } = this.#core;
    for (let kept = from; kept !== undefined; ) {
      const path = locator.isDeleted(kept) && !this.#isNeeded(kept) ? await locator.findFile(kept) : undefined;
      if (path === undefined) return;
      const { base, fileId } = this.#lineage(path);
      if (!this.#purge(kept, fileId, path, base)) return;
      kept = base;
    }
  }

  #lineage(path: string): { base: ThreadId | undefined; fileId: ThreadId } {
    const head = this.#core.reader.head(path);
    return { base: head.base?.fileId, fileId: fileIdOf(head) };
  }

  /** Threads need it, or what is kept of deleted ones. */
  #isNeeded(fileId: ThreadId): boolean {
    const { fs, index, layout, forkMarks } = this.#core;
    if (!index.isComplete || forkMarks.isMarked(fileId)) return true;
    const heirs = index.use((catalog) => catalog.inheritors(fileId));
    if (heirs === undefined || heirs.length > 0) return true;
    return fs.list(layout.tombstones).some(({ name }) => name.startsWith(`${fileId}_`));
  }

  #note(note: string, path: string): void {
    const { fs, layout, clock } = this.#core;
    fs.makeFolder(layout.tombstones);
    const text = { deleted_at: timestampOf(clock.now()), file: basename(path) };
    const bytes = Buffer.from(`${JSON.stringify(text)}\n`);
    const fd = fs.open(note, "append");
    try {
      writeAll(fs, fd, bytes, note);
    } finally {
      fs.close(fd);
    }
  }

  /**
   * Takes the file away, looks once more for those who need it, and only then removes it: who forks meanwhile has either
   * been seen by then, or finds the file gone. The tombstone goes last. false: it is needed after all.
   */
  #purge(threadId: ThreadId, fileId: ThreadId, path: string, base: ThreadId | undefined): boolean {
    const { fs, layout, locator } = this.#core;
    const going = `${path}.gone.tmp`;
    fs.rename(path, going);
    if (this.#isNeeded(fileId)) {
      fs.rename(going, path);
      if (base !== undefined) this.#note(layout.heirMark(base, threadId), path);
      return false;
    }
    locator.forget(threadId);
    const marks = [...(base === undefined ? [] : [layout.heirMark(base, threadId)]), layout.tombstone(threadId)];
    for (const file of [going, `${path}.torn`, ...marks]) removeIfThere(fs, file);
    return true;
  }

  #acquire(threadId: ThreadId, path: string): ReturnType<LeaseKeeper["acquire"]> {
    try {
      return this.#core.leasesOf(path).acquire(threadId, "known", { takeOver: false });
    } catch (error) {
      throw asStoreError(`cannot take the lease of thread ${threadId}`, error);
    }
  }

  /** Runs while no other writer holds the thread. @throws ThreadBusyError, RolloutNotFoundError, StoreIoError */
  async #alone(threadId: ThreadId, work: (path: string) => void): Promise<void> {
    const { live } = this.#core;
    const path = await this.#core.pathOf(threadId);
    const held = live.get(threadId);
    const acquired = held === undefined ? this.#acquire(threadId, path) : { lease: held.writer.lease };
    if ("busy" in acquired) throw new ThreadBusyError(threadId, acquired.busy);
    try {
      work(path);
    } catch (error) {
      throw asStoreError(`cannot change thread ${threadId}`, error);
    } finally {
      if (live.get(threadId) === undefined) acquired.lease.keeper.release(acquired.lease);
    }
  }
}
