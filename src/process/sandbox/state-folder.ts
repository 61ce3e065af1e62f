import { lstat, mkdir } from "node:fs/promises";
import { SandboxUnavailableError } from "../../protocol/errors.ts";

/** In memory, and not to be seen from a sandbox, which has a /dev of its own. */
export const MEMORY_FOLDER = "/dev/shm";

/** What all processes of this user share about their sandboxes. It is gone with the next start of the machine. */
export const STATE_FOLDER = `${MEMORY_FOLDER}/skein-${process.geteuid?.() ?? 0}`;

/** Makes the folder where it is missing. @throws SandboxUnavailableError where somebody else could write it */
export async function stateFolder(name: string): Promise<string> {
  await ownFolder(STATE_FOLDER);
  const folder = `${STATE_FOLDER}/${name}`;
  await ownFolder(folder);
  return folder;
}

async function ownFolder(path: string): Promise<void> {
  await mkdir(path, { mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "EEXIST") return;
    throw new SandboxUnavailableError(`${path} cannot be made: ${error.message}`, { cause: error });
  });
  const found = await lstat(path);
  if (found.isDirectory() && found.uid === process.geteuid?.() && (found.mode & 0o077) === 0) return;
  throw new SandboxUnavailableError(`${path} is not a folder of this user alone; remove it`);
}
