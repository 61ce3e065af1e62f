import { randomUUID } from "node:crypto";
import { open, realpath, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { makeFolder } from "../kernel/make-folder.ts";
import { StoreIoError } from "../protocol/errors.ts";
import { ioText, isMissing } from "./io-failure.ts";

/**
 * Replaces a file whole: a reader, or a crash at any moment, finds the old text or the new one. A new file, and a folder that
 * is made for it, are their owner's alone; an existing one keeps its mode. A symbolic link stays and its target is replaced;
 * where the text is `secret`, the link itself is replaced by a file of its owner's alone.
 *
 * @throws StoreIoError when the file system refuses; the old file then stands as it was.
 */
export async function replaceFile(path: string, text: string, options: { secret?: boolean } = {}): Promise<void> {
  try {
    await makeFolder(dirname(path), 0o700);
    if (options.secret === true) return await writeBeside(path, text, OWNERS_ALONE);
    const target = await targetOf(path);
    await writeBeside(target, text, (await modeOf(target)) ?? OWNERS_ALONE);
  } catch (error) {
    throw new StoreIoError(`failed to write ${path}: ${ioText(error)}`, { cause: error });
  }
}

const OWNERS_ALONE = 0o600;

async function writeBeside(target: string, text: string, mode: number): Promise<void> {
  const draft = `${target}.${randomUUID()}.tmp`;
  try {
    const file = await open(draft, "wx", OWNERS_ALONE);
    try {
      await file.chmod(mode);
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(draft, target);
  } catch (error) {
    await rm(draft, { force: true });
    throw error;
  }
}

async function targetOf(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (error) {
    if (isMissing(error)) return path;
    throw error;
  }
}

async function modeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).mode & 0o777;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}
