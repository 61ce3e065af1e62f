/** Notes that are asked for in one go are one statement, and whom a rare kind stands beside is found without looking at all notes. */
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { PGlite } from "@electric-sql/pglite";
import { StoreIoError } from "../../../src/protocol/errors.ts";
import { newThreadId } from "../../../src/protocol/ids.ts";
import { type PostgresPool, postgresStore } from "../../../src/store/postgres/postgres-store.ts";
import type { StandingNotes } from "../../../src/store/standing-notes.ts";
import { newPglite, pglitePool } from "./pglite-pool.ts";

let db: PGlite;
before(async () => {
  db = await newPglite();
});
after(() => db.close());

/** Notes in a schema of their own, and the statements that they were read by. */
async function freshNotes(schema: string): Promise<{ notes: StandingNotes; read: string[] }> {
  const inner = pglitePool(db);
  const read: string[] = [];
  const pool: PostgresPool = {
    connect: async () => {
      const client = await inner.connect();
      const query: typeof client.query = (given) => {
        if (/^\s*SELECT.*\.notes/s.test(given.text)) read.push(given.text);
        return client.query(given);
      };
      return Object.assign(Object.create(client) as typeof client, { query });
    },
    end: async () => {},
  };
  const store = postgresStore({ pool, schema });
  await store.connect();
  assert.ok(store.notes);
  return { notes: store.notes, read };
}

test("what is read in one go is one statement, each note its own", async () => {
  const { notes, read } = await freshNotes("read");
  const [one, other] = [newThreadId(), newThreadId()];
  await notes.write(one, "mail", { a: 1 });
  await notes.write(one, "budget", { b: 2 });
  await notes.write(other, "mail", { c: 3 });
  const found = await Promise.all([
    ...[notes.read(one, "mail"), notes.read(one, "budget"), notes.read(one, "timers")],
    ...[notes.read(other, "mail"), notes.read(one, "mail")],
  ]);
  assert.deepEqual(found, [{ a: 1 }, { b: 2 }, undefined, { c: 3 }, { a: 1 }]);
  assert.equal(read.length, 1);
  await db.query(`UPDATE "read".notes SET value = 'no JSON' WHERE kind = 'budget'`);
  const [mail, budget] = await Promise.allSettled([notes.read(one, "mail"), notes.read(one, "budget")]);
  assert.deepEqual(mail, { status: "fulfilled", value: { a: 1 } });
  assert.ok(budget.status === "rejected" && budget.reason instanceof StoreIoError);
});

test("who has a note of a rare kind is found by an index that the cluster's notes are not in", async () => {
  const { notes, read } = await freshNotes("rare");
  const ids = Array.from({ length: 40 }, newThreadId);
  for (const id of ids) await notes.write(id, "cluster", { state: "open" });
  const [owing] = ids;
  assert.ok(owing);
  await notes.write(owing, "notice", { a: 1 });
  assert.deepEqual(await notes.threads("notice"), [owing]);
  assert.deepEqual((await notes.threads("cluster")).length, 40);
  const [text = ""] = read;
  await db.query("SET enable_seqscan = off");
  const byIndex = await db.query<{ "QUERY PLAN": string }>(`EXPLAIN ${text.replace("$1", "'notice'")}`);
  await db.query("RESET enable_seqscan");
  assert.match(JSON.stringify(byIndex.rows), /notes_rare/);
});
