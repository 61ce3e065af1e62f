/**
 * What is done, and nobody hears so: for each way to change something, the server commits it, and the answer is lost, again and again,
 * until the store gives up. Nothing may be taken then by nobody, nothing may be there twice, and what is asked for again is done.
 */
import assert from "node:assert/strict";
import { after, afterEach, before, suite, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { DuplicateThreadError, RolloutNotFoundError, StoreIoError } from "../../src/protocol/errors.ts";
import { newThreadId, type ThreadId } from "../../src/protocol/ids.ts";
import { answer, gistOf, header, linesOf, storedThread, user } from "../../src/store/contract/store-script.ts";
import { type PostgresStore, postgresStore } from "../../src/store/postgres/postgres-store.ts";
import { LosingProxy, type Loss } from "./proxy.ts";
import { PostgresServer } from "./server.ts";

let server: PostgresServer;
let proxy: LosingProxy;
let schema = "";
let schemas = 0;
before(async () => {
  server = await PostgresServer.start();
  proxy = await LosingProxy.before(server.connectionString);
});
after(async () => {
  await proxy[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

/** The store whose answers are lost, and one of another process, whose are not. */
let [store, other]: PostgresStore[] = [];
const open = (connectionString: string, statementMs: number): PostgresStore =>
  postgresStore({ connectionString, schema, statementMs, maxConnections: 4 });

const both = async (): Promise<{ own: PostgresStore; other: PostgresStore }> => {
  schema = `answers_${++schemas}`;
  other = open(server.connectionString, 30_000);
  await other.connect();
  store = open(proxy.connectionString, 1_000);
  await store.connect();
  return { own: store, other };
};
afterEach(async () => {
  proxy.over();
  await Promise.all([store?.close(), other?.close()]);
});

const isTold = (error: unknown): boolean => {
  assert.ok(error instanceof StoreIoError, String(error));
  assert.match(error.message, /cannot be reached|not answered/);
  return true;
};

/** What is asked for fails, since its answers are lost. */
async function unheard(loss: Loss, work: () => Promise<unknown>, after = 0): Promise<void> {
  proxy.lose(loss, after);
  await assert.rejects(work, isTold);
  assert.ok(proxy.lost > 0, "no answer was lost");
  proxy.over();
}

/** Resolves when it comes true. */
async function soon(what: string, isSo: () => Promise<boolean>): Promise<void> {
  const until = Date.now() + 20_000;
  while (!(await isSo())) {
    assert.ok(Date.now() < until, what);
    await delay(20);
  }
}

const rowsOf = (id: ThreadId): Promise<number> =>
  server.admin(async (admin) => {
    const text = `SELECT (SELECT count(*) FROM ${schema}.threads WHERE id = $1) + (SELECT count(*) FROM ${schema}.notes WHERE id = $1)
      + (SELECT count(*) FROM ${schema}.lines) AS rows`;
    return Number((await admin.query<{ rows: string }>(text, [id])).rows[0]?.rows);
  });

/** Another process has it, and so it was nobody's. */
async function assertFree(from: PostgresStore, id: ThreadId): Promise<void> {
  await (await from.open(id, { lease: "wait", deadlineMs: 20_000 })).close();
}

for (const loss of ["cut", "silent"] as const) {
  suite(
    loss === "cut" ? "the connection ends instead of the answer" : "no answer comes, and the statement's time passes",
    () => {
      test("a start, made again under its id, is there once; one that is not made again goes", async () => {
        const { own, other } = await both();
        const [again, never] = [header(), header()];
        await unheard(loss, () => own.create(again));
        const writer = await own.create(again);
        writer.append(user("kept"));
        await writer.close();
        await unheard(loss, () => own.create(never));
        await soon("what nobody was told of is gone", async () => (await other.list()).threads.length === 1);
        await assert.rejects(other.open(never.id), RolloutNotFoundError);
        assert.deepEqual(await gistOf(other, again.id), ["[session_meta]", "kept"]);
      });

      test("a fork, and an adoption at each of its steps", async () => {
        const { own, other } = await both();
        const { id } = await storedThread(own, ["one"]);
        const base = (await own.forkBase(id, "full")) ?? assert.fail();
        await unheard(loss, () => own.fork(header(), base));
        await unheard(loss, () => own.adopt(header(), [user("x")]));
        await unheard(loss, () => own.adopt(header(), [user("x")]), 1);
        await soon("what nobody was told of is gone", async () => (await other.list()).threads.length === 1);
        await (await own.fork(header(), base)).close();
        await own.delete(id);
        assert.equal((await other.list()).threads.length, 1);
        assert.deepEqual((await other.verify()).faults, []);
      });

      test("a thread that was taken is free for others, and for its own store at once", async () => {
        const { own, other } = await both();
        const [{ id }, { id: second }] = [await storedThread(own, ["one"]), await storedThread(own, ["one"])];
        await unheard(loss, () => own.open(id));
        await assertFree(other, id);
        const holding = await other.open(second);
        await unheard(loss, () => own.open(second, { lease: "takeOver" }));
        await (await own.open(second)).close();
        await assertFree(other, second);
        await holding.close();
      });

      test("lines are stored once, whoever else comes meanwhile, and a thread that is given back is free", async () => {
        const { own, other } = await both();
        const writer = await own.create(header());
        writer.append(user("one"));
        await unheard(loss, () => writer.flush());
        writer.append(answer("two"));
        await writer.flush();
        proxy.lose(loss);
        await writer.close();
        assert.ok(proxy.lost > 0);
        proxy.over();
        await assertFree(other, writer.threadId);
        assert.deepEqual(await gistOf(other, writer.threadId), ["[session_meta]", "one", "two"]);
      });

      test("a deletion that is asked for again leaves nothing, and what is noted of a thread goes with it", async () => {
        const { own, other } = await both();
        const { id } = await storedThread(own, ["one"]);
        await own.notes?.write(id, "budget", { used: 1 });
        await unheard(loss, () => own.delete(id));
        await assert.rejects(other.get(id), RolloutNotFoundError);
        assert.deepEqual(await other.notes?.threads("budget"), []);
        await assert.rejects(own.delete(id), RolloutNotFoundError);
        assert.equal(await rowsOf(id), 0);
      });

      test("names, repositories, archives and notes are what was said last", async () => {
        const { own, other } = await both();
        const { id } = await storedThread(own, ["one"]);
        const git = { sha: "a", branch: null, originUrl: null };
        await unheard(loss, () => own.rename(id, "first"));
        await unheard(loss, () => own.setGitInfo(id, git));
        await unheard(loss, () => own.archive(id));
        await unheard(loss, () => own.unarchive(id));
        await unheard(loss, async () => own.notes?.write(id, "budget", { used: 1 }));
        await own.rename(id, "second");
        await own.setGitInfo(id, null);
        await own.archive(id);
        await own.notes?.write(id, "budget", { used: 2 });
        const { name, gitInfo, archived } = await other.get(id);
        assert.deepEqual([name, gitInfo, archived], ["second", null, true]);
        assert.deepEqual(await other.notes?.read(id, "budget"), { used: 2 });
        await unheard(loss, async () => own.notes?.write(id, "budget", undefined));
        assert.equal(await other.notes?.read(id, "budget"), undefined);
      });

      test("a thread that came from elsewhere is there whole or not at all, and nobody holds it", async () => {
        const { own, other } = await both();
        const { id } = await storedThread(other, ["one", "two"]);
        const image = { ...(await other.image(id)), threadId: newThreadId() };
        const moved = { ...image, meta: { ...image.meta, id: image.threadId } };
        await unheard(loss, () => own.place(moved));
        await assert.rejects(own.place(moved), DuplicateThreadError);
        await assertFree(other, moved.threadId);
        assert.equal((await linesOf(other, moved.threadId)).length, (await linesOf(other, id)).length);
      });
    },
  );
}
