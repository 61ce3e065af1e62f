import { SkeinError, StoreIoError } from "../../protocol/errors.ts";
import { type FileInfo, type FileSystem, isMissing, writeAll } from "./file-system.ts";

/**
 * The end of one rollout that is written to, with the lines that wait for it.
 *
 * A1  `size` is the end of the last batch that was written whole. Whatever a failed batch left behind it is cut off
 *     before anything else is written, so no line is ever there half or twice.
 * A2  Lines leave memory only when their whole batch is in the file.
 */
export class RolloutFile {
  /** Changes when the thread is archived. */
  path: string;
  size: number;
  /** What holds the writes up; see {@link FileOwner}. */
  failure: Error | undefined = undefined;
  /** The failure will not pass: another writer has the thread, or it is deleted. */
  ended = false;
  /** Failed attempts since the last success. */
  attempts = 0;
  queuedBytes = 0;
  /** Written, and not yet known to be on the disk. */
  unsynced = false;
  /** Its entry in the folder is not known to be on the disk. */
  entryUnsynced: boolean;
  /** The sync that runs, and the one that all who came since then share. */
  running: Promise<void> | undefined = undefined;
  next: Promise<void> | undefined = undefined;
  readonly owner: FileOwner;
  /** Makes the file, where that is put off until something is to be written. */
  #make: (() => void) | undefined;
  #queue: string[] = [];
  #leftover = false;

  constructor(
    path: string,
    size: number,
    owner: FileOwner,
    options: { isNew: boolean; make?: (() => void) | undefined },
  ) {
    this.path = path;
    this.size = size;
    this.owner = owner;
    this.entryUnsynced = options.isNew;
    this.#make = options.make;
    this.unsynced = options.isNew && this.isMade;
  }

  get isMade(): boolean {
    return this.#make === undefined;
  }

  /** @throws what the system says, and the next call tries again; ThreadBusyError where the thread is another's by now */
  make(): void {
    if (this.#make === undefined) return;
    this.#make();
    this.#make = undefined;
    this.unsynced = true;
  }

  get pending(): boolean {
    return this.#queue.length > 0;
  }

  moveTo(path: string): void {
    this.path = path;
  }

  /** Nothing is written any more. */
  end(error: Error): void {
    this.ended = true;
    this.failure = error;
  }

  /** @returns whether it is the first failure since the last success */
  fail(error: Error): boolean {
    const isFirst = this.failure === undefined;
    this.failure ??= error;
    this.attempts += 1;
    return isFirst;
  }

  recover(): void {
    this.failure = undefined;
    this.attempts = 0;
  }

  beginSync(): void {
    this.unsynced = false;
  }

  failSync(): void {
    this.unsynced = true;
  }

  endSync(): void {
    this.entryUnsynced = false;
  }

  /** The sync that runs; undefined when it has ended. */
  noteSync(running: Promise<void> | undefined): void {
    this.running = running;
  }

  /** The sync that comes after it. */
  noteNextSync(next: Promise<void> | undefined): void {
    this.next = next;
  }

  push(text: string, bytes: number): void {
    this.#queue.push(text);
    this.queuedBytes += bytes;
  }

  /** Forgets what waits: for a thread that this writer has lost. */
  drop(): void {
    this.#queue = [];
    this.queuedBytes = 0;
  }

  /** Writes all that waits, with one write where the system takes it. @throws what the system says, or StoreIoError */
  write(fs: FileSystem, fd: number): void {
    this.#prepare(fs, fd, fs.info(fd));
    const bytes = Buffer.from(this.#queue.length === 1 ? (this.#queue[0] ?? "") : this.#queue.join(""));
    this.#leftover = true;
    writeAll(fs, fd, bytes, this.path);
    this.#leftover = false;
    this.size += bytes.length;
    this.drop();
    this.unsynced = true;
  }

  #prepare(fs: FileSystem, fd: number, info: FileInfo): void {
    if (info.links === 0) throw new StoreIoError(`cannot write to ${this.path}: the file was removed`);
    if (!info.writable) throw new StoreIoError(`cannot write to ${this.path}: the file was made read-only`);
    if (info.size === this.size) {
      this.#leftover = false;
    } else if (info.size > this.size && this.#leftover) {
      this.cutLeftover(fs, fd);
    } else {
      throw new StoreIoError(
        `cannot write to ${this.path}: another program changed it (${info.size} bytes where ${this.size} were left); close the thread and open it anew`,
      );
    }
  }

  /** Cuts off what a failed write left behind (A1). */
  cutLeftover(fs: FileSystem, fd: number): void {
    if (!this.#leftover) return;
    fs.truncate(fd, this.size);
    this.#leftover = false;
  }
}

/** Whose file it is: it is asked before a batch, and hears what goes wrong and of its end. */
export interface FileOwner {
  /** @throws ThreadBusyError when the thread belongs to another writer. */
  fence(): void;
  /** The first failure since the last success, or a final one. */
  failed(error: Error): void;
  stored(): void;
}

/** What a failure of the system is for those above. */
export function toStoreError(error: unknown, path: string): Error {
  if (error instanceof SkeinError) return error;
  const why = error instanceof Error ? error.message : String(error);
  const missing = isMissing(error) ? "; it goes on when the file is back" : "";
  return new StoreIoError(`cannot write to ${path}: ${why}${missing}`, { cause: error });
}
