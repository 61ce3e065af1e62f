/** What a store's lists and searches show, and what they would show if there were nothing but the files. */
import { cpSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type FileStore, fileStore } from "../../../src/store/file/file-store.ts";

export type Shown = { listed: unknown[]; archived: unknown[]; found: unknown[] };

export async function shownBy(store: FileStore, words: readonly string[]): Promise<Shown> {
  const show = async (query: Parameters<FileStore["list"]>[0]) =>
    (await store.list({ limit: 100, ...query })).threads
      .map(({ threadId, preview, name, archived, cwd, forkedFromId }) => ({
        threadId,
        preview,
        name,
        archived,
        cwd,
        forkedFromId,
      }))
      .sort((a, b) => (a.threadId < b.threadId ? -1 : 1));
  const found = await Promise.all(words.map((search) => show({ search })));
  return { listed: await show({}), archived: await show({ archived: true }), found };
}

/** What a store says that has nothing but the files. */
export async function shownByFiles(home: string, words: readonly string[]): Promise<Shown> {
  const copy = mkdtempSync(join(tmpdir(), "skein-files-"));
  cpSync(home, copy, {
    recursive: true,
    filter: (path) => !/catalog\.sqlite|leases/.test(path),
    verbatimSymlinks: true,
  });
  const store = fileStore({ home: copy, fsync: "never" });
  try {
    return await shownBy(store, words);
  } finally {
    await store.close();
    rmSync(copy, { recursive: true });
  }
}
