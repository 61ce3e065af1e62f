/** The statements on threads: each a transaction by itself, and the same when it is given twice. */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import { DuplicateThreadError, type LeaseOwner, RolloutNotFoundError, StoreIoError } from "../../protocol/errors.ts";
import type { ThreadId } from "../../protocol/ids.ts";
import type { SessionMeta } from "../../protocol/rollout.ts";
import { timestampOf } from "../rollout/codec.ts";
import type { ThreadGit } from "../thread-store.ts";
import { BRIEFLY, FEW, type OnLock, type SqlRow, type Statements } from "./database.ts";
import { isForeignKeyViolation } from "./failure.ts";
import type { Hold } from "./releases.ts";
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

/** Where a new thread begins. */
export type Beginning = { readonly base: number | null; readonly start: number; readonly summary: Summary };

/** A thread that is to be made, at a time in Unix milliseconds, under a claim that no other taking has. */
export type NewThread = {
  readonly meta: SessionMeta;
  readonly beginning: Beginning;
  readonly now: number;
  readonly claim: string;
};

const NEWS = "json_build_object('threadId', id, 'epoch', epoch, 'owner', owner::json)::text";
/** Whether the store that has the thread lives: its own connection holds its lock. */
const LIVES = `EXISTS (
  SELECT FROM pg_locks AS l JOIN pg_database AS d ON d.oid = l.database
  WHERE l.locktype = 'advisory' AND l.granted AND d.datname = current_database() AND l.objsubid = 2
    AND l.classid::bigint = ${HOLDER_LOCKS} AND l.objid::bigint = h.holder::bigint)`;
const INDEX = (words: string): string => `array_to_tsvector(string_to_array(${words}, ' '))`;

/** What is given of new threads, a column each: `unnest` makes them rows again. */
function newColumns(starts: readonly NewThread[]) {
  const columns: [name: string, type: string, values: unknown[]][] = [];
  const rows = starts.map((start) => {
    const { meta, beginning, now } = start;
    return { ...start, ...beginning, ...filedUnder(meta), ...searchedWords(searchedText(beginning.summary)), now };
  });
  const add = (name: string, type: string, of: (row: (typeof rows)[number]) => unknown): void =>
    void columns.push([name, `$${columns.length + 1}::${type}[]`, rows.map(of)]);
  add("id", "text", ({ meta }) => meta.id);
  add("header", "text", ({ meta }) => JSON.stringify(meta));
  add("began", "text", ({ now }) => timestampOf(now));
  add("base", "bigint", ({ base }) => base);
  add("start", "bigint", ({ start }) => start);
  add("claim", "text", ({ claim }) => claim);
  add("state", "text", ({ summary }) => JSON.stringify(summary.state));
  add("preview", "text", ({ summary: { preview } }) => (preview === null ? null : JSON.stringify(preview)));
  add("preview_at", "bigint", ({ summary }) => summary.previewAt);
  add("messages", "text", ({ summary }) => JSON.stringify(summary.messages));
  add("created", "bigint", ({ created }) => created);
  add("updated", "bigint", ({ now }) => now);
  add("kind", "text", ({ kind }) => kind);
  add("subagent", "boolean", ({ isSubagent }) => isSubagent);
  add("provider", "text", ({ provider }) => provider);
  add("place", "text", ({ place }) => place);
  add("parent", "text", ({ parent }) => parent);
  add("forked_from", "text", ({ meta }) => (meta.forked_from_id ? columnText(meta.forked_from_id) : null));
  add("words", "text", ({ words }) => words);
  add("index", "text", ({ index }) => index.join(" "));
  return {
    names: columns.map(([name]) => name).join(", "),
    types: columns.map(([, type]) => type).join(", "),
    values: columns.map(([, , values]) => values),
  };
}

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

  /** {@link insertAll} of one. */
  async insert(start: NewThread): Promise<number> {
    const [made] = await this.insertAll([start], "wait");
    if (typeof made === "number") return made;
    throw made ?? new StoreIoError("PostgreSQL has not told what became of a new thread");
  }

  /**
   * New threads, which this store writes, each by itself: its number, or why it is not there (DuplicateThreadError,
   * RolloutNotFoundError). Its base must hold what it inherits: of a deleted one, only what others need.
   */
  async insertAll(starts: readonly NewThread[], onLock: OnLock): Promise<(number | Error)[]> {
    const s = this.#s;
    const given = newColumns(starts);
    const holder = `$${given.values.length + 1}::integer`;
    const text = `
      WITH given AS (
        SELECT * FROM unnest(${given.types}) AS g (${given.names}) WHERE ${BRIEFLY} ${FEW(given.values.length + 3)}
      ), based AS (
        SELECT g.claim FROM given AS g JOIN ${s}.threads AS b ON b.t = g.base WHERE b.next >= g.start AND (NOT b.deleted
          OR EXISTS (SELECT FROM ${s}.threads AS c WHERE c.base = b.t AND c.start >= g.start))
        FOR KEY SHARE OF b
      ), made AS (
        INSERT INTO ${s}.threads (id, header, began, base, start, next, epoch, holder, owner, claim, state, preview,
          preview_at, messages, created, updated, kind, subagent, provider, place, parent, forked_from)
        SELECT id, header, began, base, start, start + 1, 1, ${holder}, $${given.values.length + 2}::text, claim, state, preview,
          preview_at, messages, created, updated, kind, subagent, provider, place, parent, forked_from
        FROM given WHERE base IS NULL OR claim IN (SELECT claim FROM based) ORDER BY id
        ON CONFLICT (id) DO NOTHING RETURNING t, claim
      ), worded AS (
        INSERT INTO ${s}.words (t, text_words, text_index)
        SELECT m.t, g.words, ${INDEX("g.index")} FROM made AS m JOIN given AS g USING (claim) WHERE g.words <> ''
      )
      SELECT g.claim, coalesce(m.t, CASE WHEN h.claim = g.claim THEN h.t END) AS t,
        h.t IS NOT NULL OR g.base IS NULL OR g.claim IN (SELECT claim FROM based) AS taken
      FROM given AS g LEFT JOIN made AS m USING (claim) LEFT JOIN ${s}.threads AS h ON h.id = g.id`;
    const values = [...given.values, this.#holder, JSON.stringify(this.owner), starts.length];
    const rows = await this.#database.run({ text, values, onLock });
    const told = new Map(rows.map((row) => [row.claim, row]));
    return starts.map(({ claim, meta: { id } }) => {
      const { t = null, taken } = told.get(claim) ?? {};
      if (t !== null) return Number(t);
      if (taken === true) return new DuplicateThreadError(id);
      return new RolloutNotFoundError(`what thread ${id} inherits is not there any more`);
    });
  }

  /** Takes the thread for this store under that claim; undefined: it is not there, or another has it. */
  async claim({ threadId, claim }: Hold, takeOver: boolean): Promise<ThreadRow | undefined> {
    const text = `
      WITH claimed AS (
        UPDATE ${this.#s}.threads AS h SET epoch = epoch + 1, holder = $2::integer, owner = $3, claim = $4
        WHERE id = $1 AND NOT deleted AND ${BRIEFLY} AND ($5::boolean OR claim = $4 OR holder IS NULL OR NOT ${LIVES})
        RETURNING ${ROW_COLUMNS}
      )
      SELECT ${ROW_COLUMNS}, pg_notify('${CHANNEL}', ${NEWS}) AS told FROM claimed`;
    const owner = JSON.stringify(this.owner);
    return (await this.#threads(text, columnText(threadId), this.#holder, owner, claim, takeOver))[0];
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

  /** Gives threads back, each only while it is held under that claim. */
  async release(holds: readonly Hold[], onLock: OnLock): Promise<void> {
    const text = `
      WITH given AS (SELECT * FROM unnest($1::text[], $2::text[]) AS g (id, claim) WHERE ${BRIEFLY} ${FEW(3)}),
      released AS (
        UPDATE ${this.#s}.threads AS h SET holder = NULL, owner = NULL, claim = NULL
        FROM given AS g WHERE h.id = g.id AND h.claim = g.claim AND NOT h.deleted RETURNING h.id, h.epoch, h.owner
      )
      SELECT pg_notify('${CHANNEL}', ${NEWS}) FROM released`;
    const sorted = holds.toSorted((a, b) => (a.threadId < b.threadId ? -1 : 1));
    const values = [
      sorted.map(({ threadId }) => columnText(threadId)),
      sorted.map(({ claim }) => claim),
      sorted.length,
    ];
    await this.#database.run({ text, values, onLock });
  }

  async #change(id: ThreadId, set: string, ...values: unknown[]): Promise<boolean> {
    const text = `UPDATE ${this.#s}.threads SET ${set} WHERE id = $1 AND NOT deleted AND ${BRIEFLY} RETURNING t`;
    return (await this.#rows(text, columnText(id), ...values)).length > 0;
  }

  async rename(id: ThreadId, name: string | null): Promise<boolean> {
    const { words, index } = searchedWords(name ?? "");
    const text = `
      WITH named AS (UPDATE ${this.#s}.threads SET name = $2 WHERE id = $1 AND NOT deleted AND ${BRIEFLY} RETURNING t),
      worded AS (
        INSERT INTO ${this.#s}.words (t, name_words, name_index) SELECT t, $3::text, ${INDEX("$4::text")} FROM named
        ON CONFLICT (t) DO UPDATE SET name_words = excluded.name_words, name_index = excluded.name_index
      )
      SELECT t FROM named`;
    const values = [columnText(id), name === null ? null : JSON.stringify(name), words, index.join(" ")];
    return (await this.#rows(text, ...values)).length > 0;
  }

  async setGitInfo(id: ThreadId, git: ThreadGit | null): Promise<boolean> {
    return this.#change(id, "git = $2", JSON.stringify({ git }));
  }

  async setArchived(id: ThreadId, archived: boolean): Promise<boolean> {
    return this.#change(id, "archived = $2::boolean", archived);
  }

  /**
   * Takes the thread away, and what is noted of it; with a claim, only while it is held under that. What forks inherit of it stays, and
   * nothing else does; it goes with the last of them.
   */
  async delete(id: ThreadId, held: string | null = null): Promise<boolean> {
    const text = `
      WITH found AS (
        SELECT t FROM ${this.#s}.threads WHERE id = $1 AND ${BRIEFLY}
          AND (claim = $2 OR (NOT deleted AND ($3::text IS NULL OR claim = $3))) FOR UPDATE
      ), gone AS (
        UPDATE ${this.#s}.threads AS h SET deleted = true, epoch = h.epoch + 1, holder = NULL, owner = NULL, claim = $2,
          preview = NULL, preview_at = NULL, messages = '[]', name = NULL
        FROM found WHERE h.t = found.t RETURNING h.t, h.id, h.epoch, h.owner
      ), unworded AS (
        DELETE FROM ${this.#s}.words AS w USING gone WHERE w.t = gone.t
      ), forgotten AS (
        DELETE FROM ${this.#s}.notes AS n USING gone WHERE n.id = gone.id
      )
      SELECT t, pg_notify('${CHANNEL}', ${NEWS}) AS told FROM gone`;
    // By the claim, a statement that is given again knows what it has deleted.
    const [row] = await this.#rows(text, columnText(id), randomUUID(), held);
    // One that was deleted by a call that broke off may still hold what nobody needs.
    const t = row?.t ?? (await this.find(id, { deleted: true }))?.t;
    if (t !== undefined) await this.#purge([Number(t)]);
    return row !== undefined;
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
        DELETE FROM ${s}.threads AS d WHERE d.t = $1 AND d.deleted AND ${BRIEFLY}
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
      WITH d AS (SELECT t FROM ${s}.threads WHERE t = $1 AND deleted AND ${BRIEFLY}),
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
