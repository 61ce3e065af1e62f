import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { newThreadId, type ThreadId } from "../../src/protocol/ids.ts";
import type { SessionSource } from "../../src/protocol/session-source.ts";
import { Catalog, type CatalogRow, isCatalogDamage } from "../../src/store/catalog.ts";
import { COUNT_FOUND, listStatements, NEWEST_FOUND } from "../../src/store/catalog-list.ts";
import { comparePlaces, matchesFilters, matchesSearch, planList, wordsOf } from "../../src/store/thread-query.ts";
import type { ThreadQuery } from "../../src/store/thread-store.ts";
import { planOf } from "./query-plan.ts";

const inHome = async (body: (path: string) => void | Promise<void>): Promise<void> => {
  const home = mkdtempSync(join(tmpdir(), "skein-catalog-"));
  try {
    await body(join(home, "index", "catalog.sqlite"));
  } finally {
    rmSync(home, { recursive: true });
  }
};

const inCatalog = (body: (catalog: Catalog, path: string) => void): Promise<void> =>
  inHome((path) => {
    const { catalog, fresh } = Catalog.open(path);
    assert.equal(fresh, true);
    try {
      body(catalog, path);
    } finally {
      catalog.close();
    }
  });

let clock = Date.UTC(2026, 0, 1);

function rowOf(fields: Partial<CatalogRow> = {}): CatalogRow {
  clock += 1000;
  return {
    threadId: newThreadId(),
    rolloutPath: "/home/sessions/rollout.jsonl",
    createdAt: clock,
    updatedAt: clock,
    preview: "",
    name: null,
    cwd: "/work",
    modelProvider: "openai",
    cliVersion: "0.1.0",
    source: "cli",
    gitInfo: null,
    forkedFromId: null,
    parentThreadId: null,
    archived: false,
    baseThreadId: null,
    fileSize: 100,
    mtimeMs: 1234.5,
    searchText: "",
    ...fields,
  };
}

const put = (catalog: Catalog, fields: Partial<CatalogRow> = {}): ThreadId => {
  const row = rowOf(fields);
  catalog.put([row]);
  return row.threadId;
};

const idsOf = (catalog: Catalog, query?: ThreadQuery): ThreadId[] =>
  catalog.list(query).threads.map(({ threadId }) => threadId);

function walk(catalog: Catalog, query: ThreadQuery): ThreadId[] {
  const found: ThreadId[] = [];
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page = catalog.list(cursor === undefined ? query : { ...query, cursor });
    assert.ok(page.threads.length <= (query.limit ?? 25));
    found.push(...page.threads.map(({ threadId }) => threadId));
    cursor = page.nextCursor;
  }
  return found;
}

test("a row comes back as it was put, also by another process, and is replaced by the next", () =>
  inCatalog((catalog, path) => {
    const row = rowOf({
      name: "a name",
      preview: "p\u0000q é 🚀",
      source: { subagent: { thread_spawn: { parent_thread_id: newThreadId(), depth: 2, agent_nickname: "Ada" } } },
      gitInfo: { sha: "c0ffee", branch: null, originUrl: "https://example.org" },
      forkedFromId: newThreadId(),
      parentThreadId: newThreadId(),
      baseThreadId: newThreadId(),
      searchText: "p and more",
    });
    const bare = rowOf({ rolloutPath: null, modelProvider: null, createdAt: 0 });
    catalog.put([row, bare]);
    const other = Catalog.open(path);
    assert.equal(other.fresh, false);
    for (const { catalog: at } of [{ catalog }, other]) {
      assert.deepEqual(at.get(row.threadId), row);
      assert.deepEqual(at.get(bare.threadId), bare);
      assert.equal(at.get(newThreadId()), undefined);
    }
    const { searchText: _same, ...changed } = { ...row, updatedAt: row.updatedAt + 5, createdAt: 7, name: null };
    other.catalog.put([changed]);
    assert.deepEqual(catalog.get(row.threadId), { ...changed, searchText: "p and more" });
    assert.deepEqual(
      catalog.files().sort((a, b) => (a.threadId < b.threadId ? -1 : 1)),
      [changed, bare]
        .map(({ threadId, rolloutPath, archived, fileSize, mtimeMs }) => ({
          threadId,
          rolloutPath,
          archived,
          fileSize,
          mtimeMs,
        }))
        .sort((a, b) => (a.threadId < b.threadId ? -1 : 1)),
    );
    other.catalog.close();
  }));

test("growth changes times and size alone, and makes no rows", () =>
  inCatalog((catalog) => {
    const [older, old] = [rowOf(), rowOf()];
    catalog.put([older, old]);
    const growth = { threadId: older.threadId, updatedAt: clock + 9, fileSize: 200, mtimeMs: 2.25 };
    catalog.grow([growth, { ...growth, threadId: newThreadId() }]);
    assert.deepEqual(catalog.get(older.threadId), { ...older, ...growth });
    assert.equal(catalog.files().length, 2);
    assert.deepEqual(idsOf(catalog, { orderBy: "updatedAt" }), [older.threadId, old.threadId]);
    assert.deepEqual(idsOf(catalog), [old.threadId, older.threadId]);
  }));

const WORDS = ["fence", "gate", "mend", "paint", "Café", "東京", "fen"];
const CWDS = ["/a", "/b"];
const PARENTS = [newThreadId(), newThreadId()];
const SOURCES: SessionSource[] = ["cli", "vscode", "exec", { subagent: "review" }, { subagent: { other: "x" } }];

const text = fc.array(fc.constantFrom(...WORDS), { maxLength: 4 }).map((words) => words.join(" "));
const rows = fc.array(
  fc.record({
    createdAt: fc.integer({ min: -2, max: 12 }),
    updatedAt: fc.integer({ min: 0, max: 12 }),
    preview: text,
    name: fc.option(text),
    searchText: text,
    cwd: fc.constantFrom(...CWDS),
    modelProvider: fc.constantFrom("a", "b", null),
    source: fc.constantFrom(...SOURCES),
    archived: fc.boolean(),
    parentThreadId: fc.constantFrom(null, null, ...PARENTS),
    forkedFromId: fc.constantFrom(null, null, ...PARENTS),
  }),
  { maxLength: 40 },
);
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 2 });
const queries = fc.array(
  fc.record({
    limit: fc.integer({ min: 1, max: 6 }),
    orderBy: maybe(fc.constantFrom("createdAt" as const, "updatedAt" as const)),
    cwd: maybe(fc.constantFrom(...CWDS, "/none")),
    modelProviders: maybe(fc.subarray(["a", "b", "c"])),
    sourceKinds: maybe(fc.subarray(["cli", "exec", "subagent", "unknown"])),
    archived: maybe(fc.boolean()),
    parentThreadId: maybe(fc.constantFrom(...PARENTS)),
    forkedFromId: maybe(fc.constantFrom(...PARENTS)),
    search: fc.option(fc.constantFrom("fence", "fen", "mend fence", "fence-gate", "cafe", "京", "?", "mend paint g"), {
      nil: undefined,
    }),
  }),
  { minLength: 1, maxLength: 12 },
);

/** Leaves out what is undefined, as callers do. */
const given = (query: object): ThreadQuery =>
  Object.fromEntries(Object.entries(query).filter(([, value]) => value !== undefined));

test("any query over any rows gives what a look at every row gives, page by page", () =>
  inCatalog((catalog) => {
    fc.assert(
      fc.property(rows, queries, (fields, asked) => {
        for (const { threadId } of catalog.files()) catalog.remove(threadId);
        const all = fields.map((some) => rowOf(some));
        catalog.put(all);
        for (const query of asked.map(given)) {
          const plan = planList(query);
          const { search } = plan;
          const expected = all
            .filter((row) => matchesFilters(plan, row))
            .filter(
              (row) =>
                search === undefined ||
                matchesSearch(search, wordsOf(`${row.name ?? ""}\n${row.preview}\n${row.searchText}`)),
            )
            .map((row) => ({ at: row[plan.orderBy], threadId: row.threadId }))
            .sort(comparePlaces)
            .map(({ threadId }) => threadId);
          assert.deepEqual(walk(catalog, query), expected);
        }
      }),
      { numRuns: 150 },
    );
  }));

test("pages neither repeat nor lose what stands while rows come, go and change", () =>
  inCatalog((catalog) => {
    const standing = Array.from({ length: 60 }, () => rowOf({ preview: "standing fence" }));
    catalog.put(standing);
    for (const query of [
      { limit: 7 },
      { limit: 7, search: "fence" },
      { limit: 7, cwd: "/work", sourceKinds: ["cli"] },
    ]) {
      const seen: ThreadId[] = [];
      for (let cursor: string | null | undefined; cursor !== null; ) {
        const page = catalog.list(cursor === undefined ? query : { ...query, cursor });
        seen.push(...page.threads.map(({ threadId }) => threadId));
        cursor = page.nextCursor;
        put(catalog, { preview: "newer fence" });
        const passing = put(catalog, { preview: "fence", createdAt: (standing[30]?.createdAt ?? 0) + 1 });
        catalog.grow(standing.map((row) => ({ ...row, updatedAt: row.updatedAt + seen.length })));
        if (seen.at(-1) === passing) catalog.remove(passing);
      }
      assert.deepEqual(
        seen.filter((id) => standing.some(({ threadId }) => threadId === id)),
        standing.map(({ threadId }) => threadId).reverse(),
      );
      assert.equal(new Set(seen).size, seen.length);
    }
  }));

test("a search follows the name, the preview, the text and the archive", () =>
  inCatalog((catalog) => {
    const id = put(catalog, { preview: "mend the fence", searchText: "mend the fence\nand the gate" });
    const finds = (search: string, query: ThreadQuery = {}) => idsOf(catalog, { search, ...query }).includes(id);
    assert.deepEqual([finds("fence"), finds("gate"), finds("name")], [true, true, false]);
    assert.equal(catalog.rename(id, "its name"), true);
    assert.deepEqual([finds("name"), finds("gate")], [true, true]);
    catalog.rename(id, null);
    assert.deepEqual([finds("name"), finds("gate")], [false, true]);
    assert.equal(catalog.setArchived(id, true, "/elsewhere"), true);
    assert.equal(catalog.get(id)?.rolloutPath, "/elsewhere");
    assert.deepEqual([finds("gate"), finds("gate", { archived: true })], [false, true]);
    catalog.setArchived(id, false, null);
    const row = catalog.get(id);
    assert.ok(row);
    catalog.put([{ ...row, preview: "other", searchText: "other" }]);
    assert.deepEqual([finds("fence"), finds("other")], [false, true]);
    catalog.put([{ ...row, preview: "", searchText: "" }]);
    assert.deepEqual([finds("other"), idsOf(catalog)], [false, [id]]);
    assert.equal(catalog.remove(id), true);
    assert.deepEqual(
      [catalog.remove(id), catalog.rename(id, "x"), catalog.setArchived(id, true, null)],
      [false, false, false],
    );
  }));

test("many finds in the order of changes are walked, few are sorted; both give the same", () =>
  inCatalog((catalog) => {
    const many = Array.from({ length: 2100 }, (_, n) =>
      rowOf({
        preview: n % 3 === 0 ? "common rare" : "common",
        updatedAt: (n * 7919) % 2100,
        cwd: n % 2 === 0 ? "/even" : "/odd",
      }),
    );
    catalog.put(many);
    const newest = (wanted: (row: CatalogRow) => boolean) =>
      many
        .filter(wanted)
        .map((row) => ({ at: row.updatedAt, threadId: row.threadId }))
        .sort(comparePlaces)
        .slice(0, 100)
        .map(({ threadId }) => threadId);
    const query = { orderBy: "updatedAt" as const, limit: 100 };
    assert.deepEqual(
      idsOf(catalog, { ...query, search: "common" }),
      newest(() => true),
    );
    assert.deepEqual(
      idsOf(catalog, { ...query, search: "rare" }),
      newest(({ preview }) => preview.includes("rare")),
    );
    assert.deepEqual(
      idsOf(catalog, { ...query, search: "common", cwd: "/odd" }),
      newest(({ cwd }) => cwd === "/odd"),
    );
    assert.equal(new Set(walk(catalog, { ...query, search: "common" })).size, 2100);
  }));

test("lineage goes through threads that are gone; who inherits is told apart from who was forked", () =>
  inCatalog((catalog) => {
    const root = put(catalog);
    const a = put(catalog, { forkedFromId: root, baseThreadId: root });
    const b = put(catalog, { forkedFromId: root, baseThreadId: root });
    const aa = put(catalog, { forkedFromId: a, baseThreadId: a });
    const ab = put(catalog, { forkedFromId: a, baseThreadId: root });
    const aaa = put(catalog, { forkedFromId: aa, baseThreadId: aa });
    assert.deepEqual(catalog.children(root), [a, b]);
    assert.deepEqual(catalog.descendants(root), [a, b, aa, ab, aaa]);
    assert.deepEqual(catalog.inheritors(root), [a, b, ab].sort());
    assert.deepEqual(catalog.inheritors(aaa), []);
    catalog.remove(a);
    catalog.remove(aa);
    assert.deepEqual(catalog.descendants(root), [b, ab, aaa]);
    assert.deepEqual(catalog.descendants(aaa), []);
    catalog.put([rowOf({ threadId: a, forkedFromId: root })]);
    assert.deepEqual(catalog.descendants(root), [b, a, ab, aaa]);
  }));

test("anchors of a removed thread stay as long as others inherit from them", () =>
  inCatalog((catalog) => {
    const root = put(catalog);
    const fork = put(catalog, { forkedFromId: root, baseThreadId: root });
    const base = { threadId: root, end: { ordinal: 0, byteOffset: 0 } };
    assert.equal(catalog.anchors.fold(root, null).save(), true);
    assert.equal(catalog.anchors.fold(fork, base).save(), true);
    catalog.remove(root);
    assert.ok(catalog.anchors.indexedThrough(root));
    catalog.remove(fork);
    assert.equal(catalog.anchors.indexedThrough(fork), undefined);
    assert.equal(catalog.anchors.indexedThrough(root), undefined);
  }));

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
    assert.throws(() => catalog.files(), isCatalogDamage);
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

test("every list is one range of one index in its own order, and searches begin in the posting lists", () =>
  inCatalog((catalog, path) => {
    catalog.put([rowOf()]);
    const filters: ThreadQuery[] = [
      {},
      { archived: true },
      { cwd: "/work" },
      { modelProviders: ["a", "b"] },
      { sourceKinds: ["cli", "subagent"] },
      { cwd: "/work", modelProviders: ["a"], sourceKinds: ["cli"] },
      { parentThreadId: newThreadId() },
      { forkedFromId: newThreadId() },
    ];
    for (const filter of filters) {
      for (const orderBy of ["createdAt", "updatedAt"] as const) {
        for (const cursor of [undefined, `2026-01-01T00:00:00.000Z|${newThreadId()}`]) {
          const query = { ...filter, orderBy, ...(cursor === undefined ? {} : { cursor }) };
          for (const { sql } of listStatements(planList(query))) {
            const plan = planOf(path, sql);
            assert.equal(plan.length, 1, `${sql}: ${plan.join("; ")}`);
            const place = cursor === undefined ? "=?)" : `(${orderBy.slice(0, -2)},id)<(?,?))`;
            assert.ok(plan[0]?.startsWith("SEARCH threads USING INDEX threads_") && plan[0].endsWith(place), plan[0]);
          }
        }
      }
    }
    assert.deepEqual(
      planOf(path, NEWEST_FOUND).map((step) => step.replace(/INDEX \S+$/, "INDEX")),
      ["SCAN words VIRTUAL TABLE INDEX", "SEARCH threads USING INTEGER PRIMARY KEY (rowid=?)"],
    );
    assert.ok(planOf(path, COUNT_FOUND).some((step) => /SCAN words VIRTUAL TABLE INDEX/.test(step)));
  }));

test("importing the catalog loads no SQLite; opening one warns of nothing and leaves other warnings alone", () =>
  inHome((path) => {
    const module = fileURLToPath(new URL("../../src/store/catalog.ts", import.meta.url));
    const script = `
      const { Catalog } = await import(${JSON.stringify(module)});
      const loaded = process.moduleLoadList.some((name) => /sqlite/i.test(name));
      const { emitWarning } = process;
      Catalog.open(${JSON.stringify(path)}).catalog.close();
      if (process.emitWarning !== emitWarning) throw new Error("emitWarning was not put back");
      process.emitWarning("mind the gap");
      console.log(JSON.stringify({ loaded }));`;
    const stderr = join(path, "..", "..", "stderr.txt");
    const run = `${JSON.stringify(process.execPath)} --input-type=module -e ${quoted(script)} 2> ${quoted(stderr)}`;
    assert.deepEqual(JSON.parse(execFileSync("/bin/sh", ["-c", run], { encoding: "utf8" })), { loaded: false });
    const warnings = readFileSync(stderr, "utf8");
    assert.doesNotMatch(warnings, /SQLite/);
    assert.match(warnings, /mind the gap/);
  }));

const quoted = (words: string): string => `'${words.replaceAll("'", `'\\''`)}'`;
