import { statSync } from "node:fs";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import type { StoreOption } from "./database.ts";
import { UsageError } from "./failure.ts";
import type { Io } from "./terminal/io.ts";

export type HomeOption = StoreOption & { readonly home?: string };

/** The home folder: `--home`, else SKEIN_HOME, else CODEX_HOME, else `~/.skein`. It need not exist. @throws UsageError where something else stands there */
export function homeOf({ home }: HomeOption, { env, cwd }: Io): string {
  const chosen = [home, env.SKEIN_HOME, env.CODEX_HOME].find((folder) => folder !== undefined && folder !== "");
  const folder = chosen === undefined ? join(homedir(), ".skein") : resolve(cwd(), chosen);
  if (statSync(folder, { throwIfNoEntry: false })?.isDirectory() === false)
    throw new UsageError(`the home has to be a folder, and ${folder} is none; see --home`);
  return folder;
}
