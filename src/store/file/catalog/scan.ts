/**
 * Keeps the catalog in step with the files, which other programs change too.
 *
 * C1  A look comes before each answer. A folder whose time has not changed holds the same files, so only the others are
 *     listed; files grow without their folder telling, so those are asked for their size that the system says were changed, and
 *     the newest ones: more of them in the first look, which may come long after the last one of another process.
 * C2  A scan asks every file. It runs in the background, and when the catalog is built.
 * C3  A folder's time is only kept when all its files have their rows, and when the time is old enough that no later
 *     change can bear the same.
 */

import type { SkeinLogger } from "../../../kernel/log.ts";
import { yieldToLoop } from "../../../kernel/yield-to-loop.ts";
import type { ThreadId } from "../../../protocol/ids.ts";
import { type FileSystem, isSettled, namesIn } from "../file-system.ts";
import { isLaterName, type Layout, parseRolloutName } from "../layout.ts";
import type { ScanProgress } from "../options.ts";
import type { HistoryReader } from "../rollout/history-reader.ts";
import { type FoundRollout, nameOf, type RolloutFolder, type RolloutLocator } from "../rollout-locator.ts";
import { type KnownNotes, metadataPath, namesPath } from "../thread-notes.ts";
import type { Catalog, CatalogFile, CatalogRow } from "./catalog.ts";
import type { FolderWatches } from "./folder-watches.ts";
import { InheritedSummaries } from "./inherited-summaries.ts";
import { readRow } from "./thread-row.ts";

export type ScanEnv = {
  readonly fs: FileSystem;
  readonly layout: Layout;
  readonly locator: RolloutLocator;
  readonly reader: HistoryReader;
  readonly notes: KnownNotes;
  readonly log: SkeinLogger;
  readonly watches: FolderWatches;
  readonly onProgress?: ((progress: ScanProgress) => void) | undefined;
  readonly isClosed: () => boolean;
  /** Between two steps of a scan, so that others go first. */
  readonly rest?: (() => Promise<void>) | undefined;
  /** Whether this store writes the thread: then it tells the catalog itself. */
  readonly isLive: (threadId: ThreadId) => boolean;
};

const BATCH = 64;
/** How many of the newest threads a look asks for their size, and the first look of a process. */
const NEWEST = 400;
const NEWEST_AT_FIRST = 20_000;
const NEVER = -1;
/** So many rows are read at once. */
const PAGE = 512;

type Names = ReadonlySet<string>;
const NONE: Names = new Set();
const pathsOf = ({ files }: RolloutFolder): Names => new Set(files.map(({ path }) => path));

export class HomeScan {
  readonly #env: ScanEnv;
  readonly #catalog: Catalog;
  #batch: CatalogRow[] = [];
  #files = 0;
  #changed = 0;
  /** The files whose size this look knows: each is asked once. */
  readonly #asked = new Set<string>();
  readonly #inherited: InheritedSummaries;

  constructor(env: ScanEnv, catalog: Catalog) {
    this.#env = env;
    this.#catalog = catalog;
    this.#inherited = new InheritedSummaries(env.reader);
  }

  /** C1. Takes about as long as there are folders, and what has changed. */
  async look(when: { readonly isFirst: boolean }): Promise<void> {
    const { watches } = this.#env;
    const touched = await watches.take();
    try {
      await this.#look(touched, when);
    } catch (error) {
      watches.giveBack(touched);
      throw error;
    }
  }

  async #look(touched: ReadonlySet<string>, { isFirst }: { readonly isFirst: boolean }): Promise<void> {
    const times = this.#catalog.times();
    this.#lookAtNotes(times);
    const changed: RolloutFolder[] = [];
    const gone: string[] = [];
    for (const root of this.#env.locator.roots()) await this.#lookBelow(root, times, { changed, gone });
    for (const folder of changed) await this.#takeIn(folder);
    this.#put();
    const deleted = changed.length === 0 ? NONE : this.#deleted();
    for (const folder of changed) await this.#dropMissing(folder.path, { there: pathsOf(folder), deleted });
    for (const path of gone) await this.#forget(path);
    await this.#askAll(this.#catalog.newestFiles(isFirst ? NEWEST_AT_FIRST : NEWEST));
    await this.#askAll(this.#filesOf(touched));
    this.#put();
    for (const folder of changed) this.#keepTime(folder.path, folder.changedMs);
  }

  /** Adds the folders to be listed again: those whose time is another, wherever they lie. */
  async #lookBelow(
    root: string,
    times: ReadonlyMap<string, number>,
    { changed, gone }: { changed: RolloutFolder[]; gone: string[] },
  ): Promise<void> {
    const { fs, locator, watches } = this.#env;
    const rest = [root, ...[...times.keys()].filter((path) => locator.isBelow(path, root))];
    const seen = new Set(rest);
    for (let path = rest.pop(); path !== undefined; path = rest.pop()) {
      const info = fs.infoOf(path);
      if (info === undefined) watches.forget(path);
      else watches.watch(path);
      if (info === undefined && times.has(path)) gone.push(path);
      if (info === undefined || info.changedMs === times.get(path)) continue;
      const folder = locator.folder(path);
      if (folder === undefined) continue;
      changed.push(folder);
      for (const below of folder.folders) {
        if (seen.has(below)) continue;
        seen.add(below);
        rest.push(below);
      }
      if (changed.length % BATCH === 0) await yieldToLoop();
    }
  }

  async #takeIn({ path, files }: RolloutFolder): Promise<void> {
    const known = new Map(this.#catalog.filesIn(path).map((file) => [file.rolloutPath, file]));
    for (const file of files) await this.#takeInFile(file, known.get(file.path) ?? this.#rowOf(file));
  }

  /** Another file of the thread, if the catalog has one. */
  #rowOf({ name }: FoundRollout): CatalogFile | undefined {
    return this.#catalog.file(name.threadId);
  }

  async #takeInFile(file: FoundRollout, row: CatalogFile | undefined): Promise<void> {
    const { fs, locator, isLive } = this.#env;
    const { path, name } = file;
    this.#files += 1;
    if (this.#files % BATCH === 0) await (this.#env.rest ?? yieldToLoop)();
    const isKnown = row?.rolloutPath === path;
    if (row !== undefined && !isKnown && this.#isOlder(file, row)) return;
    const info = fs.infoOf(path);
    this.#asked.add(path);
    if (info === undefined) return;
    if (isKnown && ((row.fileSize === info.size && row.mtimeMs === info.modifiedMs) || isLive(name.threadId))) return;
    // Whoever deletes a thread takes its row out; one that is only looked at must not put it back.
    if (!locator.isDeleted(name.threadId)) await this.#read(path);
  }

  /** A thread is its last segment; of two files of one name, the one that the catalog has stays while it is there. */
  #isOlder({ name }: FoundRollout, { rolloutPath }: CatalogFile): boolean {
    const other = rolloutPath === null ? undefined : parseRolloutName(nameOf(rolloutPath));
    if (other === undefined || rolloutPath === null || this.#env.fs.infoOf(rolloutPath) === undefined) return false;
    return !isLaterName(name, other);
  }

  async #read(path: string): Promise<void> {
    const { notes, log } = this.#env;
    try {
      this.#batch.push(await readRow(this.#env, path, notes.now(), this.#inherited));
      this.#changed += 1;
    } catch (error) {
      log.warn({ error, path }, "a rollout cannot be read; it is left out of the catalog");
    }
    if (this.#batch.length >= BATCH) this.#put();
  }

  #put(): void {
    if (this.#batch.length > 0) this.#catalog.put(this.#batch);
    this.#batch = [];
    this.#env.onProgress?.({ ...this.#counts, done: false });
  }

  get #counts() {
    return { files: this.#files, changed: this.#changed };
  }

  /** `there`: the files that the folder has been seen to hold. */
  async #dropMissing(folder: string, { there, deleted }: { there: Names; deleted: Names }): Promise<void> {
    for (const file of this.#catalog.filesIn(folder)) {
      const isThere = file.rolloutPath !== null && there.has(file.rolloutPath);
      if (!isThere || deleted.has(file.threadId)) await this.#dropIfMissing(file);
    }
  }

  #deleted(): Names {
    return new Set(namesIn(this.#env.fs, this.#env.layout.tombstones));
  }

  /** Another file of the thread, an older segment, may take its place. */
  async #dropIfMissing({ threadId, rolloutPath }: CatalogFile): Promise<void> {
    const { fs, locator } = this.#env;
    const isDeleted = locator.isDeleted(threadId);
    if (!isDeleted && rolloutPath !== null && fs.infoOf(rolloutPath) !== undefined) return;
    const other = isDeleted ? undefined : await locator.findThread(threadId);
    if (other === undefined) this.#catalog.remove(threadId);
    else await this.#read(other);
  }

  async #forget(folder: string): Promise<void> {
    await this.#dropMissing(folder, { there: NONE, deleted: NONE });
    this.#catalog.forgetTime(folder);
  }

  async #askAll(files: Iterable<CatalogFile>): Promise<void> {
    let asked = 0;
    for (const file of files) {
      asked += 1;
      if (asked % BATCH === 0) await yieldToLoop();
      await this.#ask(file);
    }
  }

  *#filesOf(paths: ReadonlySet<string>): Generator<CatalogFile> {
    for (const path of paths) {
      const name = parseRolloutName(nameOf(path));
      // Most of what is heard of is written here.
      if (name === undefined || this.#env.isLive(name.threadId)) continue;
      const file = this.#catalog.file(name.threadId);
      if (file?.rolloutPath === path) yield file;
    }
  }

  /** Reads a file again that has grown or shrunk. */
  async #ask(file: CatalogFile): Promise<void> {
    const { threadId, rolloutPath, fileSize, mtimeMs } = file;
    if (rolloutPath === null || this.#asked.has(rolloutPath) || this.#env.isLive(threadId)) return;
    const info = this.#env.fs.infoOf(rolloutPath);
    if (info === undefined) await this.#dropIfMissing(file);
    else if (info.size !== fileSize || info.modifiedMs !== mtimeMs) await this.#read(rolloutPath);
  }

  /** Names and repositories stand in files of their own (thread-notes.ts). */
  #lookAtNotes(times: ReadonlyMap<string, number>): void {
    const { fs, layout, notes } = this.#env;
    const changed = [namesPath(layout), metadataPath(layout)]
      .map((path) => [path, fs.infoOf(path)?.changedMs ?? NEVER] as const)
      .filter(([path, changedMs]) => changedMs !== (times.get(path) ?? NEVER));
    if (changed.length === 0) return;
    this.#catalog.note(notes.now());
    for (const [path, changedMs] of changed) this.#keepTime(path, changedMs);
  }

  #keepTime(path: string, changedMs: number): void {
    this.#catalog.keepTime(path, isSettled(changedMs) ? changedMs : NEVER);
  }

  /** C2. Newest first, with pauses for everything else. */
  async scan(): Promise<void> {
    const { locator, log, onProgress, isClosed } = this.#env;
    const deleted = this.#deleted();
    const known = new Map<ThreadId, CatalogFile>();
    for (const page of this.#catalog.filePages(PAGE)) {
      for (const file of page) known.set(file.threadId, file);
      await (this.#env.rest ?? yieldToLoop)();
    }
    this.#lookAtNotes(new Map());
    const folders: RolloutFolder[] = [];
    for await (const folder of locator.walk()) folders.push(folder);
    const newest = newestOf(folders);
    for (const [threadId, file] of newest) {
      if (isClosed()) return;
      await this.#takeInFile(file, known.get(threadId));
      if (!deleted.has(threadId)) known.delete(threadId);
    }
    this.#put();
    for (const file of known.values()) await this.#dropIfMissing(file);
    this.#put();
    for (const { path, changedMs } of folders) this.#keepTime(path, changedMs);
    onProgress?.({ ...this.#counts, done: true });
    if (this.#changed > 0) log.info(this.#counts, "the catalog was brought up to date with the files");
  }
}

function newestOf(folders: readonly RolloutFolder[]): Map<ThreadId, FoundRollout> {
  const newest = new Map<ThreadId, FoundRollout>();
  for (const { files } of folders) {
    for (const file of files) {
      const other = newest.get(file.name.threadId);
      if (other === undefined || isLaterName(file.name, other.name)) newest.set(file.name.threadId, file);
    }
  }
  return newest;
}
