/** Which files and folders of a home are not their owner's alone. */
import { join } from "node:path";
import { yieldToLoop } from "../../../kernel/yield-to-loop.ts";
import { type FileSystem, isMissing, PRIVATE_FILE, PRIVATE_FOLDER } from "../file-system.ts";
import type { Layout } from "../layout.ts";

/** `isReachable`: no folder around it keeps others out, so that they can read or change it. */
export type WidePath = {
  readonly path: string;
  readonly mode: number;
  readonly isFolder: boolean;
  readonly isReachable: boolean;
};

const GROUP_AND_OTHERS = 0o077;

/** The home, its own files and the folders of threads; not what else the user keeps there, such as skills. */
export async function* widePaths(
  fs: FileSystem,
  { home, sessions, archived, tombstones, leases }: Layout,
): AsyncGenerator<WidePath> {
  if (process.platform === "win32") return;
  const own = [sessions, archived, tombstones, leases];
  yield* wideFrom({ fs, enters: (folder) => own.some((each) => folder.startsWith(each)) }, home, true);
}

type Walk = { readonly fs: FileSystem; readonly enters: (folder: string) => boolean };

async function* wideFrom(walk: Walk, folder: string, isReachable: boolean): AsyncGenerator<WidePath> {
  const { fs, enters } = walk;
  const mode = fs.modeOf(folder) ?? 0;
  const isWide = (mode & GROUP_AND_OTHERS) !== 0;
  if (isWide) yield { path: folder, mode, isFolder: true, isReachable };
  for (const { name, isFolder } of entriesOf(fs, folder)) {
    await yieldToLoop();
    const path = join(folder, name);
    if (isFolder) {
      if (enters(path)) yield* wideFrom(walk, path, isReachable && isWide);
      continue;
    }
    const of = fs.modeOf(path) ?? 0;
    if ((of & GROUP_AND_OTHERS) !== 0) yield { path, mode: of, isFolder, isReachable: isReachable && isWide };
  }
}

/** Takes from everybody else what they may do with it. */
export function protect(fs: FileSystem, { path, isFolder }: WidePath): void {
  fs.setMode(path, isFolder ? PRIVATE_FOLDER : PRIVATE_FILE);
}

function entriesOf(fs: FileSystem, folder: string) {
  try {
    return fs.list(folder);
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}
