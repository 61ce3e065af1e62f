import { lstat, realpath } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import type { WritableArea } from "../../../process/sandbox.ts";

/** Whether a file lies in the area, where links really lead. */
export async function isWritable(path: string, { roots, shields }: WritableArea): Promise<boolean> {
  const target = await realTarget(path);
  if (target === undefined) return false;
  const isIn = async (folders: readonly string[]): Promise<boolean> => {
    const real = await Promise.all(folders.map((folder) => realTarget(folder)));
    return real.some((folder) => folder !== undefined && contains(folder, target));
  };
  return (await isIn(roots)) && !(await isIn(shields));
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
