import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { newThreadId } from "../../src/protocol/ids.ts";
import { Catalog, isCatalogDamage } from "../../src/store/file/catalog/catalog.ts";
import { hasFullText, IN_MEMORY } from "../../src/store/file/catalog/database.ts";
import { idsOf, inCatalog, inHome, rowOf } from "./catalog-rows.ts";

test("a file that is no catalog, another version or cut short is replaced on opening", () =>
  inHome((path) => {
    const id = newThreadId();
    const makeOne = () => {
      const { catalog, fresh } = Catalog.open(path);
      catalog.put(Array.from({ length: 200 }, (_, n) => rowOf({ preview: `text ${n}` })));
      catalog.put([rowOf({ threadId: id })]);
      catalog.close();
      return fresh;
    };
    assert.equal(makeOne(), true);
    assert.equal(makeOne(), false);
    const spoil: [string, () => void][] = [
      ["garbage", () => writeFileSync(path, "this is no database, ".repeat(1000))],
      ["truncated", () => truncateSync(path, Math.floor(statSync(path).size / 2))],
      ["cut inside the header", () => truncateSync(path, 50)],
      ["empty", () => truncateSync(path, 0)],
      ["another version", () => withDatabase(path, (database) => database.exec("PRAGMA user_version = 999"))],
      [
        "somebody else's tables",
        () => {
          rmSync(path);
          withDatabase(path, (database) => database.exec("CREATE TABLE threads (x)"));
        },
      ],
      ["gone", () => rmSync(path)],
    ];
    if (hasFullText(new DatabaseSync(IN_MEMORY))) {
      spoil.push(["of a Node without FTS5", () => Catalog.open(path, { fullText: false }).catalog.close()]);
    }
    for (const [how, work] of spoil) {
      work();
      const { catalog, fresh } = Catalog.open(path);
      assert.equal(fresh, true, how);
      assert.equal(catalog.get(id), undefined, how);
      assert.deepEqual(catalog.list(), { threads: [], nextCursor: null }, how);
      catalog.put([rowOf({ threadId: id, preview: "back again" })]);
      assert.deepEqual(idsOf(catalog, { search: "again" }), [id], how);
      catalog.close();
      assert.equal(makeOne(), false, how);
    }
  }));

function withDatabase(path: string, work: (database: DatabaseSync) => void): void {
  const database = new DatabaseSync(path);
  work(database);
  database.close();
}

test("damage that shows only later says so, and the next catalog is a fresh one", () =>
  inHome((path) => {
    const first = Catalog.open(path).catalog;
    first.put(Array.from({ length: 3000 }, (_, n) => rowOf({ preview: `text ${n}` })));
    first.close();
    const bytes = readFileSync(path);
    bytes.fill(0x5a, 60 * 4096);
    writeFileSync(path, bytes);
    const { catalog, fresh } = Catalog.open(path);
    assert.equal(fresh, false);
    assert.throws(() => [...catalog.filePages(2)].flat(), isCatalogDamage);
    catalog.close();
    const next = Catalog.open(path);
    assert.equal(next.fresh, true);
    next.catalog.put([rowOf()]);
    assert.equal(next.catalog.list().threads.length, 1);
    next.catalog.close();
    assert.equal(isCatalogDamage(new Error("something else")), false);
    assert.equal(isCatalogDamage("text"), false);
  }));

test("a change that fails half-way changes nothing", () =>
  inCatalog((catalog) => {
    const [good, bad] = [rowOf(), rowOf()];
    assert.throws(() => catalog.put([good, { ...bad, fileSize: Number.NaN }]));
    assert.deepEqual(catalog.list().threads, []);
    catalog.put([good]);
    assert.deepEqual(idsOf(catalog), [good.threadId]);
  }));

test("importing the catalog loads no SQLite; opening one warns of nothing and leaves other warnings alone", () =>
  inHome((path) => {
    const module = fileURLToPath(new URL("../../src/store/file/catalog/catalog.ts", import.meta.url));
    const script = `
      const { Catalog } = await import(${JSON.stringify(module)});
      const loaded = process.moduleLoadList.some((name) => /sqlite/i.test(name));
      const { emitWarning } = process;
      Catalog.open(${JSON.stringify(path)}).catalog.close();
      if (process.emitWarning !== emitWarning) throw new Error("emitWarning was not put back");
      process.emitWarning("mind the gap");
      console.log(JSON.stringify({ loaded }));`;
    const args = ["--input-type=module", "-e", script];
    const { stdout, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
    assert.deepEqual(JSON.parse(stdout), { loaded: false });
    assert.doesNotMatch(stderr, /SQLite/);
    assert.match(stderr, /mind the gap/);
  }));

test("a catalog in memory makes no file", () => {
  Catalog.open(IN_MEMORY).catalog.close();
  assert.equal(existsSync(IN_MEMORY), false);
});
