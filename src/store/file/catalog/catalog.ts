/**
 * An index over a home directory: what its threads are called, when they changed and where their anchors lie. It can be
 * rebuilt from the files at any time and is never the authority.
 *
 * - Several processes may have it open. Each change is one transaction.
 * - A damaged file is replaced by an empty one when it is opened next; see isCatalogDamage.
 */
import { sep } from "node:path";
import type { ThreadId } from "../../../protocol/ids.ts";
import type { ThreadGit, ThreadPage, ThreadQuery } from "../../thread-store.ts";
import { CatalogAnchors } from "./anchors.ts";
import { CatalogDatabase, type DatabaseOptions, type SqlRow } from "./database.ts";
import { listThreads } from "./list.ts";
import {
  type CatalogRow,
  lastTurnValues,
  pathOf,
  ROW_COLUMNS,
  rowValues,
  STORED_COLUMNS,
  searchedWords,
  tagsOf,
  threadOf,
} from "./row.ts";
import { CREATED_SHIFT } from "./schema.ts";

export { isCatalogDamage } from "./database.ts";
export type { CatalogRow } from "./row.ts";

export type CatalogFile = Pick<CatalogRow, "threadId" | "rolloutPath" | "archived" | "fileSize" | "mtimeMs">;

/** What changes with each append. */
export type CatalogGrowth = Pick<
  CatalogRow,
  "threadId" | "updatedAt" | "fileSize" | "mtimeMs" | "interrupted" | "openTurn"
>;

const marks = (columns: string): string => columns.replace(/[^,]+/g, "?");

const INSERT = `
  INSERT INTO threads (n, ${STORED_COLUMNS}) VALUES (
    (SELECT coalesce(max(n) + 1, ?) FROM threads WHERE n >= ? AND n < ?), ${marks(STORED_COLUMNS)}
  )`;
const UPDATE = `UPDATE threads SET (${STORED_COLUMNS}) = (${marks(STORED_COLUMNS)}) WHERE id = ?`;
const GROW = "UPDATE threads SET updated = ?, file_size = ?, mtime = ?, interrupted = ?, open_turn = ? WHERE id = ?";
const GET = `
  SELECT ${ROW_COLUMNS}, base, file_size, mtime, text FROM threads LEFT JOIN texts ON texts.n = threads.n WHERE id = ?`;
/** Another row whenever something has changed: by this connection, or by others. */
const STATE = "SELECT total_changes() AS own, data_version AS others FROM pragma_data_version";
const NUMBER = "(SELECT n FROM threads WHERE id = ?)";
const KEEP_WORDS = `INSERT INTO words (n, word) VALUES (${NUMBER}, ?)`;
const KEEP_POSTINGS = `INSERT INTO postings (rowid, word, tag) VALUES (${NUMBER}, ?, ?)`;

export class Catalog {
  readonly anchors: CatalogAnchors;
  readonly #database: CatalogDatabase;
  #newest: { readonly state: string; readonly files: readonly CatalogFile[] } | undefined;

  private constructor(database: CatalogDatabase) {
    this.#database = database;
    this.anchors = new CatalogAnchors(database);
  }

  /** `fresh`: there was none, or one that was damaged or of another version and was thrown away. It has no rows yet. */
  static open(path: string, options: DatabaseOptions = {}): { catalog: Catalog; fresh: boolean } {
    const { database, fresh } = CatalogDatabase.open(path, options);
    return { catalog: new Catalog(database), fresh };
  }

  get path(): string {
    return this.#database.path;
  }

  /** All or nothing of what the work does to the catalog. */
  transaction<T>(work: () => T): T {
    return this.#database.transaction(work);
  }

  /** Adds or replaces rows, in one transaction. */
  put(rows: Iterable<CatalogRow>): void {
    this.#database.transaction(() => {
      for (const row of rows) this.#put(row);
    });
  }

  #put(row: CatalogRow): void {
    const before = this.get(row.threadId);
    const moved = before !== undefined && before.createdAt !== row.createdAt;
    if (moved) this.#drop(row.threadId);
    if (before === undefined || moved) this.#insert(row);
    else this.#database.run(UPDATE, ...rowValues(row, this.#database.paths), row.threadId);
    const text = row.searchText ?? before?.searchText ?? "";
    if (before === undefined || moved || text !== before.searchText) {
      this.#database.run(`INSERT OR REPLACE INTO texts (n, text) VALUES (${NUMBER}, ?)`, row.threadId, text);
    }
    if (before !== undefined && !moved && isFoundAlike(before, { ...row, searchText: text })) return;
    this.#find(row, text);
  }

  /** Makes the row searchable. One without any word cannot be found and takes no place. */
  #find(row: CatalogRow, text: string): void {
    const words = searchedWords(row.name, row.preview, text);
    this.#forgetWords(row.threadId);
    if (words === "") return;
    this.#database.run(KEEP_WORDS, row.threadId, words);
    if (this.#database.fullText) this.#database.run(KEEP_POSTINGS, row.threadId, words, tagsOf(row));
  }

  #forgetWords(threadId: ThreadId): void {
    this.#database.run(`DELETE FROM words WHERE n = ${NUMBER}`, threadId);
    if (this.#database.fullText) this.#database.run(`DELETE FROM postings WHERE rowid = ${NUMBER}`, threadId);
  }

  #insert(row: CatalogRow): void {
    const first = BigInt(row.createdAt) << CREATED_SHIFT;
    this.#database.run("DELETE FROM gone WHERE id = ?", row.threadId);
    this.#database.run(INSERT, first, first, first + (1n << CREATED_SHIFT), ...rowValues(row, this.#database.paths));
  }

  /** Notes growth of threads that are there; others are passed over. One transaction. */
  grow(rows: Iterable<CatalogGrowth>): void {
    this.#database.transaction(() => {
      for (const { threadId, updatedAt, fileSize, mtimeMs, ...lastTurn } of rows) {
        this.#database.run(GROW, updatedAt, fileSize, mtimeMs, ...lastTurnValues(lastTurn), threadId);
      }
    });
  }

  get(threadId: ThreadId): (CatalogRow & { readonly searchText: string }) | undefined {
    const row = this.#database.get(GET, threadId);
    if (row === undefined) return undefined;
    return {
      ...threadOf(row, this.#database.paths),
      baseThreadId: row.base as ThreadId | null,
      fileSize: row.file_size as number,
      mtimeMs: row.mtime as number,
      searchText: (row.text as string | null) ?? "",
    };
  }

  /** @throws InvalidRequestError for a cursor that no page gave out. */
  list(query?: ThreadQuery): ThreadPage {
    return listThreads(this.#database, query);
  }

  /** Every thread's file, so many at once. */
  *filePages(size: number): Generator<readonly CatalogFile[]> {
    for (let after = ""; ; ) {
      const page = this.#filesBy("WHERE id > ? ORDER BY id LIMIT ?", after, size);
      if (page.length > 0) yield page;
      if (page.length < size) return;
      after = page.at(-1)?.threadId ?? "";
    }
  }

  #filesBy(where: string, ...values: (string | number)[]): CatalogFile[] {
    const sql = `SELECT id, path, archived, file_size, mtime FROM threads ${where}`;
    return this.#database.all(sql, ...values).map((row) => ({
      threadId: row.id as ThreadId,
      rolloutPath: pathOf(row, this.#database.paths),
      archived: row.archived === 1,
      fileSize: row.file_size as number,
      mtimeMs: row.mtime as number,
    }));
  }

  /** The file of one thread. */
  file(threadId: ThreadId): CatalogFile | undefined {
    return this.#filesBy("WHERE id = ?", threadId)[0];
  }

  /** Those that lie in a folder itself. */
  filesIn(folder: string): CatalogFile[] {
    const kept = this.#database.paths.kept(folder);
    const [from, to] = [`${kept}${sep}`, `${kept}${String.fromCharCode(sep.charCodeAt(0) + 1)}`];
    const where =
      "INDEXED BY threads_path WHERE path IS NOT NULL AND path > ? AND path < ? AND instr(substr(path, ?), ?) = 0";
    // The index tells which lie deeper; of a year's folder none has to be read.
    return this.#filesBy(where, from, to, [...from].length + 1, sep);
  }

  /** Read once, until this process or another one changes something. */
  newestFiles(limit: number): readonly CatalogFile[] {
    const state = JSON.stringify([limit, this.#database.get(STATE)]);
    if (this.#newest?.state !== state) {
      const where = "INDEXED BY threads_newest WHERE updated > -1 ORDER BY updated DESC LIMIT ?";
      this.#newest = { state, files: this.#filesBy(where, limit) };
    }
    return this.#newest.files;
  }

  /** When folders, and files of notes, had changed last as they were taken in. */
  times(): Map<string, number> {
    const rows = this.#database.all("SELECT path, changed FROM times");
    return new Map(rows.map((row) => [this.#database.paths.whole(row.path as string), row.changed as number]));
  }

  keepTime(path: string, changedMs: number): void {
    this.#database.run(
      "INSERT OR REPLACE INTO times (path, changed) VALUES (?, ?)",
      this.#database.paths.kept(path),
      changedMs,
    );
  }

  forgetTime(path: string): void {
    this.#database.run("DELETE FROM times WHERE path = ?", this.#database.paths.kept(path));
  }

  /** Takes over what the notes say now: of each thread its name, and its repository where one is noted. */
  note({ names, git }: { names: ReadonlyMap<ThreadId, string>; git: ReadonlyMap<ThreadId, ThreadGit | null> }): void {
    this.#database.transaction(() => {
      const named = this.#database.all("SELECT id FROM threads WHERE name IS NOT NULL").map(idOf);
      for (const id of new Set([...named, ...names.keys()])) {
        const name = names.get(id) ?? null;
        this.#change(id, (row) => (row.name === name ? undefined : { ...row, name }));
      }
      for (const [id, gitInfo] of git) {
        const text = JSON.stringify(gitInfo);
        this.#change(id, (row) => (JSON.stringify(row.gitInfo) === text ? undefined : { ...row, gitInfo }));
      }
    });
  }

  /** false: there was no such thread. Its anchors stay for as long as another thread's lead to them. */
  remove(threadId: ThreadId): boolean {
    return this.#database.transaction(() => {
      const row = this.#database.get("SELECT forked_from FROM threads WHERE id = ?", threadId);
      if (row === undefined) return false;
      this.#drop(threadId);
      const { forked_from: parent } = row;
      if (typeof parent === "string" && this.#forksOf(threadId).length > 0) {
        this.#database.run("INSERT OR REPLACE INTO gone (id, forked_from) VALUES (?, ?)", threadId, parent);
      }
      this.anchors.release(threadId);
      return true;
    });
  }

  #drop(threadId: ThreadId): void {
    this.#forgetWords(threadId);
    this.#database.run(`DELETE FROM texts WHERE n = ${NUMBER}`, threadId);
    this.#database.run("DELETE FROM threads WHERE id = ?", threadId);
  }

  setArchived(threadId: ThreadId, archived: boolean, rolloutPath: string | null): boolean {
    return this.#change(threadId, (row) => ({ ...row, archived, rolloutPath }));
  }

  rename(threadId: ThreadId, name: string | null): boolean {
    return this.#change(threadId, (row) => ({ ...row, name }));
  }

  setGitInfo(threadId: ThreadId, gitInfo: ThreadGit | null): boolean {
    return this.#change(threadId, (row) => ({ ...row, gitInfo }));
  }

  #change(threadId: ThreadId, change: (row: CatalogRow) => CatalogRow | undefined): boolean {
    return this.#database.transaction(() => {
      const row = this.get(threadId);
      if (row === undefined) return false;
      const changed = change(row);
      if (changed !== undefined) this.#put(changed);
      return true;
    });
  }

  /** Direct forks, the oldest first. */
  children(threadId: ThreadId): ThreadId[] {
    const sql = "SELECT id FROM threads WHERE forked_from = ? ORDER BY created, id";
    return this.#database.all(sql, threadId).map(idOf);
  }

  /** Direct forks and theirs, parents before children; through threads that are gone as well. */
  descendants(threadId: ThreadId): ThreadId[] {
    const found = new Set([threadId]);
    const gone = new Set([threadId]);
    for (const id of found) {
      for (const fork of this.children(id)) found.add(fork);
      for (const fork of this.#goneForksOf(id)) {
        if (!found.has(fork)) gone.add(fork);
        found.add(fork);
      }
    }
    return [...found].filter((id) => !gone.has(id));
  }

  #forksOf(threadId: ThreadId): ThreadId[] {
    return [...this.children(threadId), ...this.#goneForksOf(threadId)];
  }

  #goneForksOf(threadId: ThreadId): ThreadId[] {
    return this.#database.all("SELECT id FROM gone WHERE forked_from = ?", threadId).map(idOf);
  }

  /** Those whose `baseThreadId` this is: they need its lines. */
  inheritors(threadId: ThreadId): ThreadId[] {
    return this.#database.all("SELECT id FROM threads WHERE base = ? ORDER BY id", threadId).map(idOf);
  }

  close(): void {
    this.#database.close();
  }
}

const idOf = (row: SqlRow): ThreadId => row.id as ThreadId;

const isFoundAlike = (a: CatalogRow, b: CatalogRow): boolean =>
  a.name === b.name && a.preview === b.preview && a.searchText === b.searchText && tagsOf(a) === tagsOf(b);
