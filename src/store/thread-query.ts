/**
 * What a ThreadQuery means, said once for all stores.
 *
 * Q1  Pages go from the newest to the oldest, threads of one millisecond by descending id. A cursor is the place of the
 *     last thread given, so threads that come or go between two pages neither repeat nor hide others.
 * Q2  A search holds for a thread when each blank-separated term does: its words stand side by side in the name, the
 *     preview or the first user messages, whatever the case and accents, the last one possibly cut short.
 * Q3  Sub-agents are left out unless the query names them by `sourceKinds` or their parent by `parentThreadId`.
 */
import { resolve } from "node:path";
import { InvalidRequestError } from "../protocol/errors.ts";
import { isUuid, type ThreadId } from "../protocol/ids.ts";
import type { SessionSource } from "../protocol/session-source.ts";
import { placeOf } from "./place.ts";
import type { StoredThread, ThreadQuery } from "./thread-store.ts";

type ThreadOrder = "createdAt" | "updatedAt";
export type SourceKind = "cli" | "vscode" | "exec" | "mcp" | "unknown" | "subagent";

/** For lists that leave nobody out (Q3). */
export const ALL_SOURCE_KINDS: readonly SourceKind[] = ["cli", "vscode", "exec", "mcp", "unknown", "subagent"];

/** How much of a thread's user messages is searched. */
export const SEARCHED_CHARS = 4096;

/** Pages go on strictly after this place. */
export type PagePlace = { readonly at: number; readonly threadId: ThreadId };

/** A query with its defaults filled in and its texts read. */
export type ListPlan = {
  readonly orderBy: ThreadOrder;
  readonly limit: number;
  readonly after: PagePlace | undefined;
  readonly archived: boolean;
  readonly interrupted: boolean | undefined;
  /** undefined: all but sub-agents, or all of a parent's. */
  readonly sourceKinds: readonly string[] | undefined;
  readonly subAgents: "hidden" | "shown";
  readonly modelProviders: readonly (string | null)[] | undefined;
  /** The folder as it is written and where it really lies. */
  readonly places: readonly string[] | undefined;
  readonly parentThreadId: ThreadId | undefined;
  readonly forkedFromId: ThreadId | undefined;
  /** For each term of the search its words. */
  readonly search: readonly (readonly string[])[] | undefined;
};

const FIELD_TYPES: Readonly<Record<string, string>> = {
  cursor: "string",
  limit: "number",
  cwd: "string",
  archived: "boolean",
  interrupted: "boolean",
  parentThreadId: "string",
  forkedFromId: "string",
  search: "string",
};

/** A query may come from JavaScript. */
function assertQuery(query: ThreadQuery): void {
  for (const [field, value] of Object.entries(query)) {
    const type = Object.hasOwn(FIELD_TYPES, field) ? FIELD_TYPES[field] : undefined;
    const isWrong = value != null && type !== undefined && typeof value !== type;
    if (isWrong) throw new InvalidRequestError(`${field} must be a ${type}`);
  }
  const { orderBy, modelProviders, sourceKinds } = query;
  if (orderBy !== undefined && orderBy !== "createdAt" && orderBy !== "updatedAt")
    throw new InvalidRequestError('orderBy must be "createdAt" or "updatedAt"');
  for (const [field, value] of Object.entries({ modelProviders, sourceKinds }))
    if (value !== undefined && !Array.isArray(value)) throw new InvalidRequestError(`${field} must be an array`);
}

/** @throws InvalidRequestError for a cursor that no page gave out, and for a field of another type. */
export function planList(query: ThreadQuery = {}): ListPlan {
  assertQuery(query);
  return {
    orderBy: query.orderBy ?? "createdAt",
    limit: pageLimit(query.limit),
    after: query.cursor == null ? undefined : readCursor(query.cursor),
    archived: query.archived ?? false,
    interrupted: query.interrupted,
    sourceKinds: query.sourceKinds === undefined ? undefined : [...new Set(query.sourceKinds)],
    subAgents: query.sourceKinds === undefined && query.parentThreadId === undefined ? "hidden" : "shown",
    modelProviders: query.modelProviders === undefined ? undefined : [...new Set(query.modelProviders)],
    places: query.cwd == null ? undefined : [...new Set([placeOf(query.cwd), resolve(query.cwd)])],
    parentThreadId: query.parentThreadId,
    forkedFromId: query.forkedFromId,
    search: readSearch(query.search),
  };
}

/** How many come with a page: 1 to 100, 25 unless a number is given (SPEC 8). */
export const pageLimit = (limit: number | null | undefined): number =>
  limit == null || Number.isNaN(limit) ? 25 : Math.min(100, Math.max(1, Math.trunc(limit)));

export const sourceKindOf = (source: SessionSource): SourceKind => (typeof source === "string" ? source : "subagent");

/** What the filters of a query look at. */
export type FilteredFacts = Pick<
  StoredThread,
  "archived" | "interrupted" | "source" | "cwd" | "modelProvider" | "parentThreadId" | "forkedFromId"
>;

/** Everything of a plan but its order, place and search. */
export function matchesFilters(plan: ListPlan, thread: FilteredFacts): boolean {
  if (thread.archived !== plan.archived) return false;
  if (plan.interrupted !== undefined && thread.interrupted !== plan.interrupted) return false;
  const kind = sourceKindOf(thread.source);
  if (plan.subAgents === "hidden" && kind === "subagent") return false;
  if (plan.sourceKinds !== undefined && !plan.sourceKinds.includes(kind)) return false;
  if (plan.places !== undefined && !plan.places.includes(placeOf(thread.cwd))) return false;
  if (plan.parentThreadId !== undefined && thread.parentThreadId !== plan.parentThreadId) return false;
  if (plan.forkedFromId !== undefined && thread.forkedFromId !== plan.forkedFromId) return false;
  return plan.modelProviders === undefined || plan.modelProviders.includes(thread.modelProvider);
}

/** Negative when `a` stands before `b` in a list: it is newer, or as new with a greater id. */
export function comparePlaces(a: PagePlace, b: PagePlace): number {
  if (a.at !== b.at) return b.at - a.at;
  return a.threadId === b.threadId ? 0 : a.threadId > b.threadId ? -1 : 1;
}

/** Of Codex's form: a time and a thread id. */
export const writeCursor = ({ at, threadId }: PagePlace): string => `${new Date(at).toISOString()}|${threadId}`;

/** @throws InvalidRequestError for what no page gave out */
export function readCursor(cursor: string): PagePlace {
  const [time = "", threadId = "", ...rest] = cursor.split("|");
  const at = Date.parse(time);
  if (Number.isNaN(at) || !isUuid(threadId) || rest.length > 0)
    throw new InvalidRequestError(`invalid cursor: ${cursor}`);
  return { at, threadId: threadId as ThreadId };
}

/** Scripts without blanks are searched letter by letter. */
const WORDS =
  /[\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}]|(?:(?![\p{sc=Han}\p{sc=Hiragana}\p{sc=Katakana}\p{sc=Hangul}])[\p{L}\p{N}])+/gu;

/** The words of a text, in lower case and without accents. */
export const wordsOf = (text: string): string[] =>
  text
    .normalize("NFKD")
    .replace(/\p{M}+/gu, "")
    .toLowerCase()
    .match(WORDS) ?? [];

/** Words as stores keep them to be searched: each with a blank before it, so that a phrase is a part of the text (Q2). */
export const phraseOf = (words: readonly string[]): string => words.map((word) => ` ${word}`).join("");

function readSearch(search: string | undefined): string[][] | undefined {
  const terms = search?.split(/\s+/u).filter((term) => term !== "") ?? [];
  return terms.length === 0 ? undefined : terms.map(wordsOf);
}

/** Whether a text with these words is found (Q2). A term without any word finds nothing. */
export const matchesSearch = (search: readonly (readonly string[])[], words: readonly string[]): boolean =>
  search.every((term) => term.length > 0 && words.some((_, at) => standsAt(term, words, at)));

const standsAt = (term: readonly string[], words: readonly string[], at: number): boolean =>
  term.every((word, index) => {
    const found = words[at + index];
    return found !== undefined && (index === term.length - 1 ? found.startsWith(word) : found === word);
  });
