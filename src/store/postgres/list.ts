/** Lists and searches by keyset: each page goes on after the place where the one before ended. */

import { type ListPlan, phraseOf, planList, writeCursor } from "../thread-query.ts";
import type { StoredThread, ThreadPage, ThreadQuery } from "../thread-store.ts";
import type { PostgresDatabase } from "./database.ts";
import { columnText, MORE_WORDS, ROW_COLUMNS, readRow, storedThreadOf } from "./thread-row.ts";

const COLUMN = { createdAt: "created", updatedAt: "updated" } as const;

/** Takes values and gives back their places in the statement. */
class Values {
  readonly all: unknown[] = [];

  add(value: unknown, type: string): string {
    this.all.push(value);
    return `$${this.all.length}::${type}`;
  }
}

/** @throws InvalidRequestError for a cursor that no page gave out; StoreIoError */
export async function listThreads(database: PostgresDatabase, query?: ThreadQuery): Promise<ThreadPage> {
  const plan = planList(query);
  if (isEmpty(plan)) return { threads: [], nextCursor: null };
  const values = new Values();
  const order = COLUMN[plan.orderBy];
  const text = `SELECT ${ROW_COLUMNS} FROM ${database.schema}.threads
    WHERE ${conditionsOf(plan, values, database.schema).join(" AND ")}
    ORDER BY ${order} DESC, id DESC LIMIT ${values.add(plan.limit + 1, "bigint")}`;
  const rows = await database.run({ text, values: values.all });
  const threads = rows.map((row) => storedThreadOf(readRow(row)));
  const shown = threads.slice(0, plan.limit);
  const last = threads.length > plan.limit ? shown.at(-1) : undefined;
  return { threads: shown, nextCursor: last === undefined ? null : writeCursor(placeOf(plan, last)) };
}

const placeOf = (plan: ListPlan, thread: StoredThread) => ({ at: thread[plan.orderBy], threadId: thread.threadId });

/** A query that names nothing, or a term without a word, finds nothing. */
const isEmpty = ({ modelProviders, sourceKinds, search }: ListPlan): boolean =>
  modelProviders?.length === 0 || sourceKinds?.length === 0 || (search ?? []).some((words) => words.length === 0);

function conditionsOf(plan: ListPlan, values: Values, schema: string): string[] {
  const found = ["NOT deleted", `archived = ${values.add(plan.archived, "boolean")}`];
  if (plan.subAgents === "hidden") found.push("subagent = false");
  if (plan.interrupted !== undefined) found.push(plan.interrupted ? "interrupted" : "NOT interrupted");
  if (plan.sourceKinds !== undefined) found.push(`kind = ANY(${values.add(plan.sourceKinds, "text[]")})`);
  if (plan.places !== undefined) found.push(`place = ANY(${values.add(plan.places.map(columnText), "text[]")})`);
  if (plan.parentThreadId !== undefined) found.push(`parent = ${values.add(columnText(plan.parentThreadId), "text")}`);
  if (plan.forkedFromId !== undefined) {
    found.push(`forked_from = ${values.add(columnText(plan.forkedFromId), "text")}`);
  }
  if (plan.modelProviders !== undefined) found.push(providerIn(plan.modelProviders, values));
  if (plan.after !== undefined) {
    const { at, threadId } = plan.after;
    found.push(`(${COLUMN[plan.orderBy]}, id) < (${values.add(at, "bigint")}, ${values.add(threadId, "text")})`);
  }
  return plan.search === undefined ? found : [...found, searchedIn(plan.search, values, schema)];
}

function providerIn(providers: readonly (string | null)[], values: Values): string {
  const named = providers.filter((name) => name !== null).map(columnText);
  const isNamed = `provider = ANY(${values.add(named, "text[]")})`;
  return providers.includes(null) ? `(${isNamed} OR provider IS NULL)` : isNamed;
}

/** The index finds those that hold all the words; that they stand side by side is seen in the text itself (Q2). */
function searchedIn(search: readonly (readonly string[])[], values: Values, schema: string): string {
  const words = search.flatMap((term) =>
    term.map((word, at) => (at === term.length - 1 ? `${quoted(word)}:*` : quoted(word))),
  );
  const match = `(${words.join(" & ")}) | ${quoted(MORE_WORDS)}`;
  const held = search.map((term) => {
    const phrase = values.add(phraseOf(term), "text");
    return `position(${phrase} IN name_words || text_words) > 0`;
  });
  const found = [`word_index @@ ${values.add(match, "tsquery")}`, ...held];
  return `t IN (SELECT t FROM ${schema}.words WHERE ${found.join(" AND ")})`;
}

/** Words are letters and digits alone, so nothing in them needs an escape. */
const quoted = (word: string): string => `'${word}'`;
