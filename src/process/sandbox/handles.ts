/** Handles by numbers that node:fs does not name. They are the same on x86-64 and aarch64 (asm-generic/fcntl.h). */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { MEMORY_FOLDER } from "./state-folder.ts";

/** Stands for a file or folder without opening it: nothing is read, and no pipe waits. */
const O_PATH = 0o10000000;
const O_TMPFILE = 0o20000000 | constants.O_DIRECTORY;

/** A handle of what stands at the path; of the link itself where that is one. */
export const openPlace = (path: string): Promise<FileHandle> => open(path, O_PATH | constants.O_NOFOLLOW);

/** Where node:fs finds what a handle of this process stands for. */
export const pathOfHandle = ({ fd }: { fd: number }): string => `/proc/self/fd/${fd}`;

/** A file without a name, so that nobody can swap it, to be read from its start. */
export async function namelessFile(content: Buffer): Promise<FileHandle> {
  const file = await open(MEMORY_FOLDER, O_TMPFILE | constants.O_RDWR, 0o600);
  // Written by position, so that the process that inherits the handle reads from the start.
  const { bytesWritten } = await file.write(content, 0, content.length, 0);
  if (bytesWritten === content.length) return file;
  await file.close();
  throw new Error(`${MEMORY_FOLDER} is full`);
}

/** Closes them all; nothing that was only looked at can fail to close. */
export const closeAll = (handles: readonly FileHandle[]): void => {
  for (const handle of handles) handle.close().catch(() => undefined);
};
