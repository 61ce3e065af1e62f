/** What the catalog says of a last turn comes from the files, whatever catalog is there. */
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { newTurnId } from "../../../src/protocol/ids.ts";
import { answer, begun, ended, header, user } from "../../../src/store/contract/store-script.ts";
import { Layout } from "../../../src/store/file/layout.ts";
import { TempHome } from "./temp-home.ts";

test("a catalog that is gone, of an older version, or wrong about a file that has changed is not believed", async () => {
  await using home = new TempHome();
  const turnId = newTurnId();
  const first = home.open();
  const writer = await first.create(header());
  // The turn began more lines ago than is looked at for anything else.
  for (const item of [begun(turnId), user("x"), ...Array.from({ length: 40 }, () => answer("y".repeat(20_000)))]) {
    writer.append(item);
  }
  writer.append({
    type: "event_msg",
    payload: { type: "agent_message", message: "an event that ends and begins nothing" },
  });
  await writer.close();
  const done = await first.create(header());
  for (const item of [begun(newTurnId()), user("x")]) done.append(item);
  await done.flush();
  const { catalog } = new Layout(home.path);
  assert.equal((await first.list({ interrupted: true })).threads.length, 2);
  // What grows after the catalog's last word of it, and is never told because the process dies.
  done.append(ended(newTurnId()));
  done.append(begun(turnId));
  done.append(ended(turnId));
  await done.flush();
  const spoil = [
    () => withCatalog("UPDATE threads SET mtime = 0"),
    () => withCatalog("PRAGMA user_version = 15"),
    () => withCatalog("UPDATE threads SET interrupted = 1 - interrupted, open_turn = NULL, file_size = 1"),
    () => rmSync(catalog),
  ];
  const withCatalog = (sql: string) => {
    const database = new DatabaseSync(catalog);
    database.exec(sql);
    database.close();
  };
  await first.close();
  for (const work of spoil) {
    work();
    const store = home.open();
    const [found, ...more] = (await store.list({ interrupted: true })).threads;
    assert.deepEqual([found?.threadId, found?.openTurn, more], [writer.threadId, { turnId }, []]);
    assert.deepEqual(
      (await store.list({ interrupted: false })).threads.map(({ threadId }) => threadId),
      [done.threadId],
    );
    await store.close();
  }
});
