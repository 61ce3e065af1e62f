import assert from "node:assert/strict";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import fc from "fast-check";
import { newThreadId, newTurnId, type ThreadId } from "../../src/protocol/ids.ts";
import type { SessionSource } from "../../src/protocol/session-source.ts";
import { Catalog, type CatalogRow } from "../../src/store/file/catalog/catalog.ts";
import { hasFullText, IN_MEMORY } from "../../src/store/file/catalog/database.ts";
import { COUNT_FOUND, listStatements, NEWEST_FOUND } from "../../src/store/file/catalog/list.ts";
import { comparePlaces, matchesFilters, matchesSearch, planList, wordsOf } from "../../src/store/thread-query.ts";
import type { ThreadQuery } from "../../src/store/thread-store.ts";
import { idsOf, inCatalog, put, rowOf, walk } from "./catalog-rows.ts";
import { planOf } from "./query-plan.ts";

test("a row comes back as it was put, also by another process, and is replaced by the next", () =>
  inCatalog((catalog, path) => {
    const row = rowOf({
      name: "a name",
      preview: "p q é 🚀",
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
      [...catalog.filePages(2)].flat().sort((a, b) => (a.threadId < b.threadId ? -1 : 1)),
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

test("growth changes times, size and the last turn alone, and makes no rows", () =>
  inCatalog((catalog) => {
    const [older, old] = [rowOf(), rowOf()];
    catalog.put([older, old]);
    const growth = {
      threadId: older.threadId,
      updatedAt: old.updatedAt + 9,
      fileSize: 200,
      mtimeMs: 2.25,
      interrupted: true,
      openTurn: { turnId: newTurnId() },
    };
    catalog.grow([growth, { ...growth, threadId: newThreadId() }]);
    assert.deepEqual(catalog.get(older.threadId), { ...older, ...growth });
    assert.equal([...catalog.filePages(2)].flat().length, 2);
    assert.deepEqual(idsOf(catalog, { orderBy: "updatedAt" }), [older.threadId, old.threadId]);
    assert.deepEqual(idsOf(catalog, { interrupted: true }), [older.threadId]);
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
    modelProviders: maybe(fc.subarray(["a", "b", "c", null])),
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

function comparesWithEveryRow(catalog: Catalog): void {
  fc.assert(
    fc.property(rows, queries, (fields, asked) => {
      for (const { threadId } of [...catalog.filePages(2)].flat()) catalog.remove(threadId);
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
}

test("any query over any rows gives what a look at every row gives, page by page", () =>
  inCatalog(comparesWithEveryRow));

test("it does so without FTS5 as well", () => inCatalog(comparesWithEveryRow, { fullText: false }));

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

function searches(catalog: Catalog): void {
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
}

test("a search follows the name, the preview, the text and the archive", () => inCatalog(searches));

test("without FTS5 it does too", () => inCatalog(searches, { fullText: false }));

test("what is found far from the newest is walked when it is much, else sorted; in every order", () =>
  inCatalog((catalog) => {
    const newer = Array.from({ length: 600 }, (_, n) =>
      rowOf({
        preview: n % 120 === 0 ? "common else" : "else",
        createdAt: 1e6 + n,
        updatedAt: 1e6 + n,
        modelProvider: n % 2 === 0 ? "a" : "b",
      }),
    );
    const older = Array.from({ length: 2100 }, (_, n) =>
      rowOf({
        preview: n % 3 === 0 ? "common rare" : "common",
        createdAt: (n * 31) % 70,
        updatedAt: (n * 7919) % 2100,
        cwd: n % 2 === 0 ? "/even" : "/odd",
      }),
    );
    const all = [...newer, ...older];
    catalog.put(all.toSorted((a, b) => (a.threadId.slice(-12) < b.threadId.slice(-12) ? -1 : 1)));
    for (const orderBy of ["createdAt", "updatedAt"] as const) {
      const inOrder = (wanted: (row: CatalogRow) => boolean) =>
        all
          .filter(wanted)
          .map((row) => ({ at: row[orderBy], threadId: row.threadId }))
          .sort(comparePlaces)
          .map(({ threadId }) => threadId);
      const searches = (query: ThreadQuery) => walk(catalog, { ...query, orderBy, limit: 100 });
      const common = inOrder(({ preview }) => preview.includes("common"));
      assert.deepEqual(searches({ search: "common" }), common);
      assert.deepEqual(searches({ search: "common", sourceKinds: ["cli", "exec"] }), common);
      assert.deepEqual(
        searches({ search: "rare" }),
        inOrder(({ preview }) => preview.includes("rare")),
      );
      assert.deepEqual(
        searches({ search: "com", cwd: "/odd" }),
        inOrder(({ cwd }) => cwd === "/odd"),
      );
      const both = { search: "else", modelProviders: ["a", "b"] };
      assert.deepEqual(
        searches(both),
        inOrder(({ preview }) => preview.includes("else")),
      );
    }
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

test("every list is one range of one index in its own order, and searches begin in the posting lists", () =>
  inCatalog((catalog, path) => {
    catalog.put([rowOf()]);
    const filters: ThreadQuery[] = [
      {},
      { archived: true },
      { interrupted: true },
      { interrupted: true, cwd: "/work", parentThreadId: newThreadId() },
      { interrupted: false },
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
    if (!hasFullText(new DatabaseSync(IN_MEMORY))) return;
    assert.deepEqual(
      planOf(path, NEWEST_FOUND).map((step) => step.replace(/INDEX \S+$/, "INDEX")),
      ["SCAN postings VIRTUAL TABLE INDEX", "SEARCH threads USING INTEGER PRIMARY KEY (rowid=?)"],
    );
    assert.ok(planOf(path, COUNT_FOUND).some((step) => /SCAN postings VIRTUAL TABLE INDEX/.test(step)));
  }));
