import assert from "node:assert/strict";
import { test } from "node:test";
import { newTurnId } from "../../../src/protocol/ids.ts";
import { aborted, answer, begun, ended, header, rolledBack, user } from "../../../src/store/contract/store-script.ts";
import { MIGRATIONS } from "../../../src/store/postgres/migrations.ts";
import { postgresStore } from "../../../src/store/postgres/postgres-store.ts";
import { newPglite, pglitePool } from "./pglite-pool.ts";

test("the migration tells of threads that an earlier version stored how their last turns stand, and finds their words", async () => {
  const db = await newPglite();
  try {
    const [first, second] = [newTurnId(), newTurnId()];
    const before = postgresStore({ pool: pglitePool(db) });
    for (const [mode, ...items] of [
      ["paginated"],
      ["paginated", begun(first), user("x"), answer("y"), ended(first)],
      ["paginated", begun(first), user("x"), answer("y")],
      ["paginated", begun(first), user("x"), aborted(first)],
      ["paginated", begun(first), aborted(first), begun(second), user("x"), ended(second)],
      ["paginated", begun(first), user("x"), aborted(first), rolledBack(1)],
      ["legacy", user("x")],
      ["legacy", user("x"), answer("y")],
    ] as const) {
      const writer = await before.create(header({ history_mode: mode }));
      for (const item of items) writer.append(item);
      await writer.close();
    }
    const shown = async (store: typeof before) =>
      (await store.list()).threads.map(({ interrupted, openTurn }) => [interrupted, openTurn]);
    const expected = await shown(before);
    assert.equal(expected.filter(([interrupted]) => interrupted).length, 3);
    await before.close();
    // As the step before left it: without what this one and later ones have made.
    await db.exec(`DROP TABLE IF EXISTS skein.notes; DELETE FROM skein.migrations WHERE step >= ${STEP};
      ALTER TABLE skein.threads DROP COLUMN interrupted, DROP COLUMN open_turn,
        ADD COLUMN name_words text NOT NULL DEFAULT '', ADD COLUMN text_words text NOT NULL DEFAULT '',
        ADD COLUMN name_index tsvector NOT NULL DEFAULT '', ADD COLUMN text_index tsvector NOT NULL DEFAULT '';
      UPDATE skein.threads AS h SET name_words = w.name_words, text_words = w.text_words, name_index = w.name_index,
        text_index = w.text_index FROM skein.words AS w WHERE w.t = h.t;
      ALTER TABLE skein.threads ADD COLUMN word_index tsvector GENERATED ALWAYS AS (name_index || text_index) STORED;
      CREATE INDEX threads_holder ON skein.threads (holder) WHERE holder IS NOT NULL;
      DROP TABLE skein.words;`);
    const after = postgresStore({ pool: pglitePool(db) });
    assert.deepEqual(await shown(after), expected);
    assert.equal((await after.list({ search: "x" })).threads.length, 7);
    assert.ok(MIGRATIONS.length >= STEP);
    await after.close();
  } finally {
    await db.close();
  }
});

const STEP = 2;
