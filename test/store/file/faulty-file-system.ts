import { type FileSystem, nodeFileSystem } from "../../../src/store/file/file-system.ts";

export const systemError = (code: string): Error => Object.assign(new Error(`${code}: made by the test`), { code });

/** The machine's file system, with failures on demand. */
export class FaultyFileSystem {
  /** How many more bytes the disk takes; undefined: any number. */
  roomBytes: number | undefined;
  /** The most bytes that one write takes. */
  maxWriteBytes = Number.POSITIVE_INFINITY;
  /** Throws, or not. */
  onWrite: (bytes: number) => void = () => {};
  onOpen: (path: string, mode: string) => void = () => {};
  onTruncate: () => void = () => {};
  onSync: () => Promise<void> | void = () => {};
  writes = 0;
  syncs = 0;
  opens = 0;

  readonly api: FileSystem = {
    ...nodeFileSystem,
    open: (path, mode) => {
      if (path.endsWith(".jsonl")) {
        this.opens += 1;
        this.onOpen(path, mode);
      }
      return nodeFileSystem.open(path, mode);
    },
    write: (fd, bytes, offset, length) => {
      this.writes += 1;
      this.onWrite(length);
      const room = this.roomBytes ?? Number.POSITIVE_INFINITY;
      const taken = Math.min(length, this.maxWriteBytes, room);
      if (taken <= 0) throw systemError("ENOSPC");
      const count = nodeFileSystem.write(fd, bytes, offset, taken);
      if (this.roomBytes !== undefined) this.roomBytes -= count;
      return count;
    },
    truncate: (fd, length) => {
      this.onTruncate();
      nodeFileSystem.truncate(fd, length);
    },
    sync: async (fd) => {
      this.syncs += 1;
      await this.onSync();
      await nodeFileSystem.sync(fd);
    },
  };
}
