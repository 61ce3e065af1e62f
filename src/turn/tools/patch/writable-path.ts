import { lstat, realpath } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import type { WritableRoot } from "../sandbox.ts";

/** Whether a file lies in one of the roots, where links really lead, and in none of their protected folders. */
export async function isWritable(path: string, roots: readonly WritableRoot[]): Promise<boolean> {
  const target = await realTarget(path);
  if (target === undefined) return false;
  for (const root of roots) {
    const real = await realpath(root.path).catch(() => root.path);
    const shields = root.protected.map((shield) => join(real, relative(root.path, shield)));
    if (contains(real, target) && !shields.some((shield) => contains(shield, target))) return true;
  }
  return false;
}

/** Where the path leads; undefined for a link that leads nowhere: writing would create what it names. */
async function realTarget(path: string): Promise<string | undefined> {
  const real = await realpath(path).catch(() => undefined);
  if (real !== undefined) return real;
  const isLink = await lstat(path).then(
    (stats) => stats.isSymbolicLink(),
    () => false,
  );
  const above = dirname(path);
  if (isLink || above === path) return undefined;
  const folder = await realTarget(above);
  return folder === undefined ? undefined : join(folder, basename(path));
}

function contains(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way !== ".." && !way.startsWith("../") && !way.startsWith("..\\");
}
