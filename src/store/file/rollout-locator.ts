/**
 * Finds a thread's file by its id. Files are the truth: what the catalog or the memory says is checked to be there, and
 * an id that neither knows is searched for by the names of files, first where its time says.
 */
import { join } from "node:path";
import { LRUCache } from "lru-cache";
import { breathe } from "../../kernel/breath.ts";
import type { ThreadId } from "../../protocol/ids.ts";
import { isJsonObject } from "../../protocol/unknown-kind.ts";
import { type FileSystem, isMissing } from "./file-system.ts";
import { isLaterName, type Layout, mintedAt, parseRolloutName, type RolloutName } from "./layout.ts";

export type FoundRollout = { readonly path: string; readonly name: RolloutName };

const REMEMBERED = 10_000;
const DAY_MS = 24 * 60 * 60 * 1000;

export class RolloutLocator {
  readonly #fs: FileSystem;
  readonly #layout: Layout;
  readonly #catalogued: (threadId: ThreadId) => string | null | undefined;
  readonly #paths = new LRUCache<ThreadId, string>({ max: REMEMBERED });

  /** `catalogued`: where the catalog has the file, which may be out of date. */
  constructor(fs: FileSystem, layout: Layout, catalogued: (threadId: ThreadId) => string | null | undefined) {
    this.#fs = fs;
    this.#layout = layout;
    this.#catalogued = catalogued;
  }

  remember(fileId: ThreadId, path: string): void {
    this.#paths.set(fileId, path);
  }

  forget(fileId: ThreadId): void {
    this.#paths.delete(fileId);
  }

  /** Where a thread's lines are written: its newest segment. A deleted thread has none. */
  async findThread(threadId: ThreadId): Promise<string | undefined> {
    if (this.isDeleted(threadId)) return undefined;
    const known = this.#known(threadId) ?? this.#there(this.#catalogued(threadId));
    if (known !== undefined) return known;
    const files = await this.#search((name) => name.threadId === threadId, threadId);
    let newest: FoundRollout | undefined;
    for (const file of files) if (newest === undefined || isLaterName(file.name, newest.name)) newest = file;
    if (newest !== undefined) this.#paths.set(threadId, newest.path);
    return newest?.path;
  }

  /** The file that a fork's `history_base` names, also one that is kept of a deleted thread. */
  async findFile(fileId: ThreadId): Promise<string | undefined> {
    const known = this.#known(fileId) ?? this.#there(this.#catalogued(fileId)) ?? this.#keptOf(fileId);
    if (known !== undefined && parseRolloutName(nameOf(known))?.fileId === fileId) return known;
    const [found] = await this.#search((name) => name.fileId === fileId, fileId);
    if (found === undefined) return undefined;
    if (found.name.fileId !== found.name.threadId) this.#paths.set(fileId, found.path);
    return found.path;
  }

  isDeleted(threadId: ThreadId): boolean {
    return this.#fs.infoOf(this.#layout.tombstone(threadId)) !== undefined;
  }

  /** All files that lie in the home, a folder at a time. Folders that go away meanwhile are passed over. */
  async *walk(): AsyncGenerator<FoundRollout[]> {
    for (const year of this.#folders(this.#layout.sessions)) {
      for (const month of this.#folders(year)) {
        for (const day of this.#folders(month)) {
          yield this.#rolloutsIn(day);
          await breathe();
        }
      }
    }
    yield this.#rolloutsIn(this.#layout.archived);
  }

  async #search(passes: (name: RolloutName) => boolean, id: ThreadId): Promise<FoundRollout[]> {
    const near = [-1, 0, 1].map((days) => this.#layout.dayFolder(new Date(mintedAt(id) + days * DAY_MS)));
    const found = [...near, this.#layout.archived]
      .flatMap((folder) => this.#rolloutsIn(folder))
      .filter((file) => passes(file.name));
    if (found.length > 0) return found;
    for await (const files of this.walk()) found.push(...files.filter((file) => passes(file.name)));
    return found;
  }

  #rolloutsIn(folder: string): FoundRollout[] {
    const files: FoundRollout[] = [];
    for (const { name: text } of this.#list(folder)) {
      const name = parseRolloutName(text);
      if (name !== undefined) files.push({ path: join(folder, text), name });
    }
    return files;
  }

  /** Newest first. */
  #folders(path: string): string[] {
    return this.#list(path)
      .filter((entry) => entry.isFolder && /^\d+$/.test(entry.name))
      .map((entry) => join(path, entry.name))
      .sort()
      .reverse();
  }

  #list(folder: string): { name: string; isFolder: boolean }[] {
    try {
      return this.#fs.list(folder);
    } catch (error) {
      if (isMissing(error)) return [];
      throw error;
    }
  }

  #known(fileId: ThreadId): string | undefined {
    const path = this.#there(this.#paths.get(fileId));
    if (path === undefined) this.#paths.delete(fileId);
    return path;
  }

  #there(path: string | null | undefined): string | undefined {
    if (path === undefined || path === null) return undefined;
    return this.#fs.infoOf(path) === undefined ? undefined : path;
  }

  #keptOf(fileId: ThreadId): string | undefined {
    try {
      const kept: unknown = JSON.parse(this.#fs.readText(this.#layout.tombstone(fileId)));
      return isJsonObject(kept) && typeof kept.file === "string"
        ? this.#there(join(this.#layout.archived, kept.file))
        : undefined;
    } catch {
      return undefined; // none, or one that says nothing: the search decides
    }
  }
}

const nameOf = (path: string): string => path.slice(Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1);
