/** What a list asks the file system for: counted, since a time says little on a busy machine. */
import assert from "node:assert/strict";
import { readdirSync, utimesSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { newThreadId } from "../../../src/protocol/ids.ts";
import { header, user } from "../../../src/store/contract/store-script.ts";
import { Catalog } from "../../../src/store/file/catalog/catalog.ts";
import { type FileSystem, nodeFileSystem } from "../../../src/store/file/file-system.ts";
import { TempHome } from "./temp-home.ts";

const THREADS = 60;
/** Folders of the year, the month and the day, the roots, notes and tombstones. */
const OTHERS = 16;

test("a list asks each file once where their folder has changed or it is the first; a later one asks no more than that", async () => {
  await using home = new TempHome();
  const asked = new Map<string, number>();
  const fileSystem = {
    ...nodeFileSystem,
    infoOf: (path: string) => {
      asked.set(path, (asked.get(path) ?? 0) + 1);
      return nodeFileSystem.infoOf(path);
    },
  };
  const writing = home.open();
  for (let n = 0; n < THREADS; n += 1) {
    const writer = await writing.create(header());
    writer.append(user(`thread ${n}`));
    await writer.close();
  }
  await writing.close();
  const day = dirname(home.rollouts()[0] ?? "");
  const reading = home.open({ fileSystem });
  const costOf = async () => {
    asked.clear();
    assert.equal((await reading.list({ limit: 100 })).threads.length, THREADS);
    const calls = [...asked.values()].reduce((sum, count) => sum + count, 0);
    await reading.rescan(); // so that nothing goes on in the background while the next one is counted
    return calls;
  };
  const costs = { first: await costOf(), next: await costOf() };
  utimesSync(day, new Date(), new Date());
  const changed = await costOf();
  for (const [when, calls] of Object.entries({ ...costs, changed }))
    assert.ok(calls <= THREADS + OTHERS, `${when}: ${calls} calls`);
});

/** A disk, and which threads' files were opened there to be read. */
function watchedReads(): { readonly opened: string[]; readonly fileSystem: FileSystem } {
  const opened: string[] = [];
  const open: FileSystem["open"] = (path, how) => {
    if (how === "read" && path.endsWith(".jsonl")) opened.push(path);
    return nodeFileSystem.open(path, how);
  };
  return { opened, fileSystem: { ...nodeFileSystem, open } };
}

test("a list opens no file of threads that the store itself has made, though nothing was said in them yet", async () => {
  await using home = new TempHome();
  const { opened, fileSystem } = watchedReads();
  const store = home.open({ fileSystem });
  await store.list();
  await store.rescan();
  const writers = await Promise.all([1, 2, 3].map(() => store.create(header())));
  assert.equal((await store.list()).threads.length, writers.length);
  assert.deepEqual(opened, []);
  await Promise.all(writers.map((writer) => writer.close()));
  await store.close();
  assert.equal((await home.open({ fileSystem }).list()).threads.length, writers.length);
  assert.deepEqual(opened, [], "and the next store finds them in the catalog");
});

test("a list opens no file of a thread that was archived or brought back here", async () => {
  await using home = new TempHome();
  const { opened, fileSystem } = watchedReads();
  const store = home.open({ fileSystem });
  const writer = await store.create(header());
  writer.append(user("x"));
  await writer.close();
  const listed = async (archived: boolean) => (await store.list({ archived })).threads.map(({ threadId }) => threadId);
  assert.deepEqual(await listed(false), [writer.threadId]);
  await store.rescan();
  opened.length = 0;
  for (const archived of [true, false]) {
    await (archived ? store.archive(writer.threadId) : store.unarchive(writer.threadId));
    assert.deepEqual([await listed(archived), await listed(!archived)], [[writer.threadId], []]);
    await store.rescan();
  }
  assert.deepEqual(opened, []);
});

test("the catalog's files: those that lie in a folder itself, all of them by pages, the newest ones as they are now", async () => {
  await using home = new TempHome();
  const writing = home.open();
  for (let n = 0; n < 7; n += 1) await (await writing.create(header())).close();
  await writing.list();
  await writing.close();
  const path = join(home.path, "catalog.sqlite");
  const { catalog } = Catalog.open(path);
  const day = dirname(home.rollouts()[0] ?? "");
  assert.equal(catalog.filesIn(day).length, 7);
  for (const above of [dirname(day), join(home.path, "sessions"), `${day}/deeper`])
    assert.deepEqual(catalog.filesIn(above), []);
  for (const size of [1, 3, 7, 100]) {
    const pages = [...catalog.filePages(size)];
    assert.ok(pages.every(({ length }) => length <= size));
    assert.deepEqual(
      pages.flat(),
      [...catalog.filePages(2)].flat().toSorted((a, b) => (a.threadId < b.threadId ? -1 : 1)),
    );
  }
  const newest = catalog.newestFiles(3);
  assert.equal(catalog.newestFiles(3), newest, "nothing has changed");
  const [row] = newest;
  assert.ok(row);
  const { catalog: other } = Catalog.open(path);
  other.remove(row.threadId);
  assert.ok(
    !catalog.newestFiles(3).some(({ threadId }) => threadId === row.threadId),
    "another process's change is seen",
  );
  const left = catalog.newestFiles(9).length;
  catalog.remove(catalog.newestFiles(9)[0]?.threadId ?? newThreadId());
  assert.equal(catalog.newestFiles(9).length, left - 1, "so is this one's");
  other.close();
  catalog.close();
  assert.ok(readdirSync(day).length === 7);
});
