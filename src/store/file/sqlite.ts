import type { DatabaseSync } from "node:sqlite";

type Sqlite = typeof import("node:sqlite");

let sqlite: Sqlite | undefined;

/**
 * Node's SQLite, loaded when it is first needed: a program that opens no database does not pay for it. It is no static import,
 * since that ends an older Node before it can be told what is wrong.
 */
export function loadSqlite(): Sqlite {
  if (sqlite !== undefined) return sqlite;
  const { emitWarning } = process;
  process.emitWarning = ((warning: string | Error, ...rest: []) => {
    const text = typeof warning === "string" ? warning : warning.message;
    if (!text.startsWith("SQLite is an experimental feature")) emitWarning.call(process, warning, ...rest);
  }) as typeof process.emitWarning;
  try {
    sqlite = process.getBuiltinModule("node:sqlite");
    return sqlite;
  } finally {
    process.emitWarning = emitWarning;
  }
}

const BUSY = 5;
const LOCKED = 6;

/** SQLite's own number for what went wrong; undefined for any other error. */
export const sqliteCodeOf = (error: unknown): number | undefined =>
  error instanceof Error && "errcode" in error && typeof error.errcode === "number" ? error.errcode & 0xff : undefined;

/** Whether an error says that another process holds the database. */
export function isSqliteBusy(error: unknown): boolean {
  const code = sqliteCodeOf(error);
  return code === BUSY || code === LOCKED;
}

/** All or nothing: what the work throws undoes it. */
export function inTransaction<T>(db: DatabaseSync, work: () => T): T {
  db.exec("BEGIN IMMEDIATE");
  try {
    const result = work();
    db.exec("COMMIT");
    return result;
  } catch (error) {
    rollBack(db);
    throw error;
  }
}

function rollBack(db: DatabaseSync): void {
  try {
    db.exec("ROLLBACK");
  } catch {
    // Some errors have ended the transaction already.
  }
}
