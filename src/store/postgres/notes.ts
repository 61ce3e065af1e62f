/** Standing notes in a table of their own; a thread's go with it. */
import { StoreIoError } from "../../protocol/errors.ts";
import type { ThreadId } from "../../protocol/ids.ts";
import { type NoteKind, noteText, type StandingNotes } from "../standing-notes.ts";
import { BRIEFLY, type PostgresDatabase } from "./database.ts";

export class PostgresNotes implements StandingNotes {
  readonly #database: PostgresDatabase;
  readonly #ready: () => Promise<void>;
  readonly #s: string;

  /** @param ready resolves when the tables are there */
  constructor(database: PostgresDatabase, ready: () => Promise<void>) {
    this.#database = database;
    this.#ready = ready;
    this.#s = database.schema;
  }

  async #rows(text: string, ...values: unknown[]) {
    await this.#ready();
    return this.#database.run({ text, values });
  }

  async read(threadId: ThreadId, kind: NoteKind): Promise<unknown> {
    const [row] = await this.#rows(`SELECT value FROM ${this.#s}.notes WHERE id = $1 AND kind = $2`, threadId, kind);
    if (row === undefined) return undefined;
    try {
      return JSON.parse(String(row.value));
    } catch (cause) {
      throw new StoreIoError(`the ${kind} noted of thread ${threadId} are no JSON`, { cause });
    }
  }

  async write(threadId: ThreadId, kind: NoteKind, value: unknown): Promise<void> {
    const s = this.#s;
    if (value === undefined) {
      await this.#rows(`DELETE FROM ${s}.notes WHERE id = $1 AND kind = $2 AND ${BRIEFLY}`, threadId, kind);
      return;
    }
    const text = `
      INSERT INTO ${s}.notes (id, kind, value) SELECT $1::text, $2::text, $3::text WHERE ${BRIEFLY}
      ON CONFLICT (id, kind) DO UPDATE SET value = excluded.value`;
    await this.#rows(text, threadId, kind, noteText(kind, value));
  }

  async threads(kind: NoteKind): Promise<readonly ThreadId[]> {
    const rows = await this.#rows(`SELECT id FROM ${this.#s}.notes WHERE kind = $1`, kind);
    return rows.map(({ id }) => id as ThreadId);
  }
}
