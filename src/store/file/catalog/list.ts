/**
 * Lists and searches. Without a search a list is one range of one index, or a few that are merged.
 *
 * A search first looks through the newest threads of its list: what is common is found there. What is rare is found by
 * the posting lists: in the order of creation from the newest on, in the order of changes all at once, sorted while that
 * is little. Without FTS5 a search looks through all threads of its list.
 */

import {
  comparePlaces,
  type ListPlan,
  matchesFilters,
  type PagePlace,
  phraseOf,
  planList,
  writeCursor,
} from "../../thread-query.ts";
import type { StoredThread, ThreadPage, ThreadQuery } from "../../thread-store.ts";
import type { CatalogDatabase, SqlRow, SqlValue } from "./database.ts";
import { providerTag, ROW_COLUMNS, tag, threadOf } from "./row.ts";
import { CREATED_SHIFT } from "./schema.ts";

/** Up to so many finds are sorted. */
const FEW = 2000;
/** So many of the newest threads are looked through. */
const NEAR = 500;

const COLUMN = { createdAt: "created", updatedAt: "updated" } as const;

type Condition = { readonly sql: string; readonly values: readonly SqlValue[] };
/** One range of an index. */
type Arm = { readonly index: string; readonly range: readonly Condition[] };
type Found = PagePlace & { readonly thread: StoredThread };

/** @throws InvalidRequestError for a cursor that no page gave out. */
export function listThreads(database: CatalogDatabase, query?: ThreadQuery): ThreadPage {
  const plan = planList(query);
  const found = findAll(database, plan).sort(comparePlaces);
  const shown = found.slice(0, plan.limit);
  const end = found.length > plan.limit ? shown.at(-1) : undefined;
  return { threads: shown.map(({ thread }) => thread), nextCursor: end === undefined ? null : writeCursor(end) };
}

/** At least the page's threads and the one after it, in any order. */
function findAll(database: CatalogDatabase, plan: ListPlan): Found[] {
  if (plan.search === undefined) return listed(database, plan, []);
  if (plan.search.some((words) => words.length === 0)) return [];
  const held = plan.search.map(holds);
  if (!database.fullText) return listed(database, plan, held);
  const match = matchOf(plan, plan.search);
  if (match === undefined) return [];
  const near = foundNear(database, plan, held);
  if (near.length > plan.limit) return near;
  if (plan.orderBy === "createdAt") return newestOf(database, plan, match);
  if (isMany(database, match)) {
    return listed(database, plan, [
      { sql: "n IN (SELECT rowid FROM postings WHERE postings MATCH ?)", values: [match] },
    ]);
  }
  return sorted(database, plan, match);
}

/** The words are kept with a blank before each, so a phrase whose last word is cut short is a part of them. */
const holds = (words: readonly string[]): Condition => ({
  sql: "(SELECT instr(word, ?) FROM words WHERE words.n = threads.n) > 0",
  values: [phraseOf(words)],
});

function placed({ paths }: CatalogDatabase, plan: ListPlan, row: SqlRow): Found {
  const thread = threadOf(row, paths);
  return { at: thread[plan.orderBy], threadId: thread.threadId, thread };
}

function listed(database: CatalogDatabase, plan: ListPlan, extra: readonly Condition[]): Found[] {
  return armsOf(plan).flatMap((arm) => {
    const { sql, values } = statementOf(plan, arm, extra);
    return database.all(sql, ...values).map((row) => placed(database, plan, row));
  });
}

/** The plan's queries; for a check that each is a range of its index. */
export const listStatements = (plan: ListPlan): Condition[] => armsOf(plan).map((arm) => statementOf(plan, arm, []));

function statementOf(plan: ListPlan, arm: Arm, extra: readonly Condition[]): Condition {
  const { sql, values } = rangeOf(ROW_COLUMNS, plan, arm, extra);
  return { sql, values: [...values, plan.limit + 1] };
}

function rangeOf(columns: string, plan: ListPlan, arm: Arm, extra: readonly Condition[]): Condition {
  const conditions = [...arm.range, ...restOf(plan, arm), ...extra, ...placeAfter(plan)];
  const where = conditions.map(({ sql }) => sql).join(" AND ");
  return {
    sql: `SELECT ${columns} FROM threads INDEXED BY ${arm.index} WHERE ${where} ORDER BY ${orderOf(plan)} LIMIT ?`,
    values: conditions.flatMap(({ values }) => values),
  };
}

const orderOf = (plan: ListPlan): string => `${COLUMN[plan.orderBy]} DESC, id DESC`;

/** What is found among the newest threads of a list that is one range; all that is found is in its right order. */
function foundNear(database: CatalogDatabase, plan: ListPlan, held: readonly Condition[]): Found[] {
  const [arm, ...others] = armsOf(plan);
  if (arm === undefined || others.length > 0) return [];
  const newest = rangeOf("n AS near", plan, arm, []);
  const sql = `SELECT ${ROW_COLUMNS} FROM (${newest.sql}) CROSS JOIN threads ON n = near
    WHERE ${held.map((condition) => condition.sql).join(" AND ")} ORDER BY ${orderOf(plan)} LIMIT ?`;
  const values = [...newest.values, NEAR, ...held.flatMap((condition) => condition.values), plan.limit + 1];
  return database.all(sql, ...values).map((row) => placed(database, plan, row));
}

const placeAfter = (plan: ListPlan): Condition[] =>
  plan.after === undefined
    ? []
    : [{ sql: `(${COLUMN[plan.orderBy]}, id) < (?, ?)`, values: [plan.after.at, plan.after.threadId] }];

const equals = (column: string, value: SqlValue): Condition =>
  value === null ? { sql: `${column} IS NULL`, values: [] } : { sql: `${column} = ?`, values: [value] };

const oneOf = (column: string, values: readonly (string | null)[]): Condition => {
  const named = values.filter((value) => value !== null);
  const isNamed = `${column} IN (${named.map(() => "?").join(", ")})`;
  return { sql: values.includes(null) ? `(${isNamed} OR ${column} IS NULL)` : isNamed, values: named };
};

/** A literal, so that the index of those alone can be used. */
const INTERRUPTED: Condition = { sql: "interrupted = 1", values: [] };

/** The narrowest index that the plan has a use for. */
function armsOf(plan: ListPlan): Arm[] {
  const order = COLUMN[plan.orderBy];
  const archived = equals("archived", plan.archived ? 1 : 0);
  if (plan.modelProviders?.length === 0 || plan.sourceKinds?.length === 0) return [];
  if (plan.interrupted === true) {
    return [{ index: `threads_interrupted_${order}`, range: [INTERRUPTED, archived] }];
  }
  if (plan.parentThreadId !== undefined) {
    return [{ index: `threads_parent_${order}`, range: [equals("parent", plan.parentThreadId)] }];
  }
  if (plan.forkedFromId !== undefined) {
    return [{ index: `threads_forked_${order}`, range: [equals("forked_from", plan.forkedFromId)] }];
  }
  if (plan.places !== undefined) {
    return plan.places.map((place) => ({ index: `threads_place_${order}`, range: [archived, equals("place", place)] }));
  }
  if (plan.modelProviders !== undefined) {
    return plan.modelProviders.map((name) => ({
      index: `threads_provider_${order}`,
      range: [archived, equals("provider", name)],
    }));
  }
  if (plan.sourceKinds !== undefined) {
    return plan.sourceKinds.map((kind) => ({
      index: `threads_kind_${order}`,
      range: [archived, equals("kind", kind)],
    }));
  }
  return [{ index: `threads_${order}`, range: [archived, equals("subagent", 0)] }];
}

/** The filters that the arm's range does not hold to by itself. */
function restOf(plan: ListPlan, arm: Arm): Condition[] {
  const held = new Set(arm.range.map(({ sql }) => sql.slice(0, sql.indexOf(" "))));
  const rest: [string, Condition][] = [["archived", equals("archived", plan.archived ? 1 : 0)]];
  if (plan.subAgents === "hidden") rest.push(["subagent", equals("subagent", 0)]);
  if (plan.interrupted === false) rest.push(["interrupted", equals("interrupted", 0)]);
  if (plan.parentThreadId !== undefined) rest.push(["parent", equals("parent", plan.parentThreadId)]);
  if (plan.forkedFromId !== undefined) rest.push(["forked_from", equals("forked_from", plan.forkedFromId)]);
  if (plan.places !== undefined) rest.push(["place", oneOf("place", plan.places)]);
  if (plan.modelProviders !== undefined) rest.push(["provider", oneOf("provider", plan.modelProviders)]);
  if (plan.sourceKinds !== undefined) rest.push(["kind", oneOf("kind", plan.sourceKinds)]);
  return rest.filter(([column]) => !held.has(column)).map(([, condition]) => condition);
}

/** What changes too often to be a tag. */
const howItStands = ({ interrupted }: ListPlan): Condition[] =>
  interrupted === undefined ? [] : [equals("interrupted", interrupted ? 1 : 0)];

/** The search and the filters as an FTS5 query; undefined: nothing can be found. */
function matchOf(plan: ListPlan, search: readonly (readonly string[])[]): string | undefined {
  if (plan.modelProviders?.length === 0 || plan.sourceKinds?.length === 0) return undefined;
  const tags = [tag("archived", plan.archived ? "1" : "0")];
  if (plan.subAgents === "hidden") tags.push(tag("listed", "1"));
  if (plan.parentThreadId !== undefined) tags.push(tag("parent", plan.parentThreadId));
  if (plan.forkedFromId !== undefined) tags.push(tag("forked", plan.forkedFromId));
  const choices = [
    plan.modelProviders?.map(providerTag),
    plan.sourceKinds?.map((kind) => tag("kind", kind)),
    plan.places?.map((place) => tag("cwd", place)),
  ];
  for (const choice of choices) if (choice !== undefined) tags.push(`(${choice.join(" OR ")})`);
  const phrases = search.map((words) => `"${words.join(" ")}" *`);
  return `word : (${phrases.join(" AND ")}) AND tag : (${tags.join(" AND ")})`;
}

export const NEWEST_FOUND = `
  SELECT ${ROW_COLUMNS} FROM postings CROSS JOIN threads ON n = postings.rowid
  WHERE postings MATCH ? AND postings.rowid < ? ORDER BY postings.rowid DESC`;

/** Rows come by the time of creation; those of one millisecond in any order, so all of the last one are taken. */
function newestOf(database: CatalogDatabase, plan: ListPlan, match: string): Found[] {
  const found: Found[] = [];
  const { after } = plan;
  const before = after === undefined ? 2n ** 63n - 1n : (BigInt(after.at) + 1n) << CREATED_SHIFT;
  database.walk(NEWEST_FOUND, [match, before], (row) => {
    const next = placed(database, plan, row);
    const last = found.at(-1);
    if (found.length > plan.limit && last?.at !== next.at) return false;
    if ((after === undefined || comparePlaces(next, after) > 0) && matchesFilters(plan, next.thread)) found.push(next);
    return true;
  });
  return found;
}

export const COUNT_FOUND = "SELECT count(*) AS found FROM (SELECT 1 FROM postings WHERE postings MATCH ? LIMIT ?)";

const isMany = (database: CatalogDatabase, match: string): boolean =>
  Number(database.get(COUNT_FOUND, match, FEW + 1)?.found) > FEW;

function sorted(database: CatalogDatabase, plan: ListPlan, match: string): Found[] {
  const conditions = [{ sql: "postings MATCH ?", values: [match] }, ...howItStands(plan), ...placeAfter(plan)];
  const where = conditions.map(({ sql }) => sql).join(" AND ");
  const sql = `SELECT ${ROW_COLUMNS} FROM postings CROSS JOIN threads ON n = postings.rowid WHERE ${where}
    ORDER BY ${orderOf(plan)} LIMIT ?`;
  const values = [...conditions.flatMap((condition) => condition.values), plan.limit + 1];
  return database.all(sql, ...values).map((row) => placed(database, plan, row));
}
