/** Who may write a thread is told by debug lines of the names that the file store's have. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { SkeinLogger } from "../../../src/kernel/log.ts";
import { header } from "../../../src/store/contract/store-script.ts";
import { postgresStore } from "../../../src/store/postgres/postgres-store.ts";
import { newPglite, pglitePool } from "./pglite-pool.ts";

test("a lease that is taken, refused to another and given back is told", async () => {
  const db = await newPglite();
  const lines: [unknown, object][] = [];
  const note = (details: unknown, text?: string) => void lines.push([text, Object(details)]);
  const logger: SkeinLogger = { debug: note, info: note, warn: note, error: note };
  const [one, other] = [
    postgresStore({ pool: pglitePool(db), logger }),
    postgresStore({ pool: pglitePool(db), logger }),
  ];
  const meta = header();
  const writer = await one.create(meta);
  await assert.rejects(other.open(meta.id), { code: "thread_busy" });
  await writer.close();
  await (await other.open(meta.id)).close();
  const { id: threadId } = meta;
  const owner = Reflect.get(lines[1]?.[1] ?? {}, "owner");
  assert.deepEqual(lines, [
    ["lease taken", { threadId, epoch: 1 }],
    ["lease held by another", { threadId, owner }],
    ["lease released", { threadId, epoch: 1 }],
    ["lease taken", { threadId, epoch: 2 }],
    ["lease released", { threadId, epoch: 2 }],
  ]);
  assert.equal(Object(owner).pid, process.pid);
  await one.close();
  await other.close();
  await db.close();
});
