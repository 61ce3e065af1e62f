/** Catalogs in folders of their own, and rows to put into them. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newThreadId, type ThreadId } from "../../src/protocol/ids.ts";
import { Catalog, type CatalogRow } from "../../src/store/file/catalog/catalog.ts";
import type { ThreadQuery } from "../../src/store/thread-store.ts";

export const inHome = async (body: (path: string) => void | Promise<void>): Promise<void> => {
  const home = mkdtempSync(join(tmpdir(), "skein-catalog-"));
  try {
    await body(join(home, "index", "catalog.sqlite"));
  } finally {
    rmSync(home, { recursive: true });
  }
};

type CatalogOptions = Parameters<typeof Catalog.open>[1];

export const inCatalog = (
  body: (catalog: Catalog, path: string) => void,
  options: CatalogOptions = {},
): Promise<void> =>
  inHome((path) => {
    const { catalog, fresh } = Catalog.open(path, options);
    assert.equal(fresh, true);
    try {
      body(catalog, path);
    } finally {
      catalog.close();
    }
  });

let clock = Date.UTC(2026, 0, 1);

export function rowOf(fields: Partial<CatalogRow> = {}): CatalogRow {
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
    originator: "skein",
    historyMode: "paginated",
    source: "cli",
    gitInfo: null,
    model: null,
    reasoningEffort: null,
    forkedFromId: null,
    parentThreadId: null,
    archived: false,
    interrupted: false,
    openTurn: null,
    baseThreadId: null,
    fileSize: 100,
    mtimeMs: 1234.5,
    searchText: "",
    ...fields,
  };
}

export const put = (catalog: Catalog, fields: Partial<CatalogRow> = {}): ThreadId => {
  const row = rowOf(fields);
  catalog.put([row]);
  return row.threadId;
};

export const idsOf = (catalog: Catalog, query?: ThreadQuery): ThreadId[] =>
  catalog.list(query).threads.map(({ threadId }) => threadId);

export function walk(catalog: Catalog, query: ThreadQuery): ThreadId[] {
  const found: ThreadId[] = [];
  for (let cursor: string | null | undefined; cursor !== null; ) {
    const page = catalog.list(cursor === undefined ? query : { ...query, cursor });
    assert.ok(page.threads.length <= (query.limit ?? 25));
    found.push(...page.threads.map(({ threadId }) => threadId));
    cursor = page.nextCursor;
  }
  return found;
}
