/** Folders as threads are listed by them: resolved, and where links lead, as Codex compares them. */
import { realpathSync } from "node:fs";
import { resolve } from "node:path";
import { LRUCache } from "lru-cache";

const KNOWN_FOR_MS = 1_000;
const known = new LRUCache<string, string>({ max: 1_000, ttl: KNOWN_FOR_MS });

/** Where a folder really lies; a folder that is not there, as it is written. `""` stays. */
export function placeOf(folder: string): string {
  if (folder === "") return "";
  const found = known.get(folder);
  if (found !== undefined) return found;
  const place = realPlace(folder);
  known.set(folder, place);
  return place;
}

function realPlace(folder: string): string {
  const path = resolve(folder);
  try {
    return realpathSync.native(path);
  } catch {
    return path;
  }
}
