import { homedir } from "node:os";
import { join, resolve } from "node:path";
import type { StoreOption } from "./database.ts";
import type { Io } from "./terminal/io.ts";

export type HomeOption = StoreOption & { readonly home?: string };

/** The home folder: `--home`, else SKEIN_HOME, else CODEX_HOME, else `~/.skein`. It need not exist. */
export function homeOf({ home }: HomeOption, { env, cwd }: Io): string {
  const chosen = [home, env.SKEIN_HOME, env.CODEX_HOME].find((folder) => folder !== undefined && folder !== "");
  return chosen === undefined ? join(homedir(), ".skein") : resolve(cwd(), chosen);
}
