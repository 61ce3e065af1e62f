import { DatabaseSync } from "node:sqlite";

/** How SQLite answers a statement: one line for each step. */
export function planOf(path: string, sql: string): string[] {
  const database = new DatabaseSync(path, { readOnly: true });
  try {
    return database
      .prepare(`EXPLAIN QUERY PLAN ${sql}`)
      .all()
      .map((row) => String(row.detail));
  } finally {
    database.close();
  }
}
