/**
 * Sections that clients sort threads into, and where each thread stands in its own. They last in the home's `thread_sections.sqlite`,
 * which all servers of the home share; without a home they last as long as the server.
 *
 * A thread is in one section at most. Positions leave room between them, so that a move writes one row; where the room has run out,
 * the section's threads are numbered anew.
 */
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import * as z from "zod";
import { type Clock, elapsedBy, sleep } from "../../kernel/clock.ts";
import type { SkeinLogger } from "../../kernel/log.ts";
import { makeFolderSync } from "../../kernel/make-folder.ts";
import { StoreIoError } from "../../protocol/errors.ts";
import { newItemId, parseThreadId, type ThreadId } from "../../protocol/ids.ts";
import { makePrivateFile, PRIVATE_FOLDER } from "../../store/file/file-system.ts";
import { inTransaction, isSqliteBusy, loadSqlite } from "../../store/file/sqlite.ts";
import { invalidParams, invalidRequest, RpcError, textOfError } from "../rpc-error.ts";

const appearanceSchema = z.object({ icon: z.string().nullable(), color: z.string().nullable() });
const sectionSchema = z.object({
  id: z.string(),
  name: z.string(),
  appearance: z
    .string()
    .nullable()
    .transform((text): unknown => (text === null ? null : JSON.parse(text)))
    .pipe(appearanceSchema.nullable()),
});
export type Appearance = z.infer<typeof appearanceSchema>;
export type Section = z.infer<typeof sectionSchema>;

const placeSchema = sectionSchema.extend({ entered_at: z.int() });
/** `enteredAt`: Unix seconds. */
export type SectionPlace = { readonly section: Section; readonly enteredAt: number };

const positionSchema = z.object({ position: z.int().nullable() });
const memberSchema = z.object({ thread_id: z.string().transform(parseThreadId), position: z.int() });

/** Stock Codex's: every home has it, and its clients know it by this id. */
const PINNED = "01984de2-8f74-7c91-a3b2-5c5e937cf318";
const BUILT_IN: Section = { id: PINNED, name: "Pinned", appearance: null };

const VERSION = 1;
const TABLES = `
  CREATE TABLE sections (id TEXT PRIMARY KEY, name TEXT NOT NULL, appearance TEXT) WITHOUT ROWID;
  CREATE TABLE places (
    thread_id TEXT PRIMARY KEY,
    section_id TEXT NOT NULL REFERENCES sections (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    entered_at INTEGER NOT NULL
  ) WITHOUT ROWID;
  CREATE INDEX places_in_order ON places (section_id, position);
  INSERT INTO sections VALUES ('${PINNED}', '${BUILT_IN.name}', NULL);
  PRAGMA user_version = ${VERSION};
`;
const ROOM = 1_000_000;
const RENUMBER = `
  UPDATE places SET position = ranked.number * ${ROOM}
  FROM (SELECT thread_id AS id, row_number() OVER (ORDER BY position) AS number FROM places WHERE section_id = ?) AS ranked
  WHERE thread_id = ranked.id
`;
const PLACE = `
  INSERT INTO places VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET
    entered_at = iif(section_id = excluded.section_id, entered_at, excluded.entered_at),
    section_id = excluded.section_id, position = excluded.position
`;

/** Another process writes for a few milliseconds: so long the event loop waits for it, and then the request alone. */
const BUSY_MS = 5;
const RETRY_MS = 20;
const PATIENCE_MS = 5_000;

type Options = { readonly clock: Clock; readonly logger: SkeinLogger };

export class Sections implements Disposable {
  readonly #path: string | undefined;
  readonly #options: Options;
  #opened: Opened | undefined;
  #isOver = false;
  #isTold = false;

  /** @param home undefined: nothing is stored */
  constructor(home: string | undefined, options: Options) {
    this.#path = home === undefined ? undefined : join(home, "thread_sections.sqlite");
    this.#options = options;
  }

  /** By id, which is the order of their making. @throws StoreIoError, as all of these */
  async list({ after, limit }: { readonly after: string; readonly limit: number }): Promise<Section[]> {
    if (!this.#isThere) return [BUILT_IN].filter(({ id }) => id > after);
    const sql = "SELECT * FROM sections WHERE id > ? ORDER BY id LIMIT ?";
    return this.#patiently((db) => db.prepare(sql).all(after, limit).map(readSection));
  }

  /** Its threads and their positions, in order. */
  async members(sectionId: string): Promise<ReadonlyMap<ThreadId, number>> {
    if (!this.#isThere) return new Map();
    const sql = "SELECT * FROM places WHERE section_id = ? ORDER BY position";
    const rows = await this.#patiently((db) =>
      db
        .prepare(sql)
        .all(sectionId)
        .map((row) => memberSchema.parse(row)),
    );
    return new Map(rows.map((row) => [row.thread_id, row.position]));
  }

  /** undefined: in none. A thread is shown though nobody can tell: that is logged, once until it can be told again. */
  placeOf(threadId: ThreadId): SectionPlace | undefined {
    if (!this.#isThere) return undefined;
    try {
      const row = this.#open().placeOf.get(threadId);
      this.#isTold = false;
      if (row === undefined) return undefined;
      const { entered_at: enteredAt, ...section } = placeSchema.parse(row);
      return { section, enteredAt };
    } catch (err) {
      if (!this.#isTold)
        this.#options.logger.warn({ err, path: this.#path }, "the sections of threads could not be read");
      this.#isTold = true;
      return undefined;
    }
  }

  create(name: string, appearance: Appearance | null, signal?: AbortSignal): Promise<Section> {
    const section = { id: newItemId(), name, appearance };
    return this.#change((db) => {
      db.prepare("INSERT INTO sections VALUES (?, ?, ?)").run(section.id, name, textOf(appearance));
      return section;
    }, signal);
  }

  /** @param change without an appearance it stays. @throws RpcError for a section that there is not, and for the built-in one */
  update(
    id: string,
    { name, appearance }: { readonly name: string; readonly appearance: Appearance | null | undefined },
    signal?: AbortSignal,
  ): Promise<Section> {
    if (id === PINNED) throw invalidParams("the built-in pinned section cannot be renamed");
    return this.#change((db) => {
      const before = sectionOf(db, id);
      if (before === undefined) throw notFound(id);
      const section = { id, name, appearance: appearance === undefined ? before.appearance : appearance };
      db.prepare("UPDATE sections SET name = ?, appearance = ? WHERE id = ?").run(name, textOf(section.appearance), id);
      return section;
    }, signal);
  }

  /** Its threads are in none from then on. @throws RpcError for a section that there is not, and for the built-in one */
  delete(id: string, signal?: AbortSignal): Promise<void> {
    if (id === PINNED) throw invalidParams("the built-in pinned section cannot be deleted");
    return this.#change((db) => {
      if (db.prepare("DELETE FROM sections WHERE id = ?").run(id).changes === 0) throw notFound(id);
    }, signal);
  }

  /** To the end of a section, or before one of its threads; out of all sections where that is null. @throws RpcError */
  move(
    threadId: ThreadId,
    { sectionId, before }: { readonly sectionId: string | null; readonly before?: ThreadId | undefined },
    signal?: AbortSignal,
  ): Promise<void> {
    return this.#change((db) => {
      if (sectionId === null) return removePlaces(db, [threadId]);
      if (sectionOf(db, sectionId) === undefined) throw invalidRequest(`section ${sectionId} does not exist`);
      if (threadId === before) throw invalidRequest(`thread ${threadId} cannot be moved before itself`);
      const position = before === undefined ? endOf(db, sectionId) : gapBefore(db, sectionId, before);
      const now = Math.floor(this.#options.clock.now() / 1000);
      db.prepare(PLACE).run(threadId, sectionId, position, now);
    }, signal);
  }

  /** Threads that are gone for good. */
  async forget(threadIds: readonly ThreadId[]): Promise<void> {
    if (this.#isThere) await this.#change((db) => removePlaces(db, threadIds));
  }

  /** Whoever is still being shown a thread then sees it in no section. */
  [Symbol.dispose](): void {
    this.#isOver = true;
    this.#opened?.db.close();
    this.#opened = undefined;
  }

  /** Threads of a home without sections are listed without making a file for them. */
  get #isThere(): boolean {
    if (this.#isOver) return false;
    return this.#opened !== undefined || (this.#path !== undefined && existsSync(this.#path));
  }

  #open(): Opened {
    if (this.#isOver) throw new Error("the server has ended");
    this.#opened ??= open(this.#path);
    return this.#opened;
  }

  /** In a transaction: what the work throws undoes it. */
  #change<T>(work: (db: DatabaseSync) => T, signal?: AbortSignal): Promise<T> {
    return this.#patiently((db) => inTransaction(db, () => work(db)), signal);
  }

  /** Once no other process is in a transaction. @throws StoreIoError; RpcErrors of the work's and the signal's reason pass as they are */
  async #patiently<T>(work: (db: DatabaseSync) => T, signal?: AbortSignal): Promise<T> {
    const { clock } = this.#options;
    for (const until = elapsedBy(clock) + PATIENCE_MS; ; ) {
      try {
        return work(this.#open().db);
      } catch (error) {
        if (error instanceof RpcError) throw error;
        if (!isSqliteBusy(error) || elapsedBy(clock) >= until) throw failure(error, this.#path);
      }
      await sleep(clock, RETRY_MS, signal);
    }
  }
}

const textOf = (appearance: Appearance | null): string | null =>
  appearance === null ? null : JSON.stringify(appearance);

const notFound = (id: string): RpcError => invalidParams(`thread section not found: ${id}`);

/** Nothing is ever repaired or thrown away here: what clients have sorted is nowhere else. */
function failure(cause: unknown, path = "memory"): StoreIoError {
  const help = isSqliteBusy(cause)
    ? "another process holds it; try again"
    : "nothing of it was changed; if it is damaged, put a sound copy in its place, or move it away to begin without sections";
  return new StoreIoError(`the sections of threads in ${path} cannot be used: ${textOfError(cause)}: ${help}`, {
    cause,
  });
}

/** `placeOf` is asked for each thread that is shown. */
type Opened = { readonly db: DatabaseSync; readonly placeOf: StatementSync };

const PLACE_OF = "SELECT sections.*, entered_at FROM places JOIN sections ON id = section_id WHERE thread_id = ?";

/** @throws an error of SQLite's, and one where a later Skein has written the file */
function open(path: string | undefined): Opened {
  if (path !== undefined) {
    makeFolderSync(dirname(path), PRIVATE_FOLDER);
    makePrivateFile(path);
  }
  const db = new (loadSqlite().DatabaseSync)(path ?? ":memory:");
  try {
    db.exec(`PRAGMA busy_timeout = ${BUSY_MS}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL`);
    inTransaction(db, () => {
      const version = db.prepare("PRAGMA user_version").get()?.user_version;
      if (version === 0) db.exec(TABLES);
      else if (version !== VERSION) throw new Error(`it is of version ${version}, and this Skein knows ${VERSION}`);
    });
    return { db, placeOf: db.prepare(PLACE_OF) };
  } catch (error) {
    db.close();
    throw error;
  }
}

const readSection = (row: unknown): Section => sectionSchema.parse(row);

function sectionOf(db: DatabaseSync, id: string): Section | undefined {
  const row = db.prepare("SELECT * FROM sections WHERE id = ?").get(id);
  return row === undefined ? undefined : readSection(row);
}

function removePlaces(db: DatabaseSync, threadIds: readonly ThreadId[]): void {
  const remove = db.prepare("DELETE FROM places WHERE thread_id = ?");
  for (const threadId of threadIds) remove.run(threadId);
}

/** undefined: there is no such row, or nothing to take the greatest of. */
const positionIn = (db: DatabaseSync, sql: string, ...values: SQLInputValue[]): number | undefined => {
  const row = db.prepare(sql).get(...values);
  return row === undefined ? undefined : (positionSchema.parse(row).position ?? undefined);
};

const LAST = "SELECT max(position) AS position FROM places WHERE section_id = ?";

const endOf = (db: DatabaseSync, sectionId: string): number => (positionIn(db, LAST, sectionId) ?? 0) + ROOM;

/** @throws RpcError where the other thread is not in the section */
function gapBefore(db: DatabaseSync, sectionId: string, before: ThreadId): number {
  const sql = "SELECT position FROM places WHERE section_id = ? AND thread_id = ?";
  const upper = positionIn(db, sql, sectionId, before);
  if (upper === undefined) throw invalidRequest(`before thread ${before} is not in section ${sectionId}`);
  const lower = positionIn(db, `${LAST} AND position < ?`, sectionId, upper) ?? 0;
  if (upper - lower > 1) return Math.floor((lower + upper) / 2);
  db.prepare(RENUMBER).run(sectionId);
  return gapBefore(db, sectionId, before);
}
