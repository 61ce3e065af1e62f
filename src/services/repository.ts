import { access } from "node:fs/promises";
import { dirname, join } from "node:path";

/**
 * The folders from `cwd` up to the root of its repository, nearest first; outside a repository `cwd` alone. A repository's
 * root is the nearest folder that holds `.git`.
 */
export async function foldersUpToRepository(cwd: string): Promise<string[]> {
  const folders = ancestorsOf(cwd);
  const marked = await Promise.all(folders.map((folder) => exists(join(folder, ".git"))));
  const root = marked.indexOf(true);
  return root === -1 ? [cwd] : folders.slice(0, root + 1);
}

function ancestorsOf(folder: string): string[] {
  const above = dirname(folder);
  return above === folder ? [folder] : [folder, ...ancestorsOf(above)];
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );
