/**
 * The store's own connection: it shows to others that this store lives, and hears what they do.
 *
 * The store's number is locked for as long as its connection lasts, so a process that dies lets go at once: one that wants
 * a thread whose holder's number nobody has locked may have it. A lock that was lost with its connection is only a hint
 * that was lost, since what is written is fenced by the epoch.
 */
import { randomInt } from "node:crypto";
import { backoffDelay } from "../../kernel/backoff.ts";
import { sleep } from "../../kernel/clock.ts";
import type { SkeinLogger } from "../../kernel/log.ts";
import { StoreIoError } from "../../protocol/errors.ts";
import type { PostgresDatabase } from "./database.ts";
import { isReadOnly, storeFailure } from "./failure.ts";
import type { PostgresClient } from "./options.ts";

/** The first half of the advisory locks' key; the second is the store's number. */
export const HOLDER_LOCKS = 1_397_442_889;
/** Told when a thread has got another writer, or none. */
export const CHANNEL = "skein_threads";

const RETRY = { baseMs: 100, factor: 2, maxMs: 5_000 } as const;
const TRIES = 3;

export class PostgresSession {
  readonly holder = randomInt(1, 2 ** 31 - 1);
  readonly #database: PostgresDatabase;
  readonly #logger: SkeinLogger;
  readonly #onMessage: (payload: string) => void;
  readonly #ending = new AbortController();
  #connection: Connection | undefined;
  #opening: Promise<void> | undefined;

  constructor(database: PostgresDatabase, logger: SkeinLogger, onMessage: (payload: string) => void) {
    this.#database = database;
    this.#logger = logger;
    this.#onMessage = onMessage;
  }

  /** What hears of others' threads just now: another one, once it was lost and news with it. */
  get ear(): object | undefined {
    return this.#connection;
  }

  /** @throws StoreIoError */
  open(): Promise<void> {
    if (this.#connection !== undefined) return Promise.resolve();
    this.#opening ??= this.#open(TRIES).finally(() => {
      this.#opening = undefined;
    });
    return this.#opening;
  }

  async #open(tries: number): Promise<void> {
    const { signal } = this.#ending;
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await this.#connect();
      } catch (error) {
        if (signal.aborted || attempt >= tries) throw storeFailure(error);
        await sleep(this.#database.clock, backoffDelay(attempt, RETRY), signal);
      }
    }
  }

  async #connect(): Promise<void> {
    const client = await this.#database.connect(this.#ending.signal);
    const connection = new Connection(client);
    const lose = (error?: Error): void => {
      if (!connection.letGo(error ?? true) || this.#connection !== connection) return;
      this.#connection = undefined;
      this.#logger.warn({ err: error }, "the connection that listens was lost");
      this.#reopen();
    };
    client.on("error", lose);
    client.on("end", () => lose());
    client.on("notification", ({ channel, payload }) => {
      if (channel === CHANNEL && payload !== undefined && !connection.isLost) this.#onMessage(payload);
    });
    try {
      await this.#listen(client);
      const lock = { text: "SELECT pg_try_advisory_lock($1, $2) AS held", values: [HOLDER_LOCKS, this.holder] };
      const [row] = await this.#database.ask(client, lock);
      // A connection of before holds it, whose end the server has not noticed yet.
      if (row?.held !== true) throw new StoreIoError("the lock of this store is still held");
      this.#ending.signal.throwIfAborted();
    } catch (error) {
      connection.letGo(true);
      throw error;
    }
    this.#connection = connection;
  }

  /** A replica takes no LISTEN: nobody writes through it, so there is nothing to lose. */
  async #listen(client: PostgresClient): Promise<void> {
    try {
      await this.#database.ask(client, { text: `LISTEN ${CHANNEL}` });
    } catch (error) {
      if (!isReadOnly(error)) throw error;
    }
  }

  #reopen(): void {
    this.#opening ??= this.#open(Number.POSITIVE_INFINITY)
      .catch(() => undefined) // it was closed meanwhile
      .finally(() => {
        this.#opening = undefined;
      });
  }

  async close(): Promise<void> {
    this.#ending.abort(new DOMException("the store is closed", "AbortError"));
    await this.#opening?.catch(() => undefined);
    const connection = this.#connection;
    this.#connection = undefined;
    if (connection === undefined || connection.isLost) return;
    const unlock = { text: "SELECT pg_advisory_unlock($1, $2)", values: [HOLDER_LOCKS, this.holder] };
    // Where it is lost, the lock is lost with it.
    await this.#database.ask(connection.client, unlock).catch(() => undefined);
    connection.letGo(true);
  }
}

/** A pool takes each connection back once. */
class Connection {
  readonly client: PostgresClient;
  isLost = false;

  constructor(client: PostgresClient) {
    this.client = client;
  }

  /** false: it has gone already. */
  letGo(broken: Error | true): boolean {
    if (this.isLost) return false;
    this.isLost = true;
    this.client.release(broken);
    return true;
  }
}
