/** The statements on threads: each a transaction by itself, and the same when it is given twice. */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { DuplicateThreadError, type LeaseOwner, RolloutNotFoundError } from "../../protocol/errors.ts";
import type { ThreadId } from "../../protocol/ids.ts";
import type { SessionMeta } from "../../protocol/rollout.ts";
import { timestampOf } from "../rollout/codec.ts";
import type { ThreadGit } from "../thread-store.ts";
import type { SqlRow, Statements } from "./database.ts";
import { isForeignKeyViolation } from "./failure.ts";
import { CHANNEL, HOLDER_LOCKS } from "./session.ts";
import {
  columnText,
  filedUnder,
  ROW_COLUMNS,
  readOwner,
  readRow,
  type Summary,
  searchedText,
  searchedWords,
  type ThreadRow,
} from "./thread-row.ts";
import type { PostgresWriter } from "./writer.ts";

/** Where a new thread begins. */
export type Beginning = { readonly base: number | null; readonly start: number; readonly summary: Summary };

const NEWS = "json_build_object('threadId', id, 'epoch', epoch, 'owner', owner::json)::text";
/** Whether the store that has the thread lives: its own connection holds its lock. */
const LIVES = `EXISTS (
  SELECT FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
  WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database() AND l.objsubid = 2
    AND l.classid::bigint = ${HOLDER_LOCKS} AND l.objid::bigint = h.holder::bigint)`;
const INDEX = (words: string): string => `array_to_tsvector(string_to_array(${words}, ' '))`;

export class ThreadTable {
  readonly owner: LeaseOwner;
  readonly #database: Statements;
  readonly #holder: number;
  readonly #s: string;

  constructor(database: Statements, holder: number) {
    this.#database = database;
    this.#holder = holder;
    this.#s = database.schema;
    this.owner = { pid: process.pid, host: hostname(), since: timestampOf(database.clock.now()) };
  }

  async #rows(text: string, ...values: unknown[]): Promise<readonly SqlRow[]> {
    return this.#database.run({ text, values });
  }

  async #threads(text: string, ...values: unknown[]): Promise<ThreadRow[]> {
    return (await this.#rows(text, ...values)).map(readRow);
  }

  async find(id: ThreadId, { deleted = false } = {}): Promise<ThreadRow | undefined> {
    const text = `SELECT ${ROW_COLUMNS} FROM ${this.#s}.threads WHERE id = $1 AND (NOT deleted OR $2::boolean)`;
    return (await this.#threads(text, columnText(id), deleted))[0];
  }

  /**
   * A new thread, which this store writes. Its base must hold what it inherits: of a deleted one, only what others need.
   * @throws DuplicateThreadError, RolloutNotFoundError
   */
  async insert(meta: SessionMeta, { base, start, summary }: Beginning, now: number): Promise<number> {
    const claim = randomUUID();
    const { created, kind, isSubagent, provider, place, parent } = filedUnder(meta);
    const forkedFrom = meta.forked_from_id ?? null;
    const { words, index } = searchedWords(searchedText(summary));
    const values = [
      ...[
        meta.id,
        JSON.stringify(meta),
        timestampOf(now),
        base,
        start,
        this.#holder,
        JSON.stringify(this.owner),
        claim,
      ],
      ...[JSON.stringify(summary.state), summary.preview === null ? null : JSON.stringify(summary.preview)],
      ...[summary.previewAt, JSON.stringify(summary.messages), created, now, kind, isSubagent, provider, place, parent],
      ...[forkedFrom === null ? null : columnText(forkedFrom), words, index.join(" ")],
    ];
    const text = `
      WITH based AS (
        SELECT b.t FROM ${this.#s}.threads AS b WHERE b.t = $4::bigint AND b.next >= $5::bigint AND (NOT b.deleted
          OR EXISTS (SELECT FROM ${this.#s}.threads AS c WHERE c.base = b.t AND c.start >= $5::bigint))
        FOR KEY SHARE
      ), made AS (
        INSERT INTO ${this.#s}.threads (id, header, began, base, start, next, epoch, holder, owner, claim, state, preview,
          preview_at, messages, created, updated, kind, subagent, provider, place, parent, forked_from, text_words, text_index)
        SELECT $1, $2, $3, $4::bigint, $5::bigint, $5::bigint + 1, 1, $6::integer, $7, $8, $9, $10, $11::bigint, $12,
          $13::bigint, $14::bigint, $15, $16::boolean, $17, $18, $19, $20, $21, ${INDEX("$22::text")}
        WHERE $4::bigint IS NULL OR EXISTS (SELECT FROM based)
        ON CONFLICT (id) DO NOTHING RETURNING t
      )
      SELECT t, $8 AS claim, true AS based FROM made
      UNION ALL
      SELECT t, claim, true FROM ${this.#s}.threads WHERE id = $1`;
    const rows = await this.#rows(text, ...values);
    const own = rows.find((row) => row.claim === claim);
    if (own !== undefined) return Number(own.t);
    if (rows.length > 0 || base === null) throw new DuplicateThreadError(meta.id);
    throw new RolloutNotFoundError(`what thread ${meta.id} inherits is not there any more`);
  }

  /** Takes the thread for this store; undefined: it is not there, or another has it. */
  async claim(id: ThreadId, takeOver: boolean): Promise<ThreadRow | undefined> {
    const text = `
      WITH claimed AS (
        UPDATE ${this.#s}.threads AS h SET epoch = epoch + 1, holder = $2::integer, owner = $3, claim = $4
        WHERE id = $1 AND NOT deleted AND ($5::boolean OR claim = $4 OR holder IS NULL OR NOT ${LIVES})
        RETURNING ${ROW_COLUMNS}
      )
      SELECT ${ROW_COLUMNS}, pg_notify('${CHANNEL}', ${NEWS}) AS told FROM claimed`;
    const owner = JSON.stringify(this.owner);
    return (await this.#threads(text, columnText(id), this.#holder, owner, randomUUID(), takeOver))[0];
  }

  /** The thread that it inherits from, and who writes it now. */
  async ties(t: number): Promise<{ readonly base: ThreadId | null; readonly owner: LeaseOwner | null }> {
    const text = `
      SELECT b.id AS base, CASE WHEN h.holder IS NOT NULL AND ${LIVES} THEN h.owner END AS owner
      FROM ${this.#s}.threads AS h LEFT JOIN ${this.#s}.threads AS b ON b.t = h.base WHERE h.t = $1`;
    const [row] = await this.#rows(text, t);
    return { base: (row?.base as ThreadId | null | undefined) ?? null, owner: readOwner(row?.owner) };
  }

  /** What a thread has that came whole from another store, beside what its lines tell; from now on nobody writes it. */
  async settle(t: number, { began, updatedAt, archived }: { began: string; updatedAt: number; archived: boolean }) {
    const text = `UPDATE ${this.#s}.threads SET began = $2, updated = $3, archived = $4, holder = NULL, owner = NULL,
      claim = NULL WHERE t = $1`;
    await this.#rows(text, t, began, updatedAt, archived);
  }

  async release({ t, epoch }: PostgresWriter): Promise<void> {
    const text = `
      WITH released AS (
        UPDATE ${this.#s}.threads SET holder = NULL, owner = NULL, claim = NULL WHERE t = $1 AND epoch = $2
        RETURNING id, epoch, owner
      )
      SELECT pg_notify('${CHANNEL}', ${NEWS}) FROM released`;
    await this.#rows(text, t, epoch);
  }

  async #change(id: ThreadId, set: string, ...values: unknown[]): Promise<boolean> {
    const text = `UPDATE ${this.#s}.threads SET ${set} WHERE id = $1 AND NOT deleted RETURNING t`;
    return (await this.#rows(text, columnText(id), ...values)).length > 0;
  }

  async rename(id: ThreadId, name: string | null): Promise<boolean> {
    const { words, index } = searchedWords(name ?? "");
    const set = `name = $2, name_words = $3, name_index = ${INDEX("$4::text")}`;
    return this.#change(id, set, name === null ? null : JSON.stringify(name), words, index.join(" "));
  }

  async setGitInfo(id: ThreadId, git: ThreadGit | null): Promise<boolean> {
    return this.#change(id, "git = $2", JSON.stringify({ git }));
  }

  async setArchived(id: ThreadId, archived: boolean): Promise<boolean> {
    return this.#change(id, "archived = $2::boolean", archived);
  }

  /**
   * Takes the thread away. What forks inherit of it stays, and nothing else does; it goes with the last of them.
   */
  async delete(id: ThreadId): Promise<boolean> {
    const text = `
      WITH found AS (SELECT t FROM ${this.#s}.threads WHERE id = $1 AND (NOT deleted OR claim = $2) FOR UPDATE),
      gone AS (
        UPDATE ${this.#s}.threads AS h SET deleted = true, epoch = h.epoch + 1, holder = NULL, owner = NULL, claim = $2,
          preview = NULL, preview_at = NULL, messages = '[]', name = NULL, name_words = '', text_words = '',
          name_index = '', text_index = ''
        FROM found WHERE h.t = found.t RETURNING h.t, h.id, h.epoch, h.owner
      )
      SELECT t, pg_notify('${CHANNEL}', ${NEWS}) AS told FROM gone`;
    // By the claim, a statement that is given again knows what it has deleted.
    const [row] = await this.#rows(text, columnText(id), randomUUID());
    if (row === undefined) return false;
    await this.#purge([Number(row.t)]);
    return true;
  }

  /** Deleted threads that nobody needs go for good, and then those that only they needed. */
  async #purge(candidates: readonly number[]): Promise<void> {
    for (let left = candidates; left.length > 0; ) {
      const next: number[] = [];
      for (const t of left) next.push(...(await this.#purgeOne(t)));
      left = next;
    }
  }

  async #purgeOne(t: number): Promise<number[]> {
    const s = this.#s;
    const text = `
      WITH gone AS (
        DELETE FROM ${s}.threads AS d WHERE d.t = $1 AND d.deleted
          AND NOT EXISTS (SELECT FROM ${s}.threads AS c WHERE c.base = d.t OR c.forked_from = d.id)
        RETURNING d.base, d.forked_from
      )
      SELECT h.t FROM gone JOIN ${s}.threads AS h ON h.t = gone.base OR h.id = gone.forked_from WHERE h.deleted`;
    try {
      const rows = await this.#rows(text, t);
      await this.#trim(t);
      return rows.map((row) => Number(row.t));
    } catch (error) {
      // A fork came meanwhile: it needs the thread.
      if (isForeignKeyViolation((error as Error).cause)) return [];
      throw error;
    }
  }

  /** Of a deleted thread that stays for its forks, what none of them inherits. */
  async #trim(t: number): Promise<void> {
    const s = this.#s;
    const end = `(SELECT coalesce(max(c.start), 0) FROM ${s}.threads AS c WHERE c.base = $1)`;
    const text = `
      WITH d AS (SELECT t FROM ${s}.threads WHERE t = $1 AND deleted),
      cut AS (DELETE FROM ${s}.marks AS m USING d WHERE m.t = d.t AND m.ordinal >= ${end})
      DELETE FROM ${s}.lines AS l USING d WHERE l.t = d.t AND l.ordinal >= ${end}`;
    await this.#rows(text, t);
  }

  /** From the thread that it was forked from up to the first. */
  async ancestors(id: ThreadId): Promise<readonly ThreadId[]> {
    const s = this.#s;
    const text = `
      WITH RECURSIVE up (id, base, forked_from, place) AS (
        SELECT id, base, forked_from, 0 FROM ${s}.threads WHERE id = $1
        UNION ALL
        SELECT p.id, p.base, p.forked_from, up.place + 1 FROM up CROSS JOIN LATERAL (
          SELECT h.id, h.base, h.forked_from FROM ${s}.threads AS h
          WHERE h.id = up.forked_from OR (h.t = up.base AND NOT EXISTS (
            SELECT FROM ${s}.threads AS n WHERE n.id = up.forked_from))
          LIMIT 1
        ) AS p
      ) CYCLE id SET is_cycle USING path
      SELECT id, forked_from FROM up WHERE NOT is_cycle ORDER BY place`;
    const found = new Set<string>();
    for (const row of await this.#rows(text, columnText(id))) {
      if (row.id !== id) found.add(String(row.id));
      if (row.forked_from !== null) found.add(String(row.forked_from));
    }
    found.delete(id);
    return [...found] as ThreadId[];
  }

  /** Forks and theirs, parents before children. Deleted ones are passed through and not named. */
  async descendants(id: ThreadId): Promise<readonly ThreadId[]> {
    const s = this.#s;
    const text = `
      WITH RECURSIVE down (id, deleted, depth) AS (
        SELECT id, deleted, 0 FROM ${s}.threads WHERE id = $1
        UNION ALL
        SELECT c.id, c.deleted, down.depth + 1 FROM down JOIN ${s}.threads AS c ON c.forked_from = down.id
      ) CYCLE id SET is_cycle USING path
      SELECT id FROM down WHERE NOT deleted AND NOT is_cycle AND depth > 0 ORDER BY depth, id`;
    return (await this.#rows(text, columnText(id))).map((row) => row.id as ThreadId);
  }
}
