import { dirname } from "node:path";
import { closeAll } from "./handles.ts";
import { type HeldFolders, type MissingPlace, type OpenPlace, openUnlinked } from "./held-folders.ts";
import { isBelow, isWithin } from "./paths.ts";
import { shieldsOf } from "./shields.ts";
import { STATE_FOLDER } from "./state-folder.ts";
import { namedRoots, type PolicyPlace, type WritableArea } from "./writable-area.ts";

/** A writable area, opened: its handles are the holder's to close. */
export type OpenArea = WritableArea & {
  readonly rootHandles: readonly OpenPlace[];
  /**
   * The folders between a root and what lies deeper in it. Bound onto themselves they cannot be renamed or removed, so
   * that nothing below them can be made anew in another place without its shield.
   */
  readonly pins: readonly OpenPlace[];
  close(): void;
};

/** @throws SandboxUnavailableError for a root that has changed, or a protected name that cannot be shielded */
export async function openArea(place: PolicyPlace, held: HeldFolders): Promise<OpenArea> {
  const opened: OpenPlace[] = [];
  const close = () => closeAll(opened.map(({ handle }) => handle));
  try {
    const byPath = new Map<string, OpenPlace | MissingPlace>();
    for (const name of namedRoots(place)) {
      const root = await held.open(name);
      if (root?.handle !== undefined) opened.push(root);
      if (root !== undefined) byPath.set(root.path, root);
    }
    const roots = [...byPath.keys()];
    const rootHandles = [...byPath.values()].filter((root) => root.handle !== undefined);
    const folders = rootHandles.filter(({ isFolder }) => isFolder).map(({ path }) => path);
    const shields = await shieldsOf(folders, roots);
    // A sandbox has a /dev of its own; where a root names a part of the host's, what Skein's processes share stays as it is.
    if (roots.some((root) => isWithin("/dev", root) && isWithin(root, STATE_FOLDER))) shields.push(STATE_FOLDER);
    const pins: OpenPlace[] = [];
    for (const path of pinsOf(roots, shields)) {
      const pin = await openUnlinked(path);
      if (pin === undefined) continue;
      opened.push(pin);
      pins.push(pin);
    }
    return { roots, shields, rootHandles, pins, close };
  } catch (error) {
    close();
    throw error;
  }
}

/** Strictly between a root and a deeper root or shield. What lies in a shield cannot be moved anyway. */
export function pinsOf(roots: readonly string[], shields: readonly string[]): string[] {
  const pins = new Set<string>();
  for (const target of [...roots, ...shields]) {
    if (!roots.some((root) => isBelow(root, target))) continue;
    for (let path = dirname(target); roots.some((root) => isBelow(root, path)); path = dirname(path)) {
      if (!roots.includes(path) && !shields.some((shield) => isWithin(shield, path))) pins.add(path);
    }
  }
  return [...pins];
}
