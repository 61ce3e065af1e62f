/**
 * The bare driver that inserts what the store inserts: the rows of a thread that the store itself has stored, into the same tables with
 * the same indexes, each piece of work as one prepared statement and one commit, with nothing of ours around it. It fences nothing,
 * gathers nothing, and could not tell a second writer from the first.
 */
import { randomUUID } from "node:crypto";
import pg from "pg";
import { newThreadId } from "../src/protocol/ids.ts";
import { postgresStore } from "../src/store/postgres/postgres-store.ts";
import { appendMessages, metaOf } from "./stored-thread.ts";

type Row = Readonly<Record<string, unknown>>;

const LINE_TYPES = { ordinal: "bigint", line: "text" } as const;
const MARK_TYPES = {
  ordinal: "bigint",
  kind: "text",
  height: "integer",
  cut: "bigint",
  turn: "text",
  begun: "bigint",
  state: "text",
} as const;

export class BareDriver implements AsyncDisposable {
  readonly #pool: pg.Pool;
  readonly #schema: string;
  readonly #begun: Row;
  readonly #spoken: Row;
  readonly #lines: readonly Row[];
  readonly #marks: readonly Row[];

  private constructor(pool: pg.Pool, schema: string, sample: readonly [Row, Row, readonly Row[], readonly Row[]]) {
    this.#pool = pool;
    this.#schema = schema;
    [this.#begun, this.#spoken, this.#lines, this.#marks] = sample;
  }

  /** @param width how many connections it has at most, to 10 */
  static async make(connectionString: string, width: number): Promise<BareDriver> {
    const schema = `d_${newThreadId().replaceAll("-", "")}`;
    const store = postgresStore({ connectionString, schema });
    const [silent, writer] = [await store.create(metaOf()), await store.create(metaOf())];
    await appendMessages(writer, 2);
    const pool = new pg.Pool({ connectionString, max: Math.min(width, 10), application_name: "bare" });
    const rows = async (table: string, column: string, value: unknown): Promise<Row[]> =>
      (await pool.query<Row>(`SELECT * FROM ${schema}.${table} WHERE ${column} = $1`, [value])).rows;
    const [begun] = await rows("threads", "id", silent.threadId);
    const [spoken] = await rows("threads", "id", writer.threadId);
    if (begun === undefined || spoken === undefined) throw new Error("the sample is not there");
    const lines = await rows("lines", "t", spoken.t);
    const marks = await rows("marks", "t", spoken.t);
    await store.close();
    return new BareDriver(pool, schema, [begun, spoken, lines, marks]);
  }

  /** @returns the thread's number */
  async start(): Promise<unknown> {
    const meta = metaOf();
    const { t: _, ...row } = this.#begun;
    const fresh: Row = { ...row, id: meta.id, header: JSON.stringify(meta), claim: randomUUID() };
    const names = Object.keys(fresh);
    const text = `INSERT INTO ${this.#schema}.threads (${names}) VALUES (${names.map((_name, at) => `$${at + 1}`)}) RETURNING t`;
    const { rows } = await this.#pool.query<Row>({ name: "start", text, values: Object.values(fresh) });
    return rows[0]?.t;
  }

  end(t: unknown): Promise<unknown> {
    const text = `UPDATE ${this.#schema}.threads SET holder = NULL, owner = NULL, claim = NULL WHERE t = $1`;
    return this.#pool.query({ name: "end", text, values: [t] });
  }

  /** The lines and marks of a turn behind so many lines, and what the thread's row says of them. */
  turn(t: unknown, behind: number): Promise<unknown> {
    const s = this.#schema;
    const values: unknown[] = [t, behind + this.#lines.length, Date.now(), this.#spoken.state];
    const given = (rows: readonly Row[], types: Readonly<Record<string, string>>): string => {
      const places = Object.entries(types).map(([name, type]) => {
        values.push(rows.map((row, at) => (name === "ordinal" ? behind + at : row[name])));
        return `$${values.length}::${type}[]`;
      });
      return `SELECT $1::bigint, g.* FROM unnest(${places}) AS g`;
    };
    const text = `WITH l AS (INSERT INTO ${s}.lines (t, ${Object.keys(LINE_TYPES)}) ${given(this.#lines, LINE_TYPES)}),
      m AS (INSERT INTO ${s}.marks (t, ${Object.keys(MARK_TYPES)}) ${given(this.#marks, MARK_TYPES)})
      UPDATE ${s}.threads SET next = $2, updated = $3, state = $4, interrupted = false, open_turn = NULL WHERE t = $1`;
    return this.#pool.query({ name: "turn", text, values });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#pool.end();
  }
}
