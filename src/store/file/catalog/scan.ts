import { breathe } from "../../../kernel/breath.ts";
import type { SkeinLogger } from "../../../kernel/log.ts";
import type { ThreadId } from "../../../protocol/ids.ts";
import type { FileSystem } from "../file-system.ts";
import { isLaterName, type Layout } from "../layout.ts";
import type { HistoryReader } from "../rollout/history-reader.ts";
import type { FoundRollout, RolloutLocator } from "../rollout-locator.ts";
import { readNotes, type ThreadNotes } from "../thread-notes.ts";
import type { Catalog, CatalogFile, CatalogRow } from "./catalog.ts";
import { readRow } from "./thread-row.ts";

export type ScanProgress = { readonly files: number; readonly changed: number; readonly done: boolean };

export type ScanEnv = {
  readonly fs: FileSystem;
  readonly layout: Layout;
  readonly locator: RolloutLocator;
  readonly reader: HistoryReader;
  readonly log: SkeinLogger;
  readonly onProgress?: ((progress: ScanProgress) => void) | undefined;
  readonly isClosed: () => boolean;
  /** Whether this store writes the thread: then it tells the catalog itself. */
  readonly isLive: (threadId: ThreadId) => boolean;
};

const BATCH = 64;

/**
 * Brings the catalog up to date with the files: adds what is new, reads what has changed by size or time, and takes out
 * what is gone. Newest first, with pauses for everything else.
 */
export async function scanCatalog(env: ScanEnv, catalog: Catalog): Promise<void> {
  const known = new Map<ThreadId, CatalogFile>();
  for (const file of catalog.files()) known.set(file.threadId, file);
  const notes = readNotes(env.fs, env.layout);
  const newest = await newestFiles(env);
  let batch: CatalogRow[] = [];
  let changed = 0;
  let files = 0;
  const put = () => {
    if (batch.length > 0) catalog.put(batch);
    batch = [];
    env.onProgress?.({ files, changed, done: false });
  };
  for (const { path, name } of newest.values()) {
    if (env.isClosed()) return;
    files += 1;
    if (env.locator.isDeleted(name.threadId)) continue;
    const row = known.get(name.threadId);
    known.delete(name.threadId);
    const info = env.fs.infoOf(path);
    if (info === undefined) continue;
    const isKnown = row?.rolloutPath === path;
    const same = isKnown && row.fileSize === info.size && row.mtimeMs === info.modifiedMs;
    if (!same && !(isKnown && env.isLive(name.threadId))) {
      const fresh = await rowOf(env, path, notes);
      if (fresh !== undefined) {
        batch.push(fresh);
        changed += 1;
      }
    }
    if (batch.length >= BATCH) put();
    if (files % BATCH === 0) await breathe();
  }
  put();
  for (const file of known.values()) {
    if (file.rolloutPath === null || env.fs.infoOf(file.rolloutPath) === undefined) catalog.remove(file.threadId);
  }
  env.onProgress?.({ files, changed, done: true });
  if (changed > 0) env.log.info({ files, changed }, "the catalog was brought up to date with the files");
}

async function newestFiles(env: ScanEnv): Promise<Map<ThreadId, FoundRollout>> {
  const newest = new Map<ThreadId, FoundRollout>();
  for await (const found of env.locator.walk()) {
    for (const file of found) {
      const other = newest.get(file.name.threadId);
      if (other === undefined || isLaterName(file.name, other.name)) newest.set(file.name.threadId, file);
    }
  }
  return newest;
}

async function rowOf(env: ScanEnv, path: string, notes: ThreadNotes): Promise<CatalogRow | undefined> {
  try {
    return await readRow(env, path, notes);
  } catch (error) {
    env.log.warn({ error, path }, "a rollout cannot be read; it is left out of the catalog");
    return undefined;
  }
}
