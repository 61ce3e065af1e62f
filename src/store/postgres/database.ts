/** Statements on the pool: each with a deadline, given again where that is safe. */
import { createHash } from "node:crypto";
import { backoffDelay } from "../../kernel/backoff.ts";
import { raceAbort } from "../../kernel/cancellation.ts";
import { type Clock, elapsedBy, sleep } from "../../kernel/clock.ts";
import { importOptional } from "../../kernel/optional-package.ts";
import { InvalidRequestError, StoreIoError } from "../../protocol/errors.ts";
import { isConflict, isDisconnection, isLocked, storeFailure } from "./failure.ts";
import { MIGRATIONS, migrate } from "./migrations.ts";
import type { CheckedOptions, PostgresClient, PostgresPool } from "./options.ts";

/** What runs statements: the pool, or one transaction. */
export type Statements = Pick<PostgresDatabase, "schema" | "clock" | "run">;

export type SqlRow = Readonly<Record<string, unknown>>;

export type Statement = {
  readonly text: string;
  readonly values?: unknown[];
  readonly signal?: AbortSignal | undefined;
  /** Where another transaction holds what it needs: given again for as long as a statement may take (`wait`, the default), or an error. */
  readonly onLock?: OnLock;
};

export type OnLock = "wait" | "tell";

/**
 * In the WHERE of what a statement reads first: it waits no longer than this for what another transaction has locked, where nobody has
 * said how long. Then nothing of it is done, which is known; and what nobody waits for any more does not come to pass later.
 */
export const BRIEFLY = `(SELECT set_config('lock_timeout', coalesce(nullif(current_setting('lock_timeout'), '0'), '500ms'), true))
  IS NOT NULL`;

/**
 * Behind the rows of an input, whose number is the value of that place: so the plan that a connection keeps is one for few rows, by
 * the index. For ten it would read all threads, if they were few when it was made, and go on with it when they are many.
 */
export const FEW = (place: number): string => `LIMIT $${place}::bigint`;

const GRACE_MS = 500;
const TRIES = 3;
const BACKOFF = { baseMs: 50, factor: 4, maxMs: 1_000 } as const;

type PgModule = { readonly default: { readonly Pool: new (options: object) => PostgresPool } };

const missing = (cause: unknown): Error =>
  new InvalidRequestError("a PostgreSQL store needs the package pg: npm install pg", { cause });

const HEARD = new WeakSet<PostgresClient | PostgresPool>();

/**
 * A connection that is lost is an error event too, beside what its statement rejects with: one that nobody hears ends the process. A new
 * one may be lost with the words that it is ready, before whoever asked for it has it: its pool tells of it first.
 */
function hear(client: PostgresClient): void {
  if (HEARD.has(client)) return;
  HEARD.add(client);
  client.on("error", () => undefined);
}

export class PostgresDatabase {
  readonly clock: Clock;
  readonly schema: string;
  readonly #options: CheckedOptions;
  readonly #isOwn: boolean;
  readonly #names = new Map<string, string>();
  #pool: Promise<PostgresPool> | undefined;
  #isClosed = false;

  constructor(options: CheckedOptions, clock: Clock) {
    this.#options = options;
    this.#isOwn = options.pool === undefined;
    this.clock = clock;
    this.schema = `"${options.schema}"`;
  }

  /** A connection for its own use; the caller releases it. @throws StoreIoError */
  async connect(signal?: AbortSignal): Promise<PostgresClient> {
    if (this.#isClosed) throw new StoreIoError("the store is closed");
    this.#pool ??= this.#open();
    const pool = await this.#pool;
    const connecting = pool.connect();
    try {
      const client = await this.#inTime(connecting, signal);
      hear(client);
      return client;
    } catch (error) {
      // It comes too late to be of use.
      connecting.then(
        (client) => client.release(),
        () => undefined,
      );
      throw error;
    }
  }

  async #open(): Promise<PostgresPool> {
    const pool = this.#options.pool ?? (await this.#own());
    if (!HEARD.has(pool)) pool.on?.("connect", hear);
    HEARD.add(pool);
    return pool;
  }

  async #own(): Promise<PostgresPool> {
    const { connectionString, maxConnections, statementMs } = this.#options;
    const { default: pg } = await importOptional<PgModule>("pg", missing);
    const own = new pg.Pool({
      ...{ connectionString, max: maxConnections, keepAlive: true, application_name: "skein" },
      // A pool ends once its last connection has: one that is still being made would never. Whoever asked for it has been told by then.
      connectionTimeoutMillis: statementMs + GRACE_MS,
    });
    // A connection that drops while nobody uses it: the pool makes another.
    own.on?.("error", () => undefined);
    return own;
  }

  /**
   * One statement that is a transaction by itself. After a lost connection it is given again: it must do the same when it
   * is done twice. @throws StoreIoError; the signal's reason
   */
  async run(statement: Statement): Promise<readonly SqlRow[]> {
    const { signal, onLock = "wait" } = statement;
    const until = elapsedBy(this.clock) + this.#options.statementMs;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#once(statement);
      } catch (error) {
        const isGivenAgain = isLocked(error)
          ? onLock === "wait" && elapsedBy(this.clock) < until
          : attempt < TRIES && (isDisconnection(error) || isConflict(error));
        if (signal?.aborted) throw signal.reason;
        if (!isGivenAgain) throw storeFailure(error);
        await sleep(this.clock, backoffDelay(attempt, BACKOFF), signal);
      }
    }
  }

  /** @throws what the driver throws */
  async #once({ text, values, signal }: Statement): Promise<readonly SqlRow[]> {
    const client = await this.connect(signal);
    let broken: Error | undefined;
    try {
      const query = { text, name: this.#nameOf(text), ...(values === undefined ? {} : { values }) };
      const { rows } = await this.#inTime(client.query(query), signal);
      return rows as readonly SqlRow[];
    } catch (error) {
      // One that still works at the statement is of no use to the next.
      if (signal?.aborted || error instanceof StoreIoError || isDisconnection(error)) broken = error as Error;
      throw error;
    } finally {
      client.release(broken);
    }
  }

  /**
   * Several statements, all of them or none, on a connection of their own. Nothing is given again: after a lost connection
   * the caller looks what became of it. @throws StoreIoError; what `work` throws; the signal's reason
   */
  async transaction<T>(work: (statements: Statements) => Promise<T>, signal?: AbortSignal): Promise<T> {
    const client = await this.connect(signal);
    const give = async (statement: Statement): Promise<readonly SqlRow[]> => {
      try {
        return await this.ask(client, { ...statement, signal });
      } catch (error) {
        throw signal?.aborted ? signal.reason : storeFailure(error);
      }
    };
    let broken: Error | undefined;
    try {
      await give({ text: "BEGIN" });
      const lockMs = String(Math.ceil(this.#options.statementMs / 2));
      await give({ text: "SELECT set_config('lock_timeout', $1, true)", values: [lockMs] });
      const result = await work({ schema: this.schema, clock: this.clock, run: give });
      await give({ text: "COMMIT" });
      return result;
    } catch (error) {
      // Where it cannot be taken back in words, it is by the end of the connection.
      broken = await this.ask(client, { text: "ROLLBACK" }).then(
        () => undefined,
        (failure: Error) => failure,
      );
      throw error;
    } finally {
      client.release(broken);
    }
  }

  /** Prepared once for each connection. */
  #nameOf(text: string): string {
    const found = this.#names.get(text);
    if (found !== undefined) return found;
    // Stores that share a pool share its connections: one name never means two statements.
    const name = `skein_${createHash("sha256").update(text).digest("hex").slice(0, 24)}`;
    this.#names.set(text, name);
    return name;
  }

  /** One statement on a connection that the caller has. @throws what the driver throws */
  async ask(client: PostgresClient, { text, values, signal }: Statement): Promise<readonly SqlRow[]> {
    const query = { text, ...(values === undefined ? {} : { values }) };
    return (await this.#inTime(client.query(query), signal)).rows as readonly SqlRow[];
  }

  #inTime<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    const { statementMs } = this.#options;
    return new Promise((resolve, reject) => {
      const timer = this.clock.background(
        () => reject(new StoreIoError(`PostgreSQL has not answered within ${statementMs} ms`)),
        statementMs,
      );
      raceAbort(work, signal)
        .then(resolve, reject)
        .finally(() => this.clock.clearTimeout(timer));
    });
  }

  /** Brings the tables to this version. @throws StoreIoError also where a later version has changed them */
  async migrate(signal?: AbortSignal): Promise<void> {
    const { schema } = this;
    const [found] = await this.run({
      text: "SELECT to_regclass($1) IS NOT NULL AS has",
      values: [`${schema}.migrations`],
      signal,
    });
    const [{ step = 0 } = {}] =
      found?.has === true ? await this.run({ text: `SELECT max(step) AS step FROM ${schema}.migrations`, signal }) : [];
    if (Number(step) > MIGRATIONS.length) {
      throw new StoreIoError(`the schema ${schema} was made by a later version of Skein (step ${step}); upgrade`);
    }
    if (Number(step) < MIGRATIONS.length) await this.run({ text: migrate(schema), signal });
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    if (!this.#isOwn || this.#pool === undefined) return;
    const pool = await this.#pool;
    await pool.end();
  }
}
