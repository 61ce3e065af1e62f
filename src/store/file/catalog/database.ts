/**
 * The SQLite file under the catalog. It can be rebuilt, so nothing in it is worth repairing: a file that is damaged or of
 * another version is thrown away, at once when it is found on opening, else when it is closed.
 */
import { rmSync } from "node:fs";
import { dirname } from "node:path";
import type { DatabaseSync, StatementSync } from "node:sqlite";
import { makeFolderSync } from "../../../kernel/make-folder.ts";
import { makePrivateFile, PRIVATE_FOLDER } from "../file-system.ts";
import { inTransaction, loadSqlite, sqliteCodeOf } from "../sqlite.ts";
import { HomePaths } from "./home-paths.ts";
import { catalogSchema, catalogVersion } from "./schema.ts";

export type SqlValue = string | number | bigint | null;
export type SqlRow = Readonly<Record<string, unknown>>;

/**
 * How long the event loop waits for another process, which writes in transactions of a few milliseconds. Whatever takes
 * longer is waited for off the loop (X3).
 */
const BUSY_MS = 5;

/** Node has FTS5 from 22.16 on. */
export const hasFullText = (db: DatabaseSync): boolean =>
  db.prepare("SELECT sqlite_compileoption_used('ENABLE_FTS5') AS used").get()?.used === 1;

const SQLITE_ERROR = 1;
const SQLITE_CORRUPT = 11;
const SQLITE_NOTADB = 26;

/** Whether an error says that the database is damaged: close it and open it anew, which makes a fresh one. */
export function isCatalogDamage(error: unknown): boolean {
  const code = sqliteCodeOf(error);
  if (code === SQLITE_ERROR && error instanceof Error) {
    return /no such (table|column|index)|malformed/.test(error.message);
  }
  return code === SQLITE_CORRUPT || code === SQLITE_NOTADB;
}

/** In place of a path: a database without a file. */
export const IN_MEMORY = ":memory:";

export type DatabaseOptions = {
  /** false: searches do without FTS5, as they must where SQLite has none. */
  readonly fullText?: boolean | undefined;
};

export class CatalogDatabase {
  readonly path: string;
  readonly paths: HomePaths;
  /** Whether searches go through FTS5. */
  readonly fullText: boolean;
  readonly #db: DatabaseSync;
  readonly #statements = new Map<string, StatementSync>();
  #damaged = false;
  #inTransaction = false;

  private constructor(path: string, db: DatabaseSync, fullText: boolean) {
    this.path = path;
    this.paths = new HomePaths(path === IN_MEMORY ? undefined : dirname(path));
    this.#db = db;
    this.fullText = fullText;
  }

  /** `fresh`: its tables were made just now. */
  static open(path: string, options: DatabaseOptions = {}): { database: CatalogDatabase; fresh: boolean } {
    makeFolderSync(dirname(path), PRIVATE_FOLDER);
    const found = CatalogDatabase.#tryOpen(path, options);
    if (found !== undefined) return found;
    discard(path);
    const made = CatalogDatabase.#tryOpen(path, options);
    if (made === undefined) throw new Error(`${path} was damaged again while it was made`);
    return made;
  }

  /** undefined: the file is to be thrown away. */
  static #tryOpen(path: string, options: DatabaseOptions): { database: CatalogDatabase; fresh: boolean } | undefined {
    if (path !== IN_MEMORY) makePrivateFile(path);
    const db = new (loadSqlite().DatabaseSync)(path);
    try {
      db.exec(`PRAGMA busy_timeout = ${BUSY_MS}`);
      db.exec(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16000",
      );
      // Asked of this connection: one of its own for that took a fifth of what opening takes.
      const database = new CatalogDatabase(path, db, options.fullText ?? hasFullText(db));
      const fresh = database.transaction(() => database.#makeTables());
      if (fresh !== undefined) return { database, fresh };
      db.close();
      return undefined;
    } catch (error) {
      db.close();
      if (isCatalogDamage(error)) return undefined;
      throw error;
    }
  }

  /** Whether they were made just now; undefined when there are others. */
  #makeTables(): boolean | undefined {
    const version = this.get("PRAGMA user_version")?.user_version;
    const wanted = catalogVersion(this.fullText);
    if (version === wanted) return false;
    if (version !== 0 || this.get("SELECT 1 FROM sqlite_schema") !== undefined) return undefined;
    this.#db.exec(catalogSchema(this.fullText));
    this.#db.exec(`PRAGMA user_version = ${wanted}`);
    return true;
  }

  get(sql: string, ...values: SqlValue[]): SqlRow | undefined {
    return this.#noting(() => this.#prepare(sql).get(...values) as SqlRow | undefined);
  }

  all(sql: string, ...values: SqlValue[]): SqlRow[] {
    return this.#noting(() => this.#prepare(sql).all(...values) as SqlRow[]);
  }

  /** How many rows it changed. */
  run(sql: string, ...values: SqlValue[]): number {
    return this.#noting(() => Number(this.#prepare(sql).run(...values).changes));
  }

  /** Rows one by one; `visit` ends the walk with false. It must not use the same statement. */
  walk(sql: string, values: readonly SqlValue[], visit: (row: SqlRow) => boolean): void {
    this.#noting(() => {
      for (const row of this.#prepare(sql).iterate(...values)) if (!visit(row as SqlRow)) return;
    });
  }

  /** All or nothing. A transaction within another one is part of it. */
  transaction<T>(work: () => T): T {
    if (this.#inTransaction) return work();
    return this.#noting(() => {
      this.#inTransaction = true;
      try {
        return inTransaction(this.#db, work);
      } finally {
        this.#inTransaction = false;
      }
    });
  }

  close(): void {
    this.#statements.clear();
    try {
      this.#db.close();
    } finally {
      if (this.#damaged) discard(this.path);
    }
  }

  #prepare(sql: string): StatementSync {
    let statement = this.#statements.get(sql);
    if (statement === undefined) {
      statement = this.#db.prepare(sql);
      this.#statements.set(sql, statement);
    }
    return statement;
  }

  #noting<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      this.#damaged ||= isCatalogDamage(error);
      throw error;
    }
  }
}

function discard(path: string): void {
  for (const suffix of ["", "-wal", "-shm", "-journal"]) rmSync(path + suffix, { force: true });
}
