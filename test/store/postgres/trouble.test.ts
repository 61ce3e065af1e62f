/**
 * Every statement of a store's life meets each trouble that a server can give, before it has done anything and after it has done all:
 * given again where that is safe, else a typed error that says what to do; nothing acknowledged is lost, and nothing is there twice.
 */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import type { PGlite } from "@electric-sql/pglite";
import { StoreIoError } from "../../../src/protocol/errors.ts";
import { newThreadId } from "../../../src/protocol/ids.ts";
import {
  answer,
  forkAt,
  gistOf,
  header,
  linesOf,
  storedThread,
  user,
} from "../../../src/store/contract/store-script.ts";
import {
  type PostgresClient,
  type PostgresPool,
  type PostgresStore,
  postgresStore,
} from "../../../src/store/postgres/postgres-store.ts";
import { newPglite, pglitePool } from "./pglite-pool.ts";

let db: PGlite;
let schemas = 0;
before(async () => {
  db = await newPglite();
});
after(() => db.close());

/** What the driver says of it. */
const failure = (code: string, message = "of the server"): Error => Object.assign(new Error(message), { code });

const DROPS = {
  "the connection is reset": () => failure("ECONNRESET", "read ECONNRESET"),
  "the connection ends": () => new Error("Connection terminated unexpectedly"),
  "the server restarts": () => failure("57P01", "terminating connection due to administrator command"),
  "the server still starts": () => failure("57P03", "the database system is starting up"),
};
const REFUSALS = {
  "the disk is full": [() => failure("53100", "could not extend file"), /disk is full; make room/],
  "there are no connections left": [() => failure("53300", "sorry, too many clients already"), /no more connections/],
  "it became a replica": [() => failure("25006", "cannot execute INSERT in a read-only transaction"), /read-only/],
  "the rights are gone": [() => failure("42501", "permission denied"), /grant it the rights/],
} as const;

/** A pool on PGlite in which the next statements that change something have trouble. */
class TroubledPool implements PostgresPool {
  readonly #pool = pglitePool(db);
  #trouble: (() => Error) | undefined;
  #when: "before" | "after" = "before";
  #times = 0;
  /** How many statements had it. */
  met = 0;

  /** The next `times` statements that write fail so. */
  trouble(make: () => Error, when: "before" | "after", times = 1): void {
    this.#trouble = make;
    this.#when = when;
    this.#times = times;
    this.met = 0;
  }

  over(): void {
    this.#times = 0;
  }

  async connect(): Promise<PostgresClient> {
    const client = await this.#pool.connect();
    return Object.assign(Object.create(client) as PostgresClient, {
      query: async (query: Parameters<PostgresClient["query"]>[0]) => {
        const writes = /INSERT INTO|UPDATE |DELETE FROM/.test(query.text);
        if (!writes || this.#times === 0) return client.query(query);
        this.#times -= 1;
        this.met += 1;
        if (this.#when === "after") await client.query(query);
        throw this.#trouble?.() ?? new Error("no trouble was made");
      },
    });
  }

  async end(): Promise<void> {}
}

const onTrouble = async (body: (store: PostgresStore, pool: TroubledPool) => Promise<void>): Promise<void> => {
  const pool = new TroubledPool();
  const store = postgresStore({ pool, schema: `trouble_${++schemas}` });
  await store.connect();
  try {
    await body(store, pool);
  } finally {
    pool.over();
    await store.close();
  }
};

for (const [what, make] of Object.entries(DROPS)) {
  for (const when of ["before", "after"] as const) {
    suite(`${what} ${when === "before" ? "before a statement has done anything" : "when it is done, and nobody hears so"}`, () => {
      test("whatever is asked for is done, once", () =>
        onTrouble(async (store, pool) => {
          const drop = () => pool.trouble(make, when);
          drop();
          const writer = await store.create(header());
          assert.equal(pool.met, 1);
          writer.append(user("one"));
          writer.append(answer("two"));
          drop();
          await writer.flush().catch((error: unknown) => assert.ok(error instanceof StoreIoError, String(error)));
          await writer.flush();
          assert.equal(pool.met, 1);
          drop();
          const child = await forkAt(store, writer.threadId, "full");
          drop();
          const adopted = await store.adopt(header(), [user("x")]);
          drop();
          await store.rename(child, "named");
          drop();
          await store.archive(child);
          drop();
          await store.notes?.write(child, "budget", { used: 1 });
          drop();
          await writer.close();
          drop();
          const again = await store.open(writer.threadId);
          assert.ok(again.epoch > writer.epoch);
          await again.close();
          drop();
          await store.delete(adopted.threadId);
          pool.over();
          assert.deepEqual(await gistOf(store, writer.threadId), ["[session_meta]", "one", "two"]);
          const ordinals = (await linesOf(store, child)).map(({ ordinal }) => ordinal);
          assert.deepEqual(ordinals, [0, 1, 2, 3]);
          const { name, archived } = await store.get(child);
          assert.deepEqual([name, archived, await store.notes?.read(child, "budget")], ["named", true, { used: 1 }]);
          assert.equal((await store.list()).threads.length, 1);
        }));

      test("lines of many threads, while it happens again and again", () =>
        onTrouble(async (store, pool) => {
          const writers = await Promise.all(Array.from({ length: 5 }, () => store.create(header())));
          for (let n = 0; n < 4; n += 1) {
            pool.trouble(make, when, 2);
            await Promise.all(
              writers.map(async (writer) => {
                writer.append(answer(`${n}`));
                await writer.flush().catch((error: unknown) => assert.ok(error instanceof StoreIoError, String(error)));
              }),
            );
          }
          pool.over();
          for (const writer of writers) {
            await writer.flush();
            assert.deepEqual(await gistOf(store, writer.threadId), ["[session_meta]", "0", "1", "2", "3"]);
            await writer.close();
          }
        }));
    });
  }
}

for (const [what, [make, says]] of Object.entries(REFUSALS)) {
  test(`${what}: a typed error that says so, lines wait, and are stored when it is over`, () =>
    onTrouble(async (store, pool) => {
      const isTold = (error: unknown) => {
        assert.ok(error instanceof StoreIoError, String(error));
        assert.match(error.message, says);
        assert.ok(error.cause instanceof Error);
        return true;
      };
      const told: Error[] = [];
      const writer = await store.create(header(), { onFailure: (error) => told.push(error) });
      const { id } = await storedThread(store, ["kept"]);
      pool.trouble(make, "before", Number.POSITIVE_INFINITY);
      writer.append(user("one"));
      await assert.rejects(writer.flush(), isTold);
      writer.append(answer("two"));
      await assert.rejects(writer.sync(), isTold);
      assert.ok(isTold(writer.failure) && isTold(told[0]));
      assert.equal(writer.dirty, true);
      const meta = header({ id: newThreadId() });
      await assert.rejects(store.create(meta), isTold);
      await assert.rejects(store.open(id), isTold);
      await assert.rejects(store.rename(id, "no"), isTold);
      await assert.rejects(writer.close(), isTold);
      pool.over();
      await writer.close();
      assert.deepEqual(await gistOf(store, writer.threadId), ["[session_meta]", "one", "two"]);
      await (await store.create(meta)).close();
      assert.equal((await store.get(id)).name, null);
    }));
}

test("a thread whose end could not be told is not taken for ever: its own store has it at once, and others when it is told later", () =>
  onTrouble(async (store, pool) => {
    const [own, others] = [await store.create(header()), await store.create(header())];
    pool.trouble(DROPS["the connection is reset"], "before", Number.POSITIVE_INFINITY);
    await Promise.all([own.close(), others.close()]);
    pool.over();
    const again = await store.open(own.threadId);
    assert.equal(again.epoch, 2);
    await again.close();
    const other = postgresStore({ pool: pglitePool(db), schema: `trouble_${schemas}` });
    const taken = await other.open(others.threadId, { lease: "wait", deadlineMs: 20_000 });
    assert.equal(taken.epoch, 2);
    await taken.close();
    await other.close();
  }));
