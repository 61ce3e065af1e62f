/** Looks at every row of a schema, and changes nothing. */
import type { ThreadId } from "../../protocol/ids.ts";
import { decodeLine } from "../rollout/codec.ts";
import type { PostgresDatabase, SqlRow } from "./database.ts";
import type { DatabaseFault, DatabaseFaultKind, DatabaseReport, DatabaseVerifyOptions } from "./database-report.ts";
import { textsOf } from "./reader.ts";
import { headerOf, ROW_COLUMNS, readRow, summaryOf, type ThreadRow } from "./thread-row.ts";

const PAGE_THREADS = 100;

/** @throws StoreIoError; the signal's reason */
export async function verifyDatabase(
  database: PostgresDatabase,
  { signal, onProgress }: DatabaseVerifyOptions = {},
): Promise<DatabaseReport> {
  const check = new DatabaseCheck(database);
  for (let after: number | undefined = 0; after !== undefined; ) {
    signal?.throwIfAborted();
    after = await check.page(after, signal);
    onProgress?.({ threads: check.threads, faults: check.faults.length });
  }
  return check.report();
}

class DatabaseCheck {
  readonly #database: PostgresDatabase;
  readonly faults: DatabaseFault[] = [];
  threads = 0;
  #lines = 0;
  #bytes = 0;

  constructor(database: PostgresDatabase) {
    this.#database = database;
  }

  report(): DatabaseReport {
    const { threads, faults } = this;
    const schema = this.#database.schema.slice(1, -1);
    return { schema, threads, lines: this.#lines, bytes: this.#bytes, faults };
  }

  #add(kind: DatabaseFaultKind, threadId: ThreadId, detail: string, ordinal: number | null = null): void {
    this.faults.push({ kind, threadId, ordinal, detail });
  }

  /** @returns after which row the next page begins */
  async page(after: number, signal: AbortSignal | undefined): Promise<number | undefined> {
    const s = this.#database.schema;
    // How far a thread's lines have to reach: a deleted one keeps what its forks inherit.
    const text = `SELECT ${ROW_COLUMNS}, (SELECT max(c.start) FROM ${s}.threads AS c WHERE c.base = h.t) AS needed,
        (SELECT b.next FROM ${s}.threads AS b WHERE b.t = h.base) AS base_next
      FROM ${s}.threads AS h WHERE t > $1 ORDER BY t LIMIT ${PAGE_THREADS}`;
    const rows = await this.#database.run({ text, values: [after], signal });
    for (const row of rows) {
      this.threads += 1;
      await this.#thread(row, signal);
    }
    return rows.length < PAGE_THREADS ? undefined : Number(rows.at(-1)?.t);
  }

  async #thread(raw: SqlRow, signal: AbortSignal | undefined): Promise<void> {
    let row: ThreadRow;
    try {
      row = readRow(raw);
      headerOf(row);
      summaryOf(row);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      return this.#add("headless", raw.id as ThreadId, why);
    }
    if (row.base !== null && !(Number(raw.base_next) >= row.start)) {
      this.#add("base_short", row.id, `it inherits ${row.start} lines, of which ${String(raw.base_next)} are there`);
    }
    const upto = row.deleted ? Math.min(row.next, Number(raw.needed ?? 0)) : row.next;
    await this.#ownLines(row, upto, signal);
  }

  /** Others may write meanwhile: what is behind the end that the row had is not looked at. */
  async #ownLines({ t, id, start }: ThreadRow, upto: number, signal: AbortSignal | undefined): Promise<void> {
    let expected = start + 1;
    for await (const lines of textsOf(this.#database, { t, upto }, start, signal)) {
      for (const { ordinal, text } of lines) {
        this.#lines += 1;
        this.#bytes += Buffer.byteLength(text);
        if (ordinal === start) continue;
        if (ordinal !== expected) this.#add("gap", id, `line ${ordinal} where ${expected} was expected`, ordinal);
        expected = ordinal + 1;
        this.#text(id, ordinal, text);
      }
    }
    if (expected < upto) this.#add("gap", id, `its lines end at ${expected}, not ${upto}`, expected);
  }

  #text(id: ThreadId, ordinal: number, text: string): void {
    const decoded = decodeLine(text);
    if ("problem" in decoded) this.#add("unreadable", id, decoded.why ?? "it cannot be read", ordinal);
    else if (decoded.without !== undefined) this.#add("partial", id, decoded.without, ordinal);
  }
}
