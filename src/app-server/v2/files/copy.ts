import type { CopyOptions, Stats } from "node:fs";
import { copyFile, cp, lstat, readlink, stat, symlink } from "node:fs/promises";
import { dirname, sep } from "node:path";
import { makeFolder } from "../../../kernel/make-folder.ts";
import { ioCode, isMissing } from "../../../services/io-failure.ts";
import { invalidRequest } from "../../rpc-error.ts";

const INTO_ITSELF = "fs/copy cannot copy a directory to itself or one of its descendants";
const SPECIAL = "fs/copy only supports regular files, directories, and symlinks";

const TREE: CopyOptions = { recursive: true, verbatimSymlinks: true, force: true };

/**
 * Copies a file, a symbolic link (as the link that it is) or, if `recursive`, a folder into one that may be there already. A file
 * that is copied onto itself stays as it is; stock Codex empties it.
 *
 * @throws RpcError, or what the file system throws
 */
export async function copyPath(from: string, to: string, { recursive }: { recursive: boolean }): Promise<void> {
  const found = await lstat(from);
  if (found.isSymbolicLink()) return symlink(await readlink(from), to);
  if (found.isDirectory()) return copyTree(from, to, recursive);
  if (!found.isFile()) throw invalidRequest(SPECIAL);
  if (!(await isSame(found, to))) await copyFile(from, to);
}

async function copyTree(from: string, to: string, recursive: boolean): Promise<void> {
  if (!recursive) throw invalidRequest("fs/copy requires recursive: true when sourcePath is a directory");
  if (`${to}${sep}`.startsWith(from.endsWith(sep) ? from : `${from}${sep}`)) throw invalidRequest(INTO_ITSELF);
  try {
    await makeFolder(dirname(to));
    await cp(from, to, TREE);
  } catch (error) {
    const code = ioCode(error) ?? "";
    if (code === "ERR_FS_CP_EINVAL") throw invalidRequest(INTO_ITSELF, { cause: error });
    if (/^ERR_FS_CP_(FIFO_PIPE|SOCKET|UNKNOWN)$/.test(code)) throw invalidRequest(SPECIAL, { cause: error });
    throw error;
  }
}

async function isSame(source: Stats, to: string): Promise<boolean> {
  try {
    const there = await stat(to);
    return there.dev === source.dev && there.ino === source.ino;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}
