/**
 * Group commit over all threads of a store.
 *
 * K1  Lines that are appended within one turn of the event loop are written with one write for each file.
 * K2  A file never has two writes at once: writes are synchronous. Syncs to the disk are not; of those that ask for one
 *     while it runs, all share the next.
 * K3  What waits in memory is bounded: beyond `maxQueuedBytes` a file is written at once, within `append`. Only lines
 *     that cannot be written stay, however many: nothing is dropped.
 * K4  A file that fails is tried again with growing pauses, at each flush, and as soon as another append comes due.
 */

import { dirname } from "node:path";
import { backoffDelay } from "../../kernel/backoff.ts";
import type { Clock } from "../../kernel/clock.ts";
import { ThreadBusyError } from "../../protocol/errors.ts";
import { errorCode, type FileSystem } from "./file-system.ts";
import type { HandlePool } from "./handle-pool.ts";
import type { FsyncPolicy } from "./options.ts";
import { type RolloutFile, toStoreError } from "./rollout-file.ts";

const RETRY = { baseMs: 100, factor: 2, maxMs: 5_000 } as const;
const MAX_QUEUED_BYTES = 4 * 1024 * 1024;
const MAX_SYNCS = 4;
/** What systems answer that know no sync of a folder. */
const NO_FOLDER_SYNC: ReadonlySet<string | undefined> = new Set(["EISDIR", "EPERM", "EINVAL", "ENOTSUP"]);

export class CommitGroup {
  readonly #fs: FileSystem;
  readonly #clock: Clock;
  readonly #handles: HandlePool;
  readonly #policy: FsyncPolicy;
  readonly #dirty = new Set<RolloutFile>();
  readonly #failing = new Set<RolloutFile>();
  readonly #folderSyncs = new Map<string, { running: Promise<void>; next: Promise<void> | undefined }>();
  readonly #waitingSyncs: (() => void)[] = [];
  #runningSyncs = 0;
  #queuedBytes = 0;
  #tick: NodeJS.Immediate | undefined;
  #retry: unknown;

  constructor(fs: FileSystem, clock: Clock, handles: HandlePool, policy: FsyncPolicy) {
    this.#fs = fs;
    this.#clock = clock;
    this.#handles = handles;
    this.#policy = policy;
  }

  append(file: RolloutFile, text: string, bytes: number): void {
    file.push(text, bytes);
    this.#queuedBytes += bytes;
    if (this.#queuedBytes > MAX_QUEUED_BYTES && file.failure === undefined) {
      this.writeAll();
      if (file.pending) this.#dirty.add(file);
      return;
    }
    this.#dirty.add(file);
    this.#tick ??= setImmediate(() => {
      this.#tick = undefined;
      this.writeAll();
    });
  }

  /** Writes what waits, of all threads. */
  writeAll(): void {
    for (const file of this.#dirty) {
      if (this.commit(file) && this.#policy === "always") this.#syncInBackground(file);
    }
    this.#dirty.clear();
    let left = 0;
    for (const file of this.#failing) left += file.queuedBytes;
    this.#queuedBytes = left;
  }

  /** Writes what waits for the file, now, and makes it first. false: it failed, and `file.failure` says why. */
  commit(file: RolloutFile): boolean {
    if (file.ended || (file.isMade && !file.pending)) return file.failure === undefined;
    const bytes = file.queuedBytes;
    try {
      file.make();
      if (!file.pending) {
        this.#recover(file);
        return true;
      }
      const fd = this.#handles.use(file);
      file.owner.fence();
      file.write(this.#fs, fd);
    } catch (error) {
      this.#fail(file, error);
      return false;
    }
    this.#dirty.delete(file);
    this.#queuedBytes = Math.max(0, this.#queuedBytes - bytes);
    this.#recover(file);
    file.owner.stored();
    return true;
  }

  /** Writes what waits. @throws the file's failure */
  async flush(file: RolloutFile): Promise<void> {
    if (this.#policy === "always" || file.failure !== undefined) return this.sync(file);
    if (file.pending && !this.commit(file)) throw file.failure;
    if (file.ended) throw file.failure;
    this.#checkLease(file);
  }

  /** Writes what waits and, by the policy, forces it to the disk. @throws the file's failure */
  async sync(file: RolloutFile): Promise<void> {
    if (file.pending && !this.commit(file)) throw file.failure;
    if (file.ended) throw file.failure;
    if (this.#policy !== "never") await this.#sync(file);
    this.#checkLease(file);
  }

  /** Nothing is written to the file any more; writers hear why. What waits is dropped. */
  end(file: RolloutFile, error: Error): void {
    if (file.ended) return;
    file.end(error);
    this.release(file);
    file.owner.failed(error);
  }

  /** What was written before is only reported as stored by a writer that still holds the thread (E2). */
  #checkLease(file: RolloutFile): void {
    try {
      file.owner.fence();
    } catch (error) {
      this.#fail(file, error);
      throw file.failure;
    }
  }

  /** Takes the file out of the group; what waits for it is gone. */
  release(file: RolloutFile): void {
    this.#queuedBytes = Math.max(0, this.#queuedBytes - file.queuedBytes);
    file.drop();
    this.#dirty.delete(file);
    this.#failing.delete(file);
    this.#handles.discard(file);
  }

  close(): void {
    if (this.#tick !== undefined) clearImmediate(this.#tick);
    if (this.#retry !== undefined) this.#clock.clearTimeout(this.#retry);
    this.#tick = undefined;
    this.#retry = undefined;
  }

  #fail(file: RolloutFile, cause: unknown): void {
    const error = this.#lost(file) ?? toStoreError(cause, file.path);
    if (error instanceof ThreadBusyError) {
      this.end(file, error);
      return;
    }
    this.#cutLeftover(file);
    this.#handles.discard(file);
    const first = file.fail(error);
    this.#failing.add(file);
    this.#retryLater();
    if (first) file.owner.failed(error);
  }

  /** Who takes a thread over puts a new file in place: then that is what went wrong, whatever the system says. */
  #lost(file: RolloutFile): ThreadBusyError | undefined {
    try {
      file.owner.fence();
    } catch (error) {
      if (error instanceof ThreadBusyError) return error;
    }
    return undefined;
  }

  /** At once, so that readers see no half line; where that fails too, before the next write. */
  #cutLeftover(file: RolloutFile): void {
    try {
      file.cutLeftover(this.#fs, this.#handles.use(file));
    } catch {
      // The failure that is being reported says the same.
    }
  }

  #recover(file: RolloutFile): void {
    file.recover();
    this.#failing.delete(file);
  }

  #retryLater(): void {
    if (this.#retry !== undefined || this.#failing.size === 0) return;
    let attempts = Number.POSITIVE_INFINITY;
    for (const file of this.#failing) attempts = Math.min(attempts, file.attempts);
    this.#retry = this.#clock.background(
      () => {
        this.#retry = undefined;
        for (const file of [...this.#failing]) this.#tryAgain(file);
        this.#retryLater();
      },
      backoffDelay(attempts, RETRY),
    );
  }

  #tryAgain(file: RolloutFile): void {
    if (file.pending || !file.isMade) this.commit(file);
    else if (file.unsynced) this.#syncInBackground(file);
    else this.#recover(file);
  }

  #syncInBackground(file: RolloutFile): void {
    this.#sync(file).catch(() => undefined); // the file's failure says it
  }

  /** Resolves when all that is in the file now is on the disk (K2). */
  #sync(file: RolloutFile): Promise<void> {
    if (!file.unsynced && file.running === undefined) return Promise.resolve();
    if (file.running === undefined) {
      const run = this.#runSync(file).finally(() => {
        file.noteSync(undefined);
      });
      file.noteSync(run);
      return run;
    }
    if (!file.unsynced) return file.running;
    if (file.next !== undefined) return file.next;
    const next = file.running
      .catch(() => undefined)
      .then(() => {
        file.noteNextSync(undefined);
        return this.#sync(file);
      });
    file.noteNextSync(next);
    return next;
  }

  async #runSync(file: RolloutFile): Promise<void> {
    file.beginSync();
    await this.#syncSlot();
    try {
      await this.#handles.pinned(file, (fd) => this.#fs.sync(fd));
      if (file.entryUnsynced) await this.#syncFolder(dirname(file.path));
      file.endSync();
    } catch (error) {
      file.failSync();
      if (!file.ended) this.#fail(file, error);
      throw file.failure;
    } finally {
      this.#runningSyncs -= 1;
      this.#waitingSyncs.shift()?.();
    }
    if (file.failure !== undefined && !file.pending && !file.ended) this.#recover(file);
  }

  async #syncSlot(): Promise<void> {
    while (this.#runningSyncs >= MAX_SYNCS) await new Promise<void>((resolve) => this.#waitingSyncs.push(resolve));
    this.#runningSyncs += 1;
  }

  /** New files of one folder share a sync of it. */
  #syncFolder(path: string): Promise<void> {
    const found = this.#folderSyncs.get(path);
    if (found === undefined) {
      const entry = { running: Promise.resolve().then(() => this.#runFolderSync(path)), next: undefined };
      this.#folderSyncs.set(path, entry);
      return entry.running;
    }
    found.next ??= found.running.catch(() => undefined).then(() => this.#syncFolder(path));
    return found.next;
  }

  async #runFolderSync(path: string): Promise<void> {
    try {
      const fd = this.#fs.open(path, "read");
      await this.#fs.sync(fd).finally(() => this.#fs.close(fd));
    } catch (error) {
      if (!NO_FOLDER_SYNC.has(errorCode(error))) throw error;
    } finally {
      this.#folderSyncs.delete(path);
    }
  }
}
