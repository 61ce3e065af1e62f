/**
 * A stranger's transaction holds a row for long: whoever needs that row waits, until its deadline or the stranger's end, and nobody
 * who is given to the server in the same statement waits with it.
 */
import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import pg from "pg";
import { raceAbort } from "../../src/kernel/cancellation.ts";
import { DuplicateThreadError, StoreIoError } from "../../src/protocol/errors.ts";
import { newThreadId, type ThreadId } from "../../src/protocol/ids.ts";
import { gistOf, header, storedThread, user } from "../../src/store/contract/store-script.ts";
import { type PostgresStore, postgresStore } from "../../src/store/postgres/postgres-store.ts";
import { PostgresServer } from "./server.ts";

/** How long a statement may take; the stranger holds on for longer. */
const STATEMENT_MS = 20_000;

let server: PostgresServer;
let store: PostgresStore;
let stranger: pg.Client;
let schema = "";
let schemas = 0;
before(async () => {
  server = await PostgresServer.start();
});
after(() => server[Symbol.asyncDispose]());
beforeEach(async () => {
  schema = `locks_${++schemas}`;
  store = postgresStore({ connectionString: server.connectionString, schema, statementMs: STATEMENT_MS });
  await store.connect();
  stranger = new pg.Client({ connectionString: server.connectionString });
  await stranger.connect();
  await stranger.query("BEGIN");
});
afterEach(async () => {
  await stranger.end();
  await store.close();
});

/** Long before the stranger lets go. */
const soon = <T>(work: Promise<T>): Promise<T> => raceAbort(work, AbortSignal.timeout(STATEMENT_MS / 2));
const isPending = async (work: Promise<unknown>): Promise<boolean> =>
  (await Promise.race([work.catch(() => undefined), Promise.resolve("pending")])) === "pending";

/** The stranger makes a thread of that id, and does not say yet whether it will be there. */
async function holdId(id: ThreadId, like: ThreadId): Promise<void> {
  const columns = `header, began, base, start, next, epoch, state, messages, created, updated, kind, subagent, place`;
  const text = `INSERT INTO ${schema}.threads (id, ${columns}) SELECT $1, ${columns} FROM ${schema}.threads WHERE id = $2`;
  await stranger.query(text, [id, like]);
}
const holdRow = (id: ThreadId): Promise<unknown> =>
  stranger.query(`SELECT FROM ${schema}.threads WHERE id = $1 FOR UPDATE`, [id]);

for (const [ending, sees] of [
  [
    "COMMIT",
    (outcome: PromiseSettledResult<unknown>) =>
      outcome.status === "rejected" && outcome.reason instanceof DuplicateThreadError,
  ],
  ["ROLLBACK", (outcome: PromiseSettledResult<unknown>) => outcome.status === "fulfilled"],
] as const) {
  test(`of starts that come together, and those after them, only the one whose id a stranger holds waits; then comes a ${ending}`, async () => {
    const { id: like } = await storedThread(store, ["one"]);
    const held = newThreadId();
    await holdId(held, like);
    const waiting = store.create(header({ id: held }));
    const settled = Promise.allSettled([waiting]);
    const starts = await soon(Promise.all(Array.from({ length: 40 }, () => store.create(header()))));
    const later = await soon(Promise.all(Array.from({ length: 40 }, () => store.create(header()))));
    assert.ok(await isPending(waiting));
    await soon(Promise.all([...starts, ...later].map((writer) => writer.close())));
    await stranger.query(ending);
    const [outcome] = await soon(settled);
    assert.ok(outcome !== undefined && sees(outcome), JSON.stringify(outcome));
  });
}

test("lines and ends of others go on while a stranger holds one thread's row; its own come when that is over", async () => {
  const writers = await Promise.all(Array.from({ length: 20 }, () => store.create(header())));
  const [held, ...others] = writers;
  assert.ok(held);
  await holdRow(held.threadId);
  for (let n = 0; n < 3; n += 1) {
    for (const writer of writers) writer.append(user(`${n}`));
    await soon(Promise.all(others.map((writer) => writer.flush())));
  }
  const closing = held.close();
  await soon(Promise.all(others.map((writer) => writer.close())));
  assert.ok(await isPending(closing));
  await stranger.query("ROLLBACK");
  await soon(closing);
  for (const { threadId } of writers) {
    assert.deepEqual(await gistOf(store, threadId), ["[session_meta]", "0", "1", "2"]);
    assert.equal((await store.image(threadId)).owner, null);
  }
});

test("a thread that is given back while a stranger holds its row holds up no other", async () => {
  const writers = await Promise.all(Array.from({ length: 20 }, () => store.create(header())));
  const [held, ...others] = writers;
  assert.ok(held);
  await holdRow(held.threadId);
  const closing = held.close();
  await soon(Promise.all(others.map((writer) => writer.close())));
  await stranger.query("ROLLBACK");
  await soon(closing);
  assert.equal((await store.image(held.threadId)).owner, null);
});

test("what waits for a stranger for too long says so, has not been done, and is not done later", async () => {
  const { id } = await storedThread(store, ["one"]);
  const brief = postgresStore({ connectionString: server.connectionString, schema, statementMs: 1_500 });
  await brief.connect();
  await holdRow(id);
  const isTold = (error: unknown) => {
    assert.ok(error instanceof StoreIoError, String(error));
    assert.match(error.message, /another transaction holds what it needs; end that one \(55P03\)/);
    return true;
  };
  const held = newThreadId();
  await holdId(held, id);
  const works = [
    () => brief.create(header({ id: held })),
    () => brief.open(id),
    () => brief.rename(id, "no"),
    () => brief.archive(id),
    () => brief.delete(id),
  ];
  await Promise.all(works.map((work) => assert.rejects(work, isTold)));
  await stranger.query("ROLLBACK");
  await brief.close();
  const { name, archived } = await store.get(id);
  assert.deepEqual([name, archived, (await store.list()).threads.length], [null, false, 1]);
  await (await store.open(id)).close();
});
