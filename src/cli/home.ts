import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { fileStore } from "../store/file/file-store.ts";
import type { MovableStore } from "../store/movable-store.ts";
import { openDatabase, type StoreOption, storeUrlOf } from "./database.ts";
import type { Io } from "./terminal/io.ts";
import { Progress } from "./terminal/progress.ts";

export type HomeOption = StoreOption & { readonly home?: string };

/** The home folder: `--home`, else SKEIN_HOME, else CODEX_HOME, else `~/.skein`. It need not exist. */
export function homeOf({ home }: HomeOption, { env, cwd }: Io): string {
  const chosen = [home, env.SKEIN_HOME, env.CODEX_HOME].find((folder) => folder !== undefined && folder !== "");
  return chosen === undefined ? join(homedir(), ".skein") : resolve(cwd(), chosen);
}

/** Opens the threads of a home, or of the database that is named, for a while. */
export async function withStore<T>(option: HomeOption, io: Io, use: (store: MovableStore) => Promise<T>): Promise<T> {
  const url = storeUrlOf(option, io);
  return url === undefined ? withFiles(homeOf(option, io), io, use) : closing(await openDatabase(url), use);
}

/** What a catalog that is missing or stale has to read first is shown. */
export async function withFiles<T>(home: string, io: Io, use: (store: MovableStore) => Promise<T>): Promise<T> {
  using progress = new Progress(io);
  const store = fileStore({
    home,
    onScanProgress: ({ files, changed, done }) => {
      if (!done && changed > 0) progress.show(() => `${files.toLocaleString("en")} files seen, ${changed} read`);
    },
  });
  return await closing(store, use);
}

async function closing<S extends MovableStore, T>(store: S, use: (store: S) => Promise<T>): Promise<T> {
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}
