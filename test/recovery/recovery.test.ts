/** A turn whose process dies, at each of its steps and on each store, is gone on with by whoever loads its thread. */
import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import type { PGlite } from "@electric-sql/pglite";
import { fileStore } from "../../src/store/file/file-store.ts";
import { memoryStore } from "../../src/store/memory/memory-store.ts";
import { postgresStore } from "../../src/store/postgres/postgres-store.ts";
import type { ThreadStore } from "../../src/store/thread-store.ts";
import { newPglite, pglitePool } from "../store/postgres/pglite-pool.ts";
import { killedAt, tempFolder } from "./killed.ts";
import { liveOn, liveUntil } from "./lives.ts";
import { type DyingStep, dyingSteps } from "./steps.ts";

/** Another life takes the thread: what the first one still writes is refused, as if its process were gone. */
async function takenFrom(step: DyingStep, store: ThreadStore): Promise<void> {
  using folder = tempFolder();
  const { threadId, manager } = await liveUntil(step, store, folder.path);
  try {
    await liveOn(step, { store, folder: folder.path, threadId, lease: "takeOver" });
  } finally {
    await manager.shutdown({ deadlineMs: 100 });
  }
}

suite("a life that another one takes its thread from, in memory", () => {
  for (const step of dyingSteps.filter((each) => !each.runsPrograms)) {
    test(step.name, () => takenFrom(step, memoryStore()));
  }
});

suite("a life that another one takes its thread from, in PostgreSQL's own code", () => {
  let db: PGlite;
  before(async () => {
    db = await newPglite();
  });
  after(() => db.close());
  for (const step of dyingSteps.filter((each) => !each.runsPrograms)) {
    test(step.name, async () => {
      const store = postgresStore({ pool: pglitePool(db) });
      await takenFrom(step, store);
      await store.close();
    });
  }
});

suite("SEMANTICS 2.5, 5.3 and 5.4: a process that is killed, on files", () => {
  const home = tempFolder();
  let left: Awaited<ReturnType<typeof killedAt>>;
  before(async () => {
    left = await killedAt(dyingSteps, { kind: "file", place: home.path });
  });
  after(() => {
    for (const { folder } of left.values()) folder[Symbol.dispose]();
    home[Symbol.dispose]();
  });
  for (const step of dyingSteps) {
    test(step.name, async () => {
      const { threadId, folder } = left.get(step) ?? {};
      assert.ok(threadId !== undefined && folder !== undefined);
      const store = fileStore({ home: home.path, fsync: "never" });
      await liveOn(step, { store, folder: folder.path, threadId });
      await store.close();
    });
  }
});
