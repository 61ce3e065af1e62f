import type { ThreadId, TurnId } from "../../../protocol/ids.ts";
import { parseSessionSource } from "../../../protocol/session-source.ts";
import type { LastTurn } from "../../last-turn.ts";
import { placeOf } from "../../place.ts";
import { type FilteredFacts, phraseOf, sourceKindOf, wordsOf } from "../../thread-query.ts";
import type { StoredThread } from "../../thread-store.ts";
import type { SqlRow, SqlValue } from "./database.ts";
import type { HomePaths } from "./home-paths.ts";

/** One thread as the catalog keeps it: what lists show, and by what a scan sees that its file has changed. */
export type CatalogRow = StoredThread & {
  /** The thread whose lines this one begins with (its history_base); null when all lines are its own. */
  readonly baseThreadId: ThreadId | null;
  readonly fileSize: number;
  readonly mtimeMs: number;
  /** The texts of the first user messages, SEARCHED_CHARS at most. Left out: those of before stay. */
  readonly searchText?: string;
};

export const ROW_COLUMNS =
  "id, created, updated, archived, provider, cwd, parent, forked_from, path, cli_version, originator, mode, source, git, model, effort, name, preview, interrupted, open_turn";

/** In the order of {@link rowValues}. */
export const STORED_COLUMNS =
  "id, created, updated, archived, subagent, kind, provider, cwd, place, parent, forked_from, base, file_size, mtime, path, cli_version, originator, mode, source, git, model, effort, name, preview, interrupted, open_turn";

export function rowValues(row: CatalogRow, paths: HomePaths): SqlValue[] {
  const kind = sourceKindOf(row.source);
  return [
    row.threadId,
    row.createdAt,
    row.updatedAt,
    row.archived ? 1 : 0,
    kind === "subagent" ? 1 : 0,
    kind,
    row.modelProvider,
    row.cwd,
    placeOf(row.cwd),
    row.parentThreadId,
    row.forkedFromId,
    row.baseThreadId,
    row.fileSize,
    row.mtimeMs,
    row.rolloutPath === null ? null : paths.kept(row.rolloutPath),
    row.cliVersion,
    row.originator,
    row.historyMode,
    JSON.stringify(row.source),
    row.gitInfo === null ? null : JSON.stringify(row.gitInfo),
    row.model,
    row.reasoningEffort,
    row.name,
    row.preview,
    ...lastTurnValues(row),
  ];
}

/** Of the columns `interrupted` and `open_turn`; a turn whose id nobody knows has an empty one. */
export const lastTurnValues = ({ interrupted, openTurn }: LastTurn): [SqlValue, SqlValue] => [
  interrupted ? 1 : 0,
  openTurn === null ? null : (openTurn.turnId ?? ""),
];

/** A row of {@link ROW_COLUMNS}. The casts hold since the tables are strict and written by rowValues alone. */
export function threadOf(row: SqlRow, paths: HomePaths): StoredThread {
  return {
    threadId: row.id as ThreadId,
    rolloutPath: pathOf(row, paths),
    createdAt: row.created as number,
    updatedAt: row.updated as number,
    preview: row.preview as string,
    name: row.name as string | null,
    cwd: row.cwd as string,
    modelProvider: row.provider as string | null,
    cliVersion: row.cli_version as string,
    originator: row.originator as string | null,
    historyMode: row.mode as StoredThread["historyMode"],
    source: parseSessionSource(JSON.parse(row.source as string)),
    gitInfo: row.git === null ? null : (JSON.parse(row.git as string) as StoredThread["gitInfo"]),
    model: row.model as string | null,
    reasoningEffort: row.effort as string | null,
    forkedFromId: row.forked_from as ThreadId | null,
    parentThreadId: row.parent as ThreadId | null,
    archived: row.archived === 1,
    interrupted: row.interrupted === 1,
    openTurn: row.open_turn === null ? null : { turnId: row.open_turn === "" ? null : (row.open_turn as TurnId) },
  };
}

/** Where a row says that its file lies. */
export const pathOf = ({ path }: SqlRow, paths: HomePaths): string | null =>
  path === null ? null : paths.whole(path as string);

/** What a search finds the thread by: each word with a blank before it. */
export const searchedWords = (name: string | null, preview: string, text: string): string =>
  phraseOf(wordsOf(`${name ?? ""}\n${preview}\n${text}`));

/** What the filters of a search find it by: one word of letters and digits for each fact. */
export function tagsOf(thread: FilteredFacts): string {
  const kind = sourceKindOf(thread.source);
  const tags = [tag("archived", thread.archived ? "1" : "0"), tag("kind", kind), tag("cwd", placeOf(thread.cwd))];
  if (kind !== "subagent") tags.push(tag("listed", "1"));
  tags.push(providerTag(thread.modelProvider));
  if (thread.parentThreadId !== null) tags.push(tag("parent", thread.parentThreadId));
  if (thread.forkedFromId !== null) tags.push(tag("forked", thread.forkedFromId));
  return tags.join(" ");
}

type Tag = "archived" | "listed" | "kind" | "cwd" | "provider" | "parent" | "forked";

export const tag = (what: Tag, value: string): string => `${what}x${Buffer.from(value).toString("hex")}`;

/** A thread may name no provider. */
export const providerTag = (name: string | null): string => tag("provider", name ?? "");
