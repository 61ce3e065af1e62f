import { isWithin } from "../../../process/sandbox/paths.ts";
import { realTarget } from "../../../process/sandbox/real-target.ts";
import type { WritableArea } from "../../../process/sandbox/writable-area.ts";

/** Whether a file lies in the area, where links really lead. */
export async function isWritable(path: string, { roots, shields }: WritableArea): Promise<boolean> {
  const target = await realTarget(path);
  if (target === undefined) return false;
  const within = (folder: string): boolean => isWithin(folder, target);
  // A root that lies in a shield has been named itself.
  const [root] = roots.filter(within).sort((a, b) => b.length - a.length);
  return root !== undefined && !shields.some((shield) => within(shield) && !isWithin(shield, root));
}
