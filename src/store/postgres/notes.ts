/** Standing notes in a table of their own; a thread's go with it. */
import { StoreIoError } from "../../protocol/errors.ts";
import type { ThreadId } from "../../protocol/ids.ts";
import { fenceOf, type NoteKind, noteText, type StandingNotes } from "../standing-notes.ts";
import { BRIEFLY, FEW, type PostgresDatabase } from "./database.ts";

type Reading = {
  readonly threadId: ThreadId;
  readonly kind: NoteKind;
  readonly resolve: (text: string | undefined) => void;
  readonly reject: (error: unknown) => void;
};

export class PostgresNotes implements StandingNotes {
  /** What is asked for in one go, and is read by one statement. */
  #readings: Reading[] = [];
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
    const text = await new Promise<string | undefined>((resolve, reject) => {
      this.#readings.push({ threadId, kind, resolve, reject });
      // Once whoever runs now has asked for what it needs.
      if (this.#readings.length === 1) process.nextTick(() => void this.#readAll(this.#readings.splice(0)));
    });
    if (text === undefined) return undefined;
    try {
      return JSON.parse(text);
    } catch (cause) {
      throw new StoreIoError(`the ${kind} noted of thread ${threadId} are no JSON`, { cause });
    }
  }

  /** Never rejects: each is told what came of it. */
  async #readAll(readings: readonly Reading[]): Promise<void> {
    const text = `
      SELECT n.id, n.kind, n.value FROM (SELECT * FROM unnest($1::text[], $2::text[]) AS g (id, kind) ${FEW(3)}) AS g
      JOIN ${this.#s}.notes AS n ON n.id = g.id AND n.kind = g.kind`;
    const ids = readings.map(({ threadId }) => threadId);
    const kinds = readings.map(({ kind }) => kind);
    try {
      const rows = await this.#rows(text, ids, kinds, readings.length);
      const found = new Map(rows.map(({ id, kind, value }) => [`${kind} ${id}`, String(value)]));
      for (const { threadId, kind, resolve } of readings) resolve(found.get(`${kind} ${threadId}`));
    } catch (error) {
      for (const { reject } of readings) reject(error);
    }
  }

  async write(threadId: ThreadId, kind: NoteKind, value: unknown): Promise<void> {
    const s = this.#s;
    if (value === undefined) {
      await this.#rows(`DELETE FROM ${s}.notes WHERE id = $1 AND kind = $2 AND ${BRIEFLY}`, threadId, kind);
      return;
    }
    const text = `
      INSERT INTO ${s}.notes AS n (id, kind, value, fence) SELECT $1::text, $2::text, $3::text, $4::bigint
      WHERE ${BRIEFLY} AND ($4::bigint IS NULL OR EXISTS (SELECT FROM ${s}.threads AS d WHERE d.id = $1::text AND NOT d.deleted))
      ON CONFLICT (id, kind) DO UPDATE SET value = excluded.value, fence = excluded.fence
      WHERE coalesce(n.fence <= excluded.fence, true)`;
    await this.#rows(text, threadId, kind, noteText(kind, value), fenceOf(value) ?? null);
  }

  async threads(kind: NoteKind): Promise<readonly ThreadId[]> {
    // Said in words, so that the index of the rare kinds is seen to hold it.
    const isRare = kind === "cluster" ? "" : "AND kind <> 'cluster'";
    const rows = await this.#rows(`SELECT id FROM ${this.#s}.notes WHERE kind = $1 ${isRare}`, kind);
    return rows.map(({ id }) => id as ThreadId);
  }
}
