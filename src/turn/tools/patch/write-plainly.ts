import { constants } from "node:fs";
import { chmod, open, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { makeFolder } from "../../../kernel/make-folder.ts";
import type { FileStep } from "./patch-plan.ts";

/** Writes or removes a file by its name, with the rights of this process. @throws what the file system throws */
export async function writePlainly({ path, after, mode }: FileStep): Promise<void> {
  if (after === null) return rm(path);
  await makeFolder(dirname(path));
  await overwrite(path, after);
  if (mode !== undefined) await chmod(path, mode);
}

/** In place, so that the file keeps its mode and owner. Never waits for a pipe. */
export async function overwrite(path: string, content: string, flags = 0): Promise<void> {
  const file = await open(path, constants.O_WRONLY | constants.O_CREAT | constants.O_NONBLOCK | flags, 0o666);
  try {
    if (!(await file.stat()).isFile()) throw new Error(`${path} is not a regular file`);
    await file.truncate();
    await file.writeFile(content);
  } finally {
    await file.close();
  }
}
