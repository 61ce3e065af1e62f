/**
 * How many writers each thread has had, over all processes: the thread's epoch.
 *
 * The first writer needs no entry, so only threads that were opened again have one: a small row, in one database for the
 * home. A ledger that cannot be written costs no thread: the writer goes on with the number that it would have noted.
 */

import type { DatabaseSync, StatementSync } from "node:sqlite";
import type { SkeinLogger } from "../../../kernel/log.ts";
import type { ThreadId } from "../../../protocol/ids.ts";
import { makePrivateFile } from "../file-system.ts";
import { loadSqlite } from "../sqlite.ts";

export const FIRST_EPOCH = 1;

type Open = { readonly database: DatabaseSync; readonly read: StatementSync; readonly advance: StatementSync };

export class EpochLedger {
  readonly #path: string;
  readonly #log: SkeinLogger;
  #open: Open | undefined;
  /** What could not be written. */
  readonly #unwritten = new Map<ThreadId, number>();

  constructor(path: string, log: SkeinLogger) {
    this.#path = path;
    this.#log = log;
  }

  /** The epoch of a thread's next writer. A process that takes the thread over meanwhile gets another: it is one statement. */
  next(threadId: ThreadId): number {
    let epoch = (this.#unwritten.get(threadId) ?? FIRST_EPOCH) + 1;
    try {
      this.#open ??= this.#openDatabase();
      epoch = Number(this.#open.advance.get(threadId, epoch)?.epoch ?? epoch);
      this.#unwritten.delete(threadId);
    } catch (error) {
      this.#unwritten.set(threadId, epoch);
      this.#log.warn({ error, path: this.#path }, "the epoch of a thread's writer could not be noted");
    }
    return epoch;
  }

  /** The epoch of the thread's last writer, as far as this can be told. */
  last(threadId: ThreadId): number {
    try {
      this.#open ??= this.#openDatabase();
      return Number(this.#open.read.get(threadId)?.epoch ?? FIRST_EPOCH);
    } catch {
      return this.#unwritten.get(threadId) ?? FIRST_EPOCH;
    }
  }

  close(): void {
    this.#open?.database.close();
    this.#open = undefined;
  }

  #openDatabase(): Open {
    makePrivateFile(this.#path);
    const database = new (loadSqlite().DatabaseSync)(this.#path);
    database.exec(`PRAGMA busy_timeout = 20; PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF;
      CREATE TABLE IF NOT EXISTS epochs (thread_id TEXT PRIMARY KEY, epoch INTEGER NOT NULL) WITHOUT ROWID`);
    return {
      database,
      read: database.prepare("SELECT epoch FROM epochs WHERE thread_id = ?"),
      advance: database.prepare(
        "INSERT INTO epochs VALUES (?, ?) ON CONFLICT DO UPDATE SET epoch = max(epoch + 1, excluded.epoch) RETURNING epoch",
      ),
    };
  }
}
