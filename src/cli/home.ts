import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { type FileStore, fileStore } from "../index.ts";
import type { Io } from "./io.ts";

export type HomeOption = { readonly home?: string };

/** The home folder: `--home`, else SKEIN_HOME, else CODEX_HOME, else `~/.skein`. It need not exist. */
export function homeOf({ home }: HomeOption, { env, cwd }: Io): string {
  const chosen = [home, env.SKEIN_HOME, env.CODEX_HOME].find((folder) => folder !== undefined && folder !== "");
  return chosen === undefined ? join(homedir(), ".skein") : resolve(cwd(), chosen);
}

/** Opens the threads of a home for a while. */
export async function withStore<T>(option: HomeOption, io: Io, use: (store: FileStore) => Promise<T>): Promise<T> {
  const store = fileStore({ home: homeOf(option, io) });
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}
