/**
 * What stays read-only in a folder that commands may write: what is in it runs later, outside of the sandbox, by git
 * hooks or as Skein's own settings.
 *
 * - A protected name is shielded whether it is there or not; what is not there yet is held by a mount point.
 * - A `.git` that is a file names a folder elsewhere, and that one may name another; both are shielded where they lie in
 *   a root.
 * - A protected name that is a link cannot be shielded: the sandbox binds what the link leads to, and the link itself
 *   could be replaced. So no command runs there.
 * - What the system itself runs stays as it is also where a whole system was made writable (`/` or `/usr` as the root).
 * - A root that is named itself is never shielded by the folder around it.
 */
import { lstat, realpath } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { SandboxUnavailableError } from "../../protocol/errors.ts";
import { readStart } from "../../services/bounded-read.ts";
import { isBelow, isWithin } from "./paths.ts";

const PROTECTED_NAMES: readonly string[] = [".git", ".codex", ".skein", ".agents"];

/** Where the programs lie that run with more rights than a command, with all that they load. */
const SYSTEM: readonly string[] = [
  ...["/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc"],
  ...["/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib32", "/usr/lib64", "/usr/local/bin", "/usr/local/lib"],
  ...["/nix/store", "/run/current-system", "/run/wrappers"],
];

const MOST_POINTER_BYTES = 4096;

/**
 * @param folders the roots that are folders; real paths
 * @param roots all roots, those too that are not there yet
 * @throws SandboxUnavailableError for a protected name that is a link
 */
export async function shieldsOf(folders: readonly string[], roots: readonly string[]): Promise<string[]> {
  const shields = new Set<string>();
  for (const root of folders) {
    for (const name of PROTECTED_NAMES) {
      const path = join(root, name);
      if (roots.includes(path)) continue;
      const found = await lstat(path).catch(() => undefined);
      if (found?.isSymbolicLink()) throw linked(path);
      shields.add(path);
      if (name !== ".git" || found?.isFile() !== true) continue;
      for (const folder of await gitFoldersOf(path)) await addGitFolder(folder, roots, shields);
    }
  }
  for (const path of SYSTEM) {
    const isInRoot = folders.some((root) => isBelow(root, path)) && !roots.includes(path);
    // What is a link here leads to another one of these.
    if (isInRoot && (await lstat(path).catch(() => undefined))?.isDirectory()) shields.add(path);
  }
  return [...shields];
}

const linked = (path: string): SandboxUnavailableError =>
  new SandboxUnavailableError(
    `${path} is a symbolic link, which cannot be kept read-only; replace it by what it leads to, or leave its folder out of the writable ones`,
  );

/** The folder that a `.git` file names, and the one that worktrees share. */
async function gitFoldersOf(file: string): Promise<string[]> {
  const line = await firstLine(file);
  const named = line?.startsWith("gitdir:") ? line.slice("gitdir:".length).trim() : "";
  if (named === "") return [];
  const folder = resolve(dirname(file), named);
  const common = await firstLine(join(folder, "commondir"));
  return common === undefined || common === "" ? [folder] : [folder, resolve(folder, common)];
}

const firstLine = (file: string): Promise<string | undefined> =>
  readStart(file, MOST_POINTER_BYTES).then(
    ({ bytes }) => bytes.toString("utf8").split("\n")[0],
    () => undefined,
  );

/** Of a folder that is not there yet, the first part that is missing is shielded. */
async function addGitFolder(folder: string, roots: readonly string[], shields: Set<string>): Promise<void> {
  for (const root of roots.filter((each) => isBelow(each, folder))) {
    let path = root;
    for (const part of folder.slice(root.length).split("/").filter(Boolean)) {
      path = join(path, part);
      const found = await lstat(path).catch(() => undefined);
      if (found?.isSymbolicLink()) throw linked(path);
      if (found === undefined) break;
    }
    if (!roots.includes(path)) shields.add(path);
  }
  const real = await realpath(folder).catch(() => undefined);
  if (real !== undefined && !roots.includes(real) && roots.some((root) => isWithin(root, real))) shields.add(real);
}
