/** Threads that are made, or given back, at the same time are one statement; each is told what became of it. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, test } from "node:test";
import type { PGlite } from "@electric-sql/pglite";
import { systemClock } from "../../../src/kernel/clock.ts";
import { DuplicateThreadError, RolloutNotFoundError, StoreIoError } from "../../../src/protocol/errors.ts";
import { newThreadId, type ThreadId } from "../../../src/protocol/ids.ts";
import { forkAt, gistOf, header, user } from "../../../src/store/contract/store-script.ts";
import { PostgresDatabase } from "../../../src/store/postgres/database.ts";
import { checkOptions } from "../../../src/store/postgres/options.ts";
import { type PostgresPool, postgresStore } from "../../../src/store/postgres/postgres-store.ts";
import { NOTHING_SAID } from "../../../src/store/postgres/thread-row.ts";
import { ThreadTable } from "../../../src/store/postgres/thread-table.ts";
import { newPglite, pglitePool } from "./pglite-pool.ts";

let db: PGlite;
let schemas = 0;
before(async () => {
  db = await newPglite();
});
after(() => db.close());

/** A pool that counts what it is given, and whose connections can be lost. */
function countingPool(): PostgresPool & { statements: number; lose(): void } {
  const inner = pglitePool(db);
  const onLost: ((error: Error) => void)[] = [];
  const counting: PostgresPool & { statements: number; lose(): void } = {
    statements: 0,
    lose: () => {
      for (const hear of onLost.splice(0)) hear(new Error("the connection is gone"));
    },
    connect: async () => {
      const client = await inner.connect();
      const query: typeof client.query = (given) => {
        counting.statements += 1;
        return client.query(given);
      };
      const on: typeof client.on = (event: string, hear: (message: never) => void) => {
        if (event === "error") onLost.push(hear as (error: Error) => void);
        return client.on(event as "error", hear as () => void);
      };
      return Object.assign(Object.create(client) as typeof client, { query, on });
    },
    end: async () => {},
  };
  return counting;
}

const freshStore = async () => {
  const pool = countingPool();
  const schema = `together_${++schemas}`;
  const store = postgresStore({ pool, schema });
  await store.connect();
  return { store, pool, schema };
};

test("a start is one statement, a turn one, and what has spoken closes with one", async () => {
  const { store, pool } = await freshStore();
  const trips = async (work: () => Promise<unknown>): Promise<number> => {
    const before = pool.statements;
    await work();
    return pool.statements - before;
  };
  const writer = await store.create(header());
  assert.equal(await trips(() => store.create(header())), 1);
  for (const text of ["one", "two"]) writer.append(user(text));
  assert.equal(await trips(() => writer.sync()), 1);
  assert.equal(await trips(() => writer.close()), 1);
  await store.close();
});

test("of a thread that it writes, a store asks for lines alone, until another has taken it", async () => {
  const { store, pool, schema } = await freshStore();
  const trips = async (work: () => Promise<unknown>): Promise<number> => {
    const before = pool.statements;
    await work();
    return pool.statements - before;
  };
  const made = await store.create(header());
  for (const text of ["one", "two"]) made.append(user(text));
  await made.close();
  const { threadId } = made;
  assert.equal(await trips(() => store.header(threadId)), 1);
  const writer = await store.open(threadId);
  writer.append(user("three"));
  await writer.sync();
  assert.equal(await trips(() => store.header(threadId)), 0);
  assert.equal(await trips(() => store.forkBase(threadId, "full")), 0);
  assert.equal(
    await trips(async () => assert.deepEqual(await gistOf(store, threadId), ["[session_meta]", "one", "two", "three"])),
    1,
  );
  const other = postgresStore({ pool: countingPool(), schema });
  const taker = await other.open(threadId, { lease: "takeOver" });
  taker.append(user("four"));
  await taker.sync();
  await assert.rejects(writer.confirm());
  assert.deepEqual(await gistOf(store, threadId), ["[session_meta]", "one", "two", "three", "four"]);
  await other.delete(threadId);
  await assert.rejects(store.header(threadId), RolloutNotFoundError);
  await Promise.all([store.close(), other.close()]);
});

test("a store whose ear was lost asks of the threads that it has held since before", async () => {
  const { store, pool } = await freshStore();
  const { threadId } = await store.create(header());
  pool.lose();
  await store.notes?.threads("mail"); // it hears again
  const before = pool.statements;
  await store.header(threadId);
  assert.equal(pool.statements - before, 1);
  await store.close();
});

test("a hundred starts at once are one statement, a hundred turns one, and a hundred ends one", async () => {
  const { store, pool } = await freshStore();
  pool.statements = 0;
  const writers = await Promise.all(Array.from({ length: 100 }, () => store.create(header())));
  assert.equal(pool.statements, 1);
  for (const [n, writer] of writers.entries()) writer.append(user(`${n}`));
  await Promise.all(writers.map((writer) => writer.flush()));
  assert.equal(pool.statements, 2);
  await Promise.all(writers.map((writer) => writer.close()));
  assert.equal(pool.statements, 3);
  for (const [n, { threadId }] of writers.entries()) {
    assert.deepEqual(await gistOf(store, threadId), ["[session_meta]", `${n}`]);
  }
  await store.close();
});

test("of starts that come together, one that is refused holds up no other", async () => {
  const { store } = await freshStore();
  const there = await store.create(header());
  there.append(user("kept"));
  await there.flush();
  const twice = newThreadId();
  const [good, same, sameAgain, taken, wrong, child] = await Promise.allSettled([
    store.create(header()),
    store.create(header({ id: twice })),
    store.create(header({ id: twice })),
    store.create(header({ id: there.threadId })),
    store.create(header({ id: "no\0id" as ThreadId })),
    forkAt(store, there.threadId, "full"),
  ]);
  assert.deepEqual([good?.status, same?.status, child?.status], ["fulfilled", "fulfilled", "fulfilled"]);
  const reasons = [sameAgain, taken, wrong].map((outcome) => outcome?.status === "rejected" && outcome.reason);
  assert.ok(reasons[0] instanceof DuplicateThreadError && reasons[1] instanceof DuplicateThreadError);
  assert.ok(reasons[2] instanceof StoreIoError, String(reasons[2]));
  assert.deepEqual(await gistOf(store, there.threadId), ["[session_meta]", "kept"]);
  await store.close();
});

test("a fork whose base has gone meanwhile is told so, beside starts that are made", async () => {
  const { store, pool, schema } = await freshStore();
  const database = new PostgresDatabase(checkOptions({ pool, schema }), systemClock);
  const table = new ThreadTable(database, 1);
  const of = (base: number | null) => ({
    meta: header(),
    beginning: { base, start: base === null ? 0 : 1, summary: NOTHING_SAID },
    now: 1,
    claim: randomUUID(),
  });
  const existing = await table.insert(of(null));
  const [lost, kept, fork, far] = await table.insertAll(
    [
      of(999_999),
      of(null),
      of(existing),
      { ...of(existing), beginning: { base: existing, start: 2, summary: NOTHING_SAID } },
    ],
    "wait",
  );
  assert.ok(lost instanceof RolloutNotFoundError && far instanceof RolloutNotFoundError);
  assert.deepEqual([typeof kept, typeof fork], ["number", "number"]);
  await store.close();
});
