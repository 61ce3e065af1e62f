/**
 * Writes where no sandbox applies, though commands may be at work meanwhile: what a user has approved outside of the area,
 * and what lies in it where there is no sandbox. Every folder on the way is opened from the one before without following
 * links, so that a swap after the question is asked leads nowhere: the write fails.
 */
import { constants } from "node:fs";
import { type FileHandle, mkdir, open, unlink } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { closeAll, pathOfHandle } from "../../../process/sandbox/handles.ts";
import { realTarget } from "../../../process/sandbox/real-target.ts";
import { PatchError } from "./patch-grammar.ts";
import type { FileStep } from "./patch-plan.ts";
import { overwrite } from "./write-plainly.ts";

const FOLDER = constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW;

/**
 * Where a step leads, links followed; undefined for a link that leads nowhere. A link is removed, never what it names.
 */
export async function targetOf({ path, after }: FileStep): Promise<string | undefined> {
  const folder = after === null ? await realTarget(dirname(path)) : undefined;
  return folder === undefined ? realTarget(path) : join(folder, basename(path));
}

/**
 * @param target a path without links, as {@link targetOf} gave it before anybody could be asked
 * @throws what the file system throws: ELOOP or ENOTDIR where a link has taken a folder's place
 */
export async function writeByHandles(target: string | undefined, { after, mode }: FileStep): Promise<void> {
  if (target === undefined) throw new PatchError("it is a symbolic link that leads nowhere");
  const folder = await openFolder(dirname(target), after === null ? "existing" : "made");
  try {
    const place = join(pathOfHandle(folder), basename(target));
    if (after === null) return await unlink(place);
    await overwrite(place, after, constants.O_NOFOLLOW);
    if (mode !== undefined) await chmodUnlinked(place, mode);
  } finally {
    closeAll([folder]);
  }
}

async function openFolder(path: string, missing: "existing" | "made"): Promise<FileHandle> {
  let folder = await open("/", FOLDER);
  for (const part of path.split("/").filter(Boolean)) {
    const above = folder;
    const place = join(pathOfHandle(above), part);
    try {
      folder = await open(place, FOLDER).catch(async (error: NodeJS.ErrnoException) => {
        if (error.code !== "ENOENT" || missing === "existing") throw error;
        await mkdir(place);
        return open(place, FOLDER);
      });
    } finally {
      closeAll([above]);
    }
  }
  return folder;
}

async function chmodUnlinked(place: string, mode: number): Promise<void> {
  const file = await open(place, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    await file.chmod(mode);
  } finally {
    await file.close();
  }
}
