import { lstat, realpath } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/** Where the path leads, whether it exists or not; undefined for a link that leads nowhere: writing would create what it names. */
export async function realTarget(path: string): Promise<string | undefined> {
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
