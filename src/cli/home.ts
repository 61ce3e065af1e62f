import { homedir } from "node:os";
import { join, resolve } from "node:path";
import { type FileStore, fileStore } from "../index.ts";
import type { Io } from "./terminal/io.ts";
import { Progress } from "./terminal/progress.ts";

export type HomeOption = { readonly home?: string };

/** The home folder: `--home`, else SKEIN_HOME, else CODEX_HOME, else `~/.skein`. It need not exist. */
export function homeOf({ home }: HomeOption, { env, cwd }: Io): string {
  const chosen = [home, env.SKEIN_HOME, env.CODEX_HOME].find((folder) => folder !== undefined && folder !== "");
  return chosen === undefined ? join(homedir(), ".skein") : resolve(cwd(), chosen);
}

/** Opens the threads of a home for a while. What a catalog that is missing or stale has to read first is shown. */
export async function withStore<T>(option: HomeOption, io: Io, use: (store: FileStore) => Promise<T>): Promise<T> {
  using progress = new Progress(io);
  const store = fileStore({
    home: homeOf(option, io),
    onScanProgress: ({ files, changed, done }) => {
      if (!done && changed > 0) progress.show(() => `${files.toLocaleString("en")} files seen, ${changed} read`);
    },
  });
  try {
    return await use(store);
  } finally {
    await store.close();
  }
}
