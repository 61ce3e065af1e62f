import { dirname, join, resolve } from "node:path";
import { makeFolderSync } from "../../kernel/make-folder.ts";

const UNIX = "unix://";

/** Where Codex's clients look for the server of a home: `codex --remote unix://`, `codex app-server proxy`. */
const CONTROL_SOCKET = ["app-server-control", "app-server-control.sock"] as const;

/**
 * `--listen` as the server takes it: a socket's path counts from the working folder, and `unix://` alone is the home's own
 * socket, whose folder is made, for its owner only.
 */
export function listenUrlOf(url: string, { home, cwd }: { home: string; cwd: string }): string {
  if (!url.startsWith(UNIX)) return url;
  const path = url.slice(UNIX.length);
  if (path !== "") return `${UNIX}${resolve(cwd, path)}`;
  const own = join(home, ...CONTROL_SOCKET);
  makeFolderSync(dirname(own), 0o700);
  return `${UNIX}${own}`;
}
