/** A server that dies, connections that drop, owners that die or lose a thread: what was acknowledged is there, once. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { inspect } from "node:util";
import { raceAbort } from "../../src/kernel/cancellation.ts";
import { RolloutNotFoundError, StoreIoError, ThreadBusyError } from "../../src/protocol/errors.ts";
import { newThreadId, type ThreadId } from "../../src/protocol/ids.ts";
import { assistantMessage } from "../../src/protocol/response-item.ts";
import type { RolloutItem } from "../../src/protocol/rollout.ts";
import { addTurn, forkAt, gistOf, header, linesOf, storedThread } from "../../src/store/contract/store-script.ts";
import { type PostgresStoreOptions, postgresStore } from "../../src/store/postgres/postgres-store.ts";
import type { ThreadStore, ThreadWriter } from "../../src/store/thread-store.ts";
import { LEASH } from "../leash.ts";
import { PostgresServer } from "./server.ts";

const ROUNDS = Number(process.env.SKEIN_POSTGRES_ROUNDS ?? 3);
const THREADS = 12;

let server: PostgresServer;
let schemas = 0;
before(async () => {
  server = await PostgresServer.start();
});
after(() => server[Symbol.asyncDispose]());

const freshSchema = (): string => `faults_${++schemas}`;
const open = (schema: string, more: Partial<PostgresStoreOptions> = {}): ThreadStore =>
  postgresStore({ connectionString: server.connectionString, schema, ...more });

const said = (text: string): RolloutItem => ({ type: "response_item", payload: assistantMessage(text) });

/** Appends and flushes until it is told to end; gives back how many lines were acknowledged. */
async function write(writer: ThreadWriter, until: AbortSignal): Promise<number> {
  let acknowledged = 0;
  for (let n = 0; !until.aborted; n += 1) {
    writer.append(said(`${n}`));
    // A flush that fails leaves its lines waiting: the next one stores them too.
    const isStored = await writer.flush().then(
      () => true,
      () => false,
    );
    if (isStored) acknowledged = n + 1;
    else await new Promise((resolve) => setTimeout(resolve, 20));
  }
  await writer.close();
  return acknowledged;
}

async function assertWhole(store: ThreadStore, id: ThreadId, atLeast: number): Promise<void> {
  const lines = await linesOf(store, id);
  assert.deepEqual(
    lines.map(({ ordinal }) => ordinal),
    lines.map((_, n) => n),
  );
  const texts = await gistOf(store, id);
  assert.deepEqual(
    texts.slice(1),
    texts.slice(1).map((_, n) => `${n}`),
  );
  assert.ok(lines.length - 1 >= atLeast, `${atLeast} were acknowledged, ${lines.length - 1} are there`);
}

for (const [trouble, make] of [
  [
    "the server is killed and started again",
    async () => {
      await server.kill();
      await server.start();
    },
  ],
  [
    "every connection is ended by an administrator",
    () =>
      server.admin((admin) =>
        admin.query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"),
      ),
  ],
] as const) {
  test(`${trouble}, again and again: nothing acknowledged is lost, nothing is stored twice`, async () => {
    const store = open(freshSchema());
    const ending = new AbortController();
    const ids = Array.from({ length: THREADS }, newThreadId);
    const writers = await Promise.all(ids.map((id) => store.create({ ...header(), id })));
    const writing = writers.map((writer) => write(writer, ending.signal));
    for (let round = 0; round < ROUNDS; round += 1) {
      await new Promise((resolve) => setTimeout(resolve, 300));
      await make();
    }
    await new Promise((resolve) => setTimeout(resolve, 300));
    ending.abort();
    const acknowledged = await Promise.all(writing);
    for (const [n, id] of ids.entries()) await assertWhole(store, id, acknowledged[n] ?? 0);
    await store.close();
  });
}

test("a server that was killed starts again once the processes of its connections have gone, which it has left behind", async () => {
  await server.admin(async (admin) => {
    const { rows } = await admin.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
    const pid = rows[0]?.pid ?? assert.fail();
    process.kill(pid, "SIGSTOP");
    await server.kill();
    const started = server.start();
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    process.kill(pid, "SIGCONT");
    await started;
  });
  const store = open(freshSchema());
  assert.deepEqual((await store.list()).threads, []);
  await store.close();
});

test("stores that take threads from each other all the time: one writes at a time, and each keeps its word", async () => {
  const schema = freshSchema();
  const stores = Array.from({ length: 3 }, () => open(schema, { maxConnections: 3 }));
  const [first] = stores;
  assert.ok(first);
  const ids = await Promise.all(Array.from({ length: 4 }, async () => (await storedThread(first, [])).id));
  const kept = new Map<ThreadId, string[]>(ids.map((id) => [id, []]));
  let epochs = 0;
  await Promise.all(
    stores.flatMap((store, who) =>
      ids.map(async (id) => {
        for (let turn = 0; turn < 6; turn += 1) {
          const writer = await store.open(id, { lease: "takeOver" });
          epochs += 1;
          for (let n = 0; n < 5; n += 1) {
            const text = `${writer.epoch}/${who}/${n}`;
            writer.append(said(text));
            const isStored = await writer.flush().then(
              () => true,
              (error: unknown) => {
                assert.ok(error instanceof ThreadBusyError, String(error));
                return false;
              },
            );
            if (!isStored) break;
            kept.get(id)?.push(text);
          }
          await writer.close();
        }
      }),
    ),
  );
  assert.equal(epochs, 3 * 4 * 6);
  for (const id of ids) {
    const texts = (await gistOf(first, id)).slice(1);
    assert.deepEqual(new Set(texts).size, texts.length);
    for (const text of kept.get(id) ?? []) assert.ok(texts.includes(text), `${text} was acknowledged`);
    // What one writer stored stands together, in its order, and later writers come later.
    const order = texts.map((text) => text.split("/").map(Number));
    for (const [n, [epoch = 0, , line = 0]] of order.entries()) {
      const [before = 0, , lineBefore = -1] = order[n - 1] ?? [];
      assert.ok(epoch > before || (epoch === before && line === lineBefore + 1), texts.join(" "));
    }
  }
  for (const store of stores) await store.close();
});

/** What comes of it within the second that a store promises. */
const withinASecond = <T>(work: Promise<T>): Promise<T> => raceAbort(work, AbortSignal.timeout(1_000));

test("who lost a thread hears of it within a second, without writing", async () => {
  const schema = freshSchema();
  const [a, b] = [open(schema), open(schema)];
  const { id } = await storedThread(a, ["one"]);
  const lost = Promise.withResolvers<Error>();
  const writer = await a.open(id, { onFailure: lost.resolve });
  const next = await b.open(id, { lease: "takeOver" });
  assert.ok((await withinASecond(lost.promise)) instanceof ThreadBusyError);
  await assert.rejects(writer.flush(), ThreadBusyError);
  addTurn(next, "two");
  await next.close();
  // And one that was deleted elsewhere.
  const gone = Promise.withResolvers<Error>();
  await a.open(id, { onFailure: gone.resolve });
  await b.delete(id);
  assert.ok((await withinASecond(gone.promise)) instanceof RolloutNotFoundError);
  await Promise.all([a.close(), b.close()]);
});

test("of many threads that are taken at once, each is told within a second; and after the listening connection was lost", async () => {
  const schema = freshSchema();
  const [a, b] = [open(schema), open(schema)];
  await a.list();
  for (const round of [0, 1]) {
    const lost = await Promise.all(
      Array.from({ length: 40 }, async () => {
        const { promise, resolve } = Promise.withResolvers<Error>();
        const { threadId } = await a.create(header(), { onFailure: resolve });
        return { threadId, promise };
      }),
    );
    const taken = await Promise.all(lost.map(({ threadId }) => b.open(threadId, { lease: "takeOver" })));
    const told = await withinASecond(Promise.all(lost.map(({ promise }) => promise)));
    assert.ok(told.every((error) => error instanceof ThreadBusyError));
    await Promise.all(taken.map((writer) => writer.close()));
    if (round === 1) break;
    await server.admin((admin) =>
      admin.query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query LIKE '%pg_try_advisory_lock%'",
      ),
    );
    // It listens again as soon as it has a connection, at its next use at the latest.
    await a.list();
  }
  await Promise.all([a.close(), b.close()]);
});

test("while no connection is to be had, lines wait under a typed error; then they are stored, once", async () => {
  const { default: pg } = await import("pg");
  const pool = new pg.Pool({ connectionString: server.connectionString, max: 2 });
  const schema = freshSchema();
  const first = open(schema);
  await first.list(); // Its tables take longer to make than a statement has here.
  await first.close();
  const store = postgresStore({ pool, schema, statementMs: 300 });
  const writer = await store.create(header());
  const taken = await pool.connect();
  writer.append(said("0"));
  await assert.rejects(writer.flush(), (error) => error instanceof StoreIoError && /within 300 ms/.test(error.message));
  await assert.rejects(store.list(), StoreIoError);
  writer.append(said("1"));
  taken.release();
  await writer.flush();
  await assertWhole(store, writer.threadId, 2);
  await store.close();
  await pool.end();
});

test("a server that takes no more connections of this user says so, and what it holds goes on", async () => {
  const schema = freshSchema();
  await server.admin(async (admin) => {
    await admin.query("CREATE ROLE few LOGIN CONNECTION LIMIT 2");
    await admin.query("GRANT CREATE ON DATABASE postgres TO few");
  });
  const address = new URL(server.connectionString);
  address.username = "few";
  const first = open(schema, { connectionString: address.href, maxConnections: 2 });
  const writer = await first.create(header());
  const second = open(schema, { connectionString: address.href });
  await assert.rejects(
    second.list(),
    (error) => error instanceof StoreIoError && /max_connections/.test(error.message),
  );
  writer.append(said("0"));
  await writer.flush();
  await assertWhole(first, writer.threadId, 1);
  await first.close();
  assert.equal((await second.list()).threads.length, 1);
  await second.close();
});

test("a process that is killed lets go of its threads, and what it acknowledged is there", async () => {
  const schema = freshSchema();
  const store = open(schema);
  await store.list();
  const id = newThreadId();
  const child = spawn(
    process.execPath,
    [...LEASH, join(import.meta.dirname, "owner-child.ts"), server.connectionString, schema, id],
    {
      stdio: ["pipe", "pipe", "inherit"],
    },
  );
  let last = -1;
  for await (const line of createInterface({ input: child.stdout })) {
    last = Number(line);
    if (last === 20) {
      await assert.rejects(store.open(id), ThreadBusyError);
      child.kill("SIGKILL");
    }
  }
  if (child.signalCode === null) await once(child, "exit");
  // The server notices the end of the connection at once, but not in the same moment.
  const writer = await store.open(id, { lease: "wait", deadlineMs: 10_000 });
  assert.equal(writer.epoch, 2);
  assert.ok((await gistOf(store, id)).length - 1 >= last + 1);
  await writer.close();
  await store.close();
});

test("a server that only reads lists and loads, and says why it does not write", async () => {
  const schema = freshSchema();
  const store = open(schema);
  const { id } = await storedThread(store, ["one"]);
  const options = "options=-c%20default_transaction_read_only%3Don";
  const replica = open(schema, { connectionString: `${server.connectionString}?${options}` });
  assert.equal((await replica.list()).threads.length, 1);
  assert.equal((await gistOf(replica, id)).length, 5);
  await assert.rejects(replica.create(header()), (error) => {
    assert.ok(error instanceof StoreIoError);
    assert.match(error.message, /read-only/);
    return true;
  });
  await Promise.all([store.close(), replica.close()]);
});

test("two connections serve many at once; stores that come first together make the tables once", async () => {
  const schema = freshSchema();
  const stores = Array.from({ length: 5 }, () => open(schema, { maxConnections: 2 }));
  await Promise.all(stores.map((store) => store.list()));
  const ids = await Promise.all(
    Array.from({ length: 60 }, async (_, n) => {
      const store = stores[n % stores.length];
      assert.ok(store);
      const { id } = await storedThread(store, [`${n}`]);
      return forkAt(store, id, "full");
    }),
  );
  assert.equal(new Set(ids).size, 60);
  for (const store of stores) await store.close();
});

test("the plan that a connection keeps finds a batch's threads by the index, though few were there when it was made", async () => {
  const schema = freshSchema();
  const store = open(schema, { maxConnections: 2 });
  const writer = await store.create(header());
  const write = async () => {
    for (let n = 0; n < 20; n += 1) {
      writer.append(said(`${n}`));
      await writer.flush();
      await (await store.create(header())).close();
    }
  };
  await write();
  await Promise.all(Array.from({ length: 500 }, () => store.create(header())));
  await write();
  await store.close();
  const [{ read = 0 } = {}] = await server.admin(async (admin) => {
    // A connection has told what it read when it has ended.
    const left = "SELECT FROM pg_stat_activity WHERE application_name = 'skein'";
    while ((await admin.query(left)).rows.length > 0) await new Promise(setImmediate);
    const text =
      "SELECT seq_tup_read::integer AS read FROM pg_stat_all_tables WHERE schemaname = $1 AND relname = 'threads'";
    return (await admin.query<{ read: number }>(text, [schema])).rows;
  });
  assert.ok(read < 1_000, `${read} rows were read one after the other`);
});

test("what cannot be reached, or was made by a later version, is told without a secret", async () => {
  const unreachable = postgresStore({ connectionString: "postgres://skein:opensesame@127.0.0.1:1/postgres" });
  await assert.rejects(unreachable.list(), (error) => {
    assert.ok(error instanceof StoreIoError);
    assert.match(error.message, /cannot be reached/);
    assert.ok(!JSON.stringify(error).includes("opensesame") && !String(error.stack).includes("opensesame"));
    return true;
  });
  await unreachable.close();
  const schema = freshSchema();
  const store = open(schema);
  await store.list();
  await server.admin((admin) => admin.query(`INSERT INTO ${schema}.migrations (step) VALUES (999)`));
  const late = open(schema);
  await assert.rejects(late.list(), /later version/);
  await Promise.all([store.close(), late.close()]);
});

test("an address that is wrong is told as what is wrong with it, and nobody else is asked", async () => {
  for (const [address, says] of [
    ["postgres://u:opensesame@[bad/db", /its address cannot be read; encode what is special in the password/],
    ["postgres://u:opensesame#x@127.0.0.1:1/db", /its address cannot be read/],
    [
      `${server.connectionString}?sslmode=verify-full&sslrootcert=/nope`,
      /a certificate or key .* cannot be read \(ENOENT\)/,
    ],
    [server.connectionString.replace(/postgres$/, "elsewhere"), /the database does not exist; create it/],
  ] as const) {
    const store = postgresStore({ connectionString: address });
    await assert.rejects(store.list(), (error) => {
      assert.ok(error instanceof StoreIoError, String(error));
      assert.match(error.message, says);
      assert.ok(!inspect(error, { depth: 9 }).includes("opensesame"));
      return true;
    });
    await store.close();
  }
});

test("a user who may make no schemas makes the tables in one that an administrator has made", async () => {
  const schema = freshSchema();
  await server.admin(async (admin) => {
    await admin.query("CREATE ROLE modest LOGIN");
    await admin.query(`CREATE SCHEMA ${schema} AUTHORIZATION modest`);
  });
  const address = new URL(server.connectionString);
  address.username = "modest";
  const stores = Array.from({ length: 3 }, () => open(schema, { connectionString: address.href }));
  await Promise.all(stores.map((store) => store.list()));
  const elsewhere = open(freshSchema(), { connectionString: address.href });
  await assert.rejects(elsewhere.list(), /the user may not do that; grant it the rights on the schema \(42501\)/);
  for (const store of [...stores, elsewhere]) await store.close();
});

test("a pool of the embedder's stays open, and serves two stores", async () => {
  const { default: pg } = await import("pg");
  const pool = new pg.Pool({ connectionString: server.connectionString, max: 4 });
  const stores = [freshSchema(), freshSchema()].map((schema) => postgresStore({ pool, schema }));
  for (const store of stores) await storedThread(store, ["one"]);
  for (const store of stores) assert.equal((await store.list()).threads.length, 1);
  for (const store of stores) await store.close();
  assert.equal((await pool.query("SELECT 1 AS one")).rows[0].one, 1);
  await pool.end();
});
