/**
 * The calls of the operating system that the file store uses, and no others. Tests put a failing one in their place.
 *
 * All but `sync` are synchronous: a small write into the page cache takes microseconds, and a trip through the thread
 * pool a hundred of them. What waits for the disk is asynchronous.
 */
import {
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  type Dirent,
  fdatasync,
  fdatasyncSync,
  fstatSync,
  ftruncateSync,
  linkSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  type Stats,
  statSync,
  unlinkSync,
  utimesSync,
  watch,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { systemClock } from "../../kernel/clock.ts";
import { makeFolderSync } from "../../kernel/make-folder.ts";
import { InvalidRequestError, StoreIoError } from "../../protocol/errors.ts";

/** What the store asks of a file: its kind, size in bytes and times. */
export type FileInfo = {
  readonly size: number;
  readonly inode: number;
  /** 0 for a file that has no name any more. */
  readonly links: number;
  readonly writable: boolean;
  readonly isDirectory: boolean;
  readonly modifiedMs: number;
  /** When its content or what the system keeps of it changed last: nobody can set it back. */
  readonly changedMs: number;
};

/** `append` makes the file when it is missing, `create` refuses when it is there, `update` refuses when it is missing. */
export type OpenMode = "read" | "append" | "create" | "update";

/** The file operations that the file store does: a port, so that tests can make them fail. */
export interface FileSystem {
  /** Never waits. @throws InvalidRequestError for what is neither a regular file nor a folder: a pipe, a device, a socket */
  open(path: string, mode: OpenMode): number;
  close(fd: number): void;
  /** Appends; may take less than it was given: `writeAll` goes on. */
  write(fd: number, bytes: Uint8Array, offset: number, length: number): number;
  /** 0 at the end of the file. */
  read(fd: number, into: Uint8Array, offset: number, length: number, position: number): number;
  info(fd: number): FileInfo;
  /** undefined: nothing that can be reached is there. */
  infoOf(path: string): FileInfo | undefined;
  truncate(fd: number, length: number): void;
  /** Resolves when the data is on the disk. Of a folder: its entries. */
  sync(fd: number): Promise<void>;
  /** The same, holding everything else up: for the rare step that must not be interrupted. */
  syncNow(fd: number): void;
  makeFolder(path: string): void;
  /** Throws ENOENT for a missing one. */
  list(path: string): { name: string; isFolder: boolean }[];
  readText(path: string): string;
  rename(from: string, to: string): void;
  link(existing: string, path: string): void;
  copy(from: string, to: string): void;
  remove(path: string): void;
  /** Sets the time of the last change, in Unix milliseconds; by default to now. */
  touch(path: string, at?: number): void;
  /** The permissions of a file or folder itself; undefined for a link, and where there is nothing. */
  modeOf(path: string): number | undefined;
  setMode(path: string, mode: number): void;
  /** Tells the names of files that change in a folder, until that is disposed of. Holds no process up. undefined: it can't be watched. */
  watch(folder: string, onChange: (name: string) => void): Disposable | undefined;
}

const FLAGS: Readonly<Record<OpenMode, number>> = {
  read: constants.O_RDONLY,
  append: constants.O_RDWR | constants.O_APPEND | constants.O_CREAT,
  create: constants.O_RDWR | constants.O_APPEND | constants.O_CREAT | constants.O_EXCL,
  update: constants.O_RDWR | constants.O_APPEND,
};
const ANY_WRITE_BIT = 0o222;
const PERMISSIONS = 0o777;

/** What is made in a home is its owner's alone from its first moment, whatever the umask. */
export const PRIVATE_FILE = 0o600;
export const PRIVATE_FOLDER = 0o700;

/** Makes the file, unless it is there: for SQLite, whose own files take after their database. */
export function makePrivateFile(path: string): void {
  closeSync(openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_NONBLOCK, PRIVATE_FILE));
}

const infoFrom = (stats: Stats): FileInfo => ({
  size: stats.size,
  inode: stats.ino,
  links: stats.nlink,
  writable: (stats.mode & ANY_WRITE_BIT) !== 0,
  isDirectory: stats.isDirectory(),
  modifiedMs: stats.mtimeMs,
  changedMs: stats.ctimeMs,
});

const dataSync = promisify(fdatasync);

/**
 * Paths come from clients too. Opening a pipe would wait for its other end, and a device may act on being opened, so what
 * stands there is looked at first; and again on the handle, since it may have been replaced in between.
 */
function openPlain(path: string, mode: OpenMode): number {
  const there = mode === "create" ? undefined : statSync(path, { throwIfNoEntry: false });
  if (there !== undefined) assertPlain(there, path);
  const fd = openSync(path, FLAGS[mode] | constants.O_NONBLOCK | constants.O_NOCTTY, PRIVATE_FILE);
  try {
    assertPlain(fstatSync(fd), path);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

function assertPlain(stats: Stats, path: string): void {
  if (!stats.isFile() && !stats.isDirectory()) throw new InvalidRequestError(`${path} is not a regular file`);
}

function readWhole(path: string): string {
  const fd = openPlain(path, "read");
  try {
    return readFileSync(fd, "utf8");
  } finally {
    closeSync(fd);
  }
}

/** Links that lead round, names that no system takes, folders that are closed to us: one of them must not hide all others. */
const UNREACHABLE: ReadonlySet<string> = new Set(["ELOOP", "ENAMETOOLONG", "EACCES", "EPERM", "ERR_INVALID_ARG_VALUE"]);

export const isUnreachable = (error: unknown): boolean => UNREACHABLE.has(errorCode(error) ?? "");

function statsOf(path: string): Stats | undefined {
  try {
    return statSync(path, { throwIfNoEntry: false });
  } catch (error) {
    if (isUnreachable(error)) return undefined;
    throw error;
  }
}

/** Links are followed. */
const isFolder = (parent: string, entry: Dirent): boolean =>
  entry.isDirectory() || (entry.isSymbolicLink() && statsOf(join(parent, entry.name))?.isDirectory() === true);

/**
 * Appends all of it, with as many writes as the system needs.
 * @throws StoreIoError when it takes nothing, what it says otherwise; the file may have a part by then
 */
export function writeAll(fs: FileSystem, fd: number, bytes: Uint8Array, path: string): void {
  for (let done = 0; done < bytes.length; ) {
    const taken = fs.write(fd, bytes, done, bytes.length - done);
    if (taken <= 0) throw new StoreIoError(`cannot write to ${path}: the system took none of the bytes`);
    done += taken;
  }
}

/** Makes a file with this in it, whole or not at all. @throws what the system says, or StoreIoError */
export function writeNew(fs: FileSystem, path: string, bytes: Uint8Array): FileInfo {
  const fd = fs.open(path, "create");
  try {
    writeAll(fs, fd, bytes, path);
    return fs.info(fd);
  } catch (error) {
    removeIfThere(fs, path);
    throw error;
  } finally {
    fs.close(fd);
  }
}

/** The machine's file system. */
export const nodeFileSystem: FileSystem = {
  open: openPlain,
  close: closeSync,
  write: (fd, bytes, offset, length) => writeSync(fd, bytes, offset, length),
  read: readSync,
  info: (fd) => infoFrom(fstatSync(fd)),
  infoOf(path) {
    const stats = statsOf(path);
    return stats === undefined ? undefined : infoFrom(stats);
  },
  truncate: ftruncateSync,
  sync: dataSync,
  syncNow: fdatasyncSync,
  makeFolder: (path) => makeFolderSync(path, PRIVATE_FOLDER),
  list: (path) =>
    readdirSync(path, { withFileTypes: true }).map((entry) => ({ name: entry.name, isFolder: isFolder(path, entry) })),
  readText: readWhole,
  rename: renameSync,
  link: linkSync,
  copy(from, to) {
    makePrivateFile(to);
    copyFileSync(from, to);
    chmodSync(to, PRIVATE_FILE);
  },
  remove: unlinkSync,
  touch(path, at = systemClock.now()) {
    utimesSync(path, at / 1_000, at / 1_000);
  },
  modeOf(path) {
    const stats = lstatSync(path, { throwIfNoEntry: false });
    return stats === undefined || stats.isSymbolicLink() ? undefined : stats.mode & PERMISSIONS;
  },
  setMode: chmodSync,
  watch: watchFolder,
};

function watchFolder(folder: string, onChange: (name: string) => void): Disposable | undefined {
  try {
    const watcher = watch(folder, { persistent: false }, (_, name) => {
      if (name !== null) onChange(name);
    });
    // It tells no more then.
    watcher.on("error", () => watcher.close());
    return { [Symbol.dispose]: () => watcher.close() };
  } catch {
    // The system has no more watches, or none for this kind of folder.
    return undefined;
  }
}

/** The system's code of a failure, as `ENOENT`; undefined for failures of another origin. */
export const errorCode = (error: unknown): string | undefined => {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
};

export const isMissing = (error: unknown): boolean => {
  const code = errorCode(error);
  return code === "ENOENT" || code === "ENOTDIR";
};

/** Removes a file, if it is there. */
export function removeIfThere(fs: FileSystem, path: string): void {
  try {
    fs.remove(path);
  } catch (error) {
    if (!isMissing(error)) throw error;
  }
}

/** The names in a folder; none where there is no such folder. */
export function namesIn(fs: FileSystem, folder: string): string[] {
  try {
    return fs.list(folder).map((entry) => entry.name);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/** File systems keep times in steps of some milliseconds. */
const SETTLED_MS = 100;

/** Whether a time is over: until then a later change may bear the same. */
export const isSettled = (changedMs: number): boolean => systemClock.now() - changedMs > SETTLED_MS;
