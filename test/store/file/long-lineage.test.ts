/** Forks of forks of forks, which no catalog knows: what a list and a check read grows with the files, not with their square. */
import assert from "node:assert/strict";
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { StoreIoError } from "../../../src/protocol/errors.ts";
import { addTurn, forkAt, header, storedThread, user } from "../../../src/store/contract/store-script.ts";
import { Lineages } from "../../../src/store/file/care/lineages.ts";
import { verifyHome } from "../../../src/store/file/care/verify.ts";
import { type FileSystem, nodeFileSystem } from "../../../src/store/file/file-system.ts";
import { Layout } from "../../../src/store/file/layout.ts";
import { HistoryReader } from "../../../src/store/file/rollout/history-reader.ts";
import { RolloutLocator } from "../../../src/store/file/rollout-locator.ts";
import { countLoopTurns } from "../../kernel/loop-turns.ts";
import { TempHome } from "./temp-home.ts";

const FORKS = 300;
/** Of each file its head, its end, its lines and what its heirs ask of it. */
const OPENS_EACH = 16;

function counting(): { fileSystem: FileSystem; opens: () => number } {
  let opens = 0;
  const fileSystem = Object.assign(Object.create(nodeFileSystem) as FileSystem, {
    open: (...args: Parameters<FileSystem["open"]>) => {
      opens += 1;
      return nodeFileSystem.open(...args);
    },
  });
  return { fileSystem, opens: () => opens };
}

/** A disk that keeps the thread for longer than the loop may be kept, each time that a file is opened. */
const slow: FileSystem = Object.assign(Object.create(nodeFileSystem) as FileSystem, {
  open: (...args: Parameters<FileSystem["open"]>) => {
    const until = performance.now() + 11;
    while (performance.now() < until);
    return nodeFileSystem.open(...args);
  },
});

function forgetCatalog(home: TempHome): void {
  for (const name of readdirSync(home.path)) if (name.startsWith("catalog.sqlite")) rmSync(join(home.path, name));
}

test(`a lineage of ${FORKS} files that no catalog knows is listed, and checked, by reading each a few times`, async () => {
  await using home = new TempHome();
  const before = home.open();
  let { id } = await storedThread(before, ["the first words"]);
  const root = id;
  for (let n = 1; n < FORKS; n += 1) {
    id = await forkAt(before, id, "full", (writer) => writer.append(user(`fork ${n}`)));
    if (n === FORKS - 2) await before.rename(id, "named");
  }
  await before.list();
  await before.close();
  forgetCatalog(home);

  const listing = counting();
  const after = home.open({ fileSystem: listing.fileSystem });
  const { threads } = await after.list({ limit: 100 });
  assert.equal(threads.length, 100);
  assert.ok(threads.every(({ preview }) => preview === "the first words"));
  assert.deepEqual((await after.list({ search: "fork 7" })).threads.length, 25);
  assert.equal((await after.descendants(root)).length, FORKS - 1);
  assert.ok(listing.opens() < OPENS_EACH * FORKS, `${listing.opens()} files were opened`);
  await after.close();

  const checking = counting();
  const { faults, files } = await verifyHome({ home: home.path, fileSystem: checking.fileSystem });
  assert.deepEqual([faults, files], [[], FORKS]);
  assert.ok(checking.opens() < OPENS_EACH * FORKS, `${checking.opens()} files were opened`);
});

test("the loop turns before each ancestor of a long lineage whose files are slow to open", async () => {
  await using home = new TempHome();
  const store = home.open();
  const ancestors = 8;
  let { id } = await storedThread(store, ["the first words"]);
  for (let n = 0; n < ancestors; n += 1)
    id = await forkAt(store, id, "full", (writer) => writer.append(user(`fork ${n}`)));
  await store.close();

  const locator = new RolloutLocator(slow, new Layout(home.path), () => undefined);
  // A file whose place is known is found without a turn: those that are counted are the lineage's own.
  for await (const { files } of locator.walk()) {
    for (const { path, name } of files) locator.remember(name.fileId, path);
  }
  const reader = new HistoryReader(slow, locator, () => assert.fail("nothing is wrong"));
  const head = reader.head((await locator.findThread(id)) ?? assert.fail("it is there"));
  const counted = countLoopTurns();
  const lineage = await new Lineages(reader).of(head);
  assert.deepEqual(lineage, { depth: ancestors, isWhole: true });
  const turns = counted.stop();
  assert.ok(turns >= ancestors, `the loop turned ${turns} times`);
});

test("a catalog that another program holds is told by a typed error of the check", async () => {
  await using home = new TempHome();
  const store = home.open();
  const writer = await store.create(header());
  addTurn(writer, "x");
  await writer.close();
  await store.list();
  await store.close();
  const other = new DatabaseSync(join(home.path, "catalog.sqlite"));
  other.exec("BEGIN EXCLUSIVE");
  await assert.rejects(verifyHome({ home: home.path }), (error) => {
    assert.ok(error instanceof StoreIoError);
    assert.match(error.message, /no other program holds it/);
    return true;
  });
  other.exec("ROLLBACK");
  other.close();
  assert.deepEqual((await verifyHome({ home: home.path })).faults, []);
});
