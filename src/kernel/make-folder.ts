/**
 * Makes a folder and those above it. Node's own `recursive` asks for ever where a folder that is there refuses to hold another one
 * (`/proc`, some mounted file systems): here each is asked for twice at most.
 */
import { mkdirSync, statSync } from "node:fs";
import { mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";

const DEFAULT_MODE = 0o777;

const isMissing = (error: unknown): boolean => error instanceof Error && "code" in error && error.code === "ENOENT";

/** @param mode of each folder that is made, less the umask. @throws what the file system throws; also where a file has the name */
export function makeFolderSync(path: string, mode = DEFAULT_MODE): void {
  if (madeSync(path, mode)) return;
  makeFolderSync(dirname(path), mode);
  if (!madeSync(path, mode)) mkdirSync(path, { mode });
}

/** false: the folder above is missing, and there is one. */
function madeSync(path: string, mode: number): boolean {
  try {
    mkdirSync(path, { mode });
  } catch (error) {
    if (isMissing(error) && dirname(path) !== path) return false;
    if (statSync(path, { throwIfNoEntry: false })?.isDirectory() !== true) throw error;
  }
  return true;
}

/** The same, without holding up the loop. */
export async function makeFolder(path: string, mode = DEFAULT_MODE): Promise<void> {
  if (await made(path, mode)) return;
  await makeFolder(dirname(path), mode);
  if (!(await made(path, mode))) await mkdir(path, { mode });
}

async function made(path: string, mode: number): Promise<boolean> {
  try {
    await mkdir(path, { mode });
  } catch (error) {
    if (isMissing(error) && dirname(path) !== path) return false;
    const found = await stat(path).catch(() => undefined);
    if (found?.isDirectory() !== true) throw error;
  }
  return true;
}
