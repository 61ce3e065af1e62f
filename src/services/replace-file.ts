import { randomUUID } from "node:crypto";
import { mkdir, open, realpath, rename, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { StoreIoError } from "../protocol/errors.ts";
import { ioText, isMissing } from "./io-failure.ts";

/**
 * Replaces a file whole: a reader, or a crash at any moment, finds the old text or the new one. A symbolic link stays
 * and its target is replaced. Without `mode`, an existing file keeps its mode and a new one follows the umask.
 *
 * @throws StoreIoError when the file system refuses; the old file then stands as it was.
 */
export async function replaceFile(path: string, text: string, options: { mode?: number } = {}): Promise<void> {
  try {
    await mkdir(dirname(path), { recursive: true });
    const target = await targetOf(path);
    await writeBeside(target, text, options.mode ?? (await modeOf(target)));
  } catch (error) {
    throw new StoreIoError(`failed to write ${path}: ${ioText(error)}`, { cause: error });
  }
}

async function writeBeside(target: string, text: string, mode: number | undefined): Promise<void> {
  const draft = `${target}.${randomUUID()}.tmp`;
  try {
    const file = await open(draft, "wx", mode);
    try {
      if (mode !== undefined) await file.chmod(mode);
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
