/**
 * Finds a thread's file by its id. Files are the truth: what the catalog or the memory says is checked to be there, and
 * an id that neither knows is searched for by the names of files, first where its time says.
 */
import { join, sep } from "node:path";
import { LRUCache } from "lru-cache";
import { yieldToLoop } from "../../kernel/yield-to-loop.ts";
import type { ThreadId } from "../../protocol/ids.ts";
import { isJsonObject } from "../../protocol/unknown-kind.ts";
import { type FileSystem, isMissing, isSettled, isUnreachable } from "./file-system.ts";
import { isLaterName, type Layout, mintedAt, parseRolloutName, type RolloutName } from "./layout.ts";

export type FoundRollout = { readonly path: string; readonly name: RolloutName };

/** A folder of the home as it was when it was listed. */
export type RolloutFolder = {
  readonly path: string;
  readonly changedMs: number;
  readonly files: readonly FoundRollout[];
  /** Those of years, months or days, the newest first. */
  readonly folders: readonly string[];
};

const REMEMBERED = 10_000;
const REMEMBERED_FOLDERS = 64;
/** Years, months, days. */
const DEEPEST_FOLDER = 3;
const DAY_MS = 24 * 60 * 60 * 1000;

export class RolloutLocator {
  readonly #fs: FileSystem;
  readonly #layout: Layout;
  readonly #catalogued: (threadId: ThreadId) => string | null | undefined;
  /** By size, since a number of places would be held for them at once. */
  readonly #paths = new LRUCache<ThreadId, string>({ maxSize: REMEMBERED, sizeCalculation: () => 1 });
  readonly #files = new LRUCache<ThreadId, string>({ maxSize: REMEMBERED, sizeCalculation: () => 1 });
  readonly #folders = new LRUCache<string, RolloutFolder>({ max: REMEMBERED_FOLDERS });

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
    this.#files.delete(fileId);
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
    const known =
      this.#there(this.#files.get(fileId)) ??
      this.#known(fileId) ??
      this.#there(this.#catalogued(fileId)) ??
      this.#keptOf(fileId);
    if (known !== undefined && parseRolloutName(nameOf(known))?.fileId === fileId) return known;
    const [found] = await this.#search((name) => name.fileId === fileId, fileId);
    if (found === undefined) return undefined;
    this.#files.set(fileId, found.path);
    return found.path;
  }

  isDeleted(threadId: ThreadId): boolean {
    return this.#fs.infoOf(this.#layout.tombstone(threadId)) !== undefined;
  }

  /** All files that lie in the home, a folder at a time. Folders that go away meanwhile are passed over. */
  async *walk(): AsyncGenerator<RolloutFolder> {
    for (const root of this.roots()) {
      for (const folder of this.#below(root)) {
        yield folder;
        await yieldToLoop();
      }
    }
  }

  roots(): string[] {
    return [this.#layout.sessions, this.#layout.archived];
  }

  isBelow(path: string, root: string): boolean {
    return path.startsWith(`${root}${sep}`);
  }

  /** What lies in one folder now: rollouts, and the folders of years, months and days. undefined: it is gone. */
  folder(path: string): RolloutFolder | undefined {
    const changedMs = this.#fs.infoOf(path)?.changedMs;
    if (changedMs === undefined) return undefined;
    const known = this.#folders.get(path);
    if (known !== undefined && known.changedMs === changedMs) return known;
    const entries = this.#list(path);
    const files: FoundRollout[] = [];
    const folders: string[] = [];
    for (const { name: text, isFolder } of entries) {
      const name = isFolder ? undefined : parseRolloutName(text);
      // Not by `join`, which kept the loop 15 ms longer for a folder of twenty thousand names.
      if (name !== undefined) files.push({ path: `${path}${sep}${text}`, name });
      else if (isFolder && /^\d+$/.test(text) && this.#depthOf(path) < DEEPEST_FOLDER) folders.push(join(path, text));
    }
    const folder = { path, changedMs, files, folders: folders.sort().reverse() };
    if (isSettled(changedMs)) this.#folders.set(path, folder);
    return folder;
  }

  /** How many folders lie between the sessions' and this one, itself included: links cannot lead round for ever. */
  #depthOf(path: string): number {
    const { sessions } = this.#layout;
    return path === sessions
      ? 0
      : this.isBelow(path, sessions)
        ? path.slice(sessions.length + 1).split(sep).length
        : DEEPEST_FOLDER;
  }

  *#below(path: string): Generator<RolloutFolder> {
    const folder = this.folder(path);
    if (folder === undefined) return;
    yield folder;
    for (const next of folder.folders) yield* this.#below(next);
  }

  async #search(passes: (name: RolloutName) => boolean, id: ThreadId): Promise<FoundRollout[]> {
    const near = [-1, 0, 1].map((days) => this.#layout.dayFolder(new Date(mintedAt(id) + days * DAY_MS)));
    const found = [...near, ...this.roots()]
      .flatMap((path) => this.folder(path)?.files ?? [])
      .filter((file) => passes(file.name));
    if (found.length > 0) return found;
    for await (const { files } of this.walk()) found.push(...files.filter((file) => passes(file.name)));
    return found;
  }

  #list(folder: string): { name: string; isFolder: boolean }[] {
    try {
      return this.#fs.list(folder);
    } catch (error) {
      if (isMissing(error) || isUnreachable(error)) return [];
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

export const nameOf = (path: string): string => path.slice(Math.max(path.lastIndexOf("/"), path.lastIndexOf("\\")) + 1);
