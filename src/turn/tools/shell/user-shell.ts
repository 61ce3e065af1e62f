import { existsSync } from "node:fs";

/** The shell that commands run in. */
export const USER_SHELL = existsSync("/bin/bash") ? "/bin/bash" : "/bin/sh";

const KNOWN = /(?:^|\/)(?<name>bash|dash|ksh|sh|zsh)$/;

/**
 * The shell that a model asks for, where it is one that we know and have, else the user's. Only its name counts: a
 * program elsewhere under the name of a shell would run instead of the script that was judged.
 */
export function shellNamed(asked: string | null | undefined): string {
  const name = KNOWN.exec(asked ?? "")?.groups?.name;
  if (name === undefined) return USER_SHELL;
  return [`/bin/${name}`, `/usr/bin/${name}`].find((path) => existsSync(path)) ?? USER_SHELL;
}
