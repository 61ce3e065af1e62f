import assert from "node:assert/strict";
import { test } from "node:test";
import { newTurnId } from "../../../src/protocol/ids.ts";
import { aborted, answer, begun, ended, header, rolledBack, user } from "../../../src/store/contract/store-script.ts";
import { MIGRATIONS } from "../../../src/store/postgres/migrations.ts";
import { postgresStore } from "../../../src/store/postgres/postgres-store.ts";
import { newPglite, pglitePool } from "./pglite-pool.ts";

test("the migration tells of threads that an earlier version stored how their last turns stand", async () => {
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
      ALTER TABLE skein.threads DROP COLUMN interrupted, DROP COLUMN open_turn;`);
    const after = postgresStore({ pool: pglitePool(db) });
    assert.deepEqual(await shown(after), expected);
    assert.ok(MIGRATIONS.length >= STEP);
    await after.close();
  } finally {
    await db.close();
  }
});

const STEP = 2;
