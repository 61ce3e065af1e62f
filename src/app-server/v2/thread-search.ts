/**
 * thread/search and its stream, which look through what was said in the threads, and thread/searchOccurrences, which
 * looks through one of them. A term is found as it is written, whatever its case.
 */
import * as z from "zod";
import type { RolloutLine } from "../../protocol/rollout.ts";
import { pageLimit, readCursor } from "../../store/thread-query.ts";
import type { StoredThread } from "../../store/thread-store.ts";
import type { Connection } from "../connection.ts";
import type { RequestId } from "../json-rpc.ts";
import { type Call, type MethodTable, method } from "../method.ts";
import { optionalCount, optionalText, text, untagged } from "../params.ts";
import { invalidParams, invalidRequest } from "../rpc-error.ts";
import type { ServerContext } from "../server-context.ts";
import type { HistoryTurn } from "./history-turns.ts";
import { writeCursor } from "./pages.ts";
import { passedOver } from "./passed-over.ts";
import { listThreads } from "./thread-list.ts";
import { wholeCursor } from "./thread-page.ts";
import { checkTerm, paginatedHistory, query } from "./thread-read.ts";
import type { V2Item } from "./wire-types.ts";

const searchSchema = z.object({
  ...query,
  ...passedOver.search,
  sortKey: z.enum(["created_at", "updated_at", "recency_at"]).nullish(),
  searchTerm: text,
});
const cancelSchema = z.object({ requestId: z.union([text, z.int()], untagged("RequestId")) });
const occurrencesSchema = z.object({
  threadId: text,
  searchTerm: text,
  cursor: optionalText,
  limit: optionalCount,
});

export function threadSearchMethods(server: ServerContext): MethodTable {
  const plain = new RunningSearches();
  const streamed = new RunningSearches();
  return {
    "thread/search": method({
      params: searchSchema,
      experimental: true,
      handle: (params, call) =>
        plain.run(call, (signal) => search(server, params, { what: "thread/search", signal, onHit: () => undefined })),
    }),
    "thread/search/stream": method({
      params: searchSchema,
      experimental: true,
      handle: (params, call) => {
        const { requestId, connection } = call;
        const named = typeof requestId === "bigint" ? Number(requestId) : requestId;
        const onHit = (hit: Hit) =>
          connection.tell({ method: "thread/search/partial", params: { requestId: named, data: [hit] } });
        checkStreamCursor(params.cursor);
        return streamed.run(call, (signal) => search(server, params, { what: "thread/search/stream", signal, onHit }));
      },
    }),
    "thread/search/cancel": cancelling(plain),
    "thread/search/stream/cancel": cancelling(streamed),
    "thread/searchOccurrences": method({
      params: occurrencesSchema,
      experimental: true,
      handle: (params, call) => occurrences(server, params, call),
    }),
  };
}

/** Stock's number for it is another one here than in every other list of threads. @throws RpcError -32602 */
function checkStreamCursor(cursor: string | null | undefined): void {
  if (cursor == null) return;
  try {
    readCursor(wholeCursor(cursor, false));
  } catch (cause) {
    throw invalidParams(`invalid cursor: ${cursor}`, { cause });
  }
}

const cancelling = (searches: RunningSearches) =>
  method({
    params: cancelSchema,
    experimental: true,
    handle: ({ requestId }, { connection }) => {
      searches.cancel(connection, requestId);
      return {};
    },
  });

/** The searches of one method that run, by the ids that their clients gave them: several may share one. */
class RunningSearches {
  readonly #running = new Map<Connection, Map<RequestId, Set<AbortController>>>();

  /** @throws RpcError when it is cancelled */
  async run<T>({ connection, requestId, signal }: Call, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const cancelled = new AbortController();
    const own = this.#running.get(connection) ?? new Map<RequestId, Set<AbortController>>();
    const alike = own.get(requestId) ?? new Set();
    this.#running.set(connection, own.set(requestId, alike.add(cancelled)));
    try {
      return await work(AbortSignal.any([signal, cancelled.signal]));
    } catch (error) {
      throw cancelled.signal.aborted ? invalidRequest("thread search cancelled") : error;
    } finally {
      alike.delete(cancelled);
      if (alike.size === 0 && own.get(requestId) === alike) own.delete(requestId);
      if (own.size === 0 && this.#running.get(connection) === own) this.#running.delete(connection);
    }
  }

  /** What does not run, or has ended, is nothing to cancel. */
  cancel(connection: Connection, requestId: RequestId): void {
    for (const search of this.#running.get(connection)?.get(requestId) ?? []) search.abort();
  }
}

type Hit = { thread: unknown; snippet: string };
type Search = { readonly what: string; readonly signal: AbortSignal; readonly onHit: (hit: Hit) => void };

async function search(
  server: ServerContext,
  params: z.infer<typeof searchSchema>,
  { what, signal, onHit }: Search,
): Promise<{ data: Hit[]; nextCursor: string | null; backwardsCursor: string | null }> {
  const { searchTerm, includeAttachedThreads: _, ...listed } = params;
  const finder = finderOf(searchTerm, { what, named: "thread/search" });
  const snippets = new Map<string, string>();
  const isWanted = async (stored: StoredThread) => {
    const snippet = await snippetIn(server, stored, { finder, signal });
    signal.throwIfAborted();
    if (snippet === undefined) return false;
    snippets.set(stored.threadId, snippet);
    onHit({ thread: { ...server.views.ofStored(stored), canAcceptDirectInput: null }, snippet });
    return true;
  };
  const page = await listThreads(server, { ...listed, modelProviders: [] }, isWanted);
  signal.throwIfAborted();
  const data = page.data.map((thread) => ({ thread, snippet: snippets.get(thread.id) ?? "" }));
  return { data, nextCursor: page.nextCursor, backwardsCursor: page.backwardsCursor };
}

/** @throws RpcError for a term that is too long, or is nothing */
function finderOf(term: string, { what, named }: { what: string; named: string }): RegExp {
  checkTerm(term, what);
  if (term.trim() === "") throw invalidRequest(`${named} requires a non-empty searchTerm`);
  return new RegExp(term.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&"), "giu");
}

/** The first place where the thread says it. A thread that is gone meanwhile says nothing. */
async function snippetIn(
  { manager, logger }: ServerContext,
  { threadId, preview, name }: StoredThread,
  { finder, signal }: { finder: RegExp; signal: AbortSignal },
): Promise<string | undefined> {
  for (const known of [preview, name ?? ""]) {
    const found = firstIn(known, finder);
    if (found !== undefined) return found;
  }
  try {
    for await (const page of manager.store.load(threadId, { signal })) {
      for (const line of page) {
        const found = firstIn(saidIn(line), finder);
        if (found !== undefined) return found;
      }
    }
  } catch (err) {
    signal.throwIfAborted();
    logger.warn({ err, threadId }, "a thread could not be searched");
  }
  return undefined;
}

function firstIn(said: string, finder: RegExp): string | undefined {
  const at = said.search(finder);
  if (at === -1) return undefined;
  finder.lastIndex = at;
  const length = finder.exec(said)?.[0].length ?? 0;
  finder.lastIndex = 0;
  return cutAround(said, { start: at, end: at + length }).snippet;
}

/** What a line of a rollout has the user or the model say. */
function saidIn(line: RolloutLine): string {
  if (line.type !== "event_msg") return "";
  const msg = line.payload;
  if (msg.type === "user_message" || msg.type === "agent_message") return String(msg.message ?? "");
  if (msg.type !== "item_completed") return "";
  const { item } = msg;
  if (item.type !== "UserMessage" && item.type !== "AgentMessage") return "";
  const { content } = item as { content: readonly { text?: unknown }[] };
  return content.map((part) => (typeof part.text === "string" ? part.text : "")).join("\n");
}

/** How much is shown on either side of what was found. */
const AROUND = 120;

type Range = { readonly start: number; readonly end: number };

/** Whole letters, on one line. */
function cutAround(said: string, { start, end }: Range): { snippet: string; range: Range } {
  const before = [...said.slice(Math.max(0, start - AROUND), start)].join("");
  const lineStart = before.lastIndexOf("\n") + 1;
  const after = said.slice(end, end + AROUND);
  const lineEnd = after.indexOf("\n");
  const lead = wholeLetters(before.slice(lineStart));
  const found = said.slice(start, end);
  const tail = wholeLetters(lineEnd === -1 ? after : after.slice(0, lineEnd));
  return { snippet: lead + found + tail, range: { start: lead.length, end: lead.length + found.length } };
}

/** Without the half of a letter that a cut leaves at either end. */
const wholeLetters = (part: string): string => part.replace(/^[\udc00-\udfff]|[\ud800-\udbff]$/g, "");

const cursorSchema = z.object({
  threadId: z.string(),
  searchTerm: z.string(),
  nextRolloutOrdinal: z.int().min(0),
  nextOccurrenceIndex: z.int().min(0),
});

/** One place where a thread says it: the how manieth of its item. */
type Occurrence = { turn: HistoryTurn; ordinal: number; item: V2Item; index: number; range: Range; said: string };

async function occurrences(server: ServerContext, params: z.infer<typeof occurrencesSchema>, call: Call) {
  const what = "thread/searchOccurrences";
  const { searchTerm, cursor, limit } = params;
  const finder = finderOf(searchTerm, { what, named: what });
  const { turns, threadId } = await paginatedHistory(server, params.threadId, what, call);
  const from = cursor == null ? undefined : readOccurrenceCursor(cursor, { threadId, searchTerm });
  const most = pageLimit(limit);
  const found = [...occurrencesIn(turns, finder)].filter(({ ordinal, index }) => isFrom(ordinal, index, from));
  const next = found[most];
  return {
    data: found.slice(0, most).map(({ turn, item, range, said }) => {
      const { snippet, range: snippetMatchRange } = cutAround(said, range);
      const turnCursor = writeCursor("turns", threadId, turn.ordinal, true);
      return { turnId: turn.id, itemId: item.id, snippet, snippetMatchRange, turnCursor };
    }),
    nextCursor:
      next === undefined
        ? null
        : JSON.stringify({
            ...{ threadId, searchTerm, nextRolloutOrdinal: next.ordinal, nextOccurrenceIndex: next.index },
          }),
  };
}

function* occurrencesIn(turns: readonly HistoryTurn[], finder: RegExp): Generator<Occurrence> {
  for (const turn of turns) {
    for (const { ordinal, item } of turn.items) {
      let index = 0;
      for (const said of textsOf(item)) {
        for (const match of said.matchAll(finder)) {
          const range = { start: match.index, end: match.index + match[0].length };
          yield { turn, ordinal, item, index, range, said };
          index += 1;
        }
      }
    }
  }
}

function textsOf(item: V2Item): string[] {
  if (item.type === "agentMessage") return [String(item.text)];
  if (item.type !== "userMessage") return [];
  const content = item.content as readonly { type: string; text?: string }[];
  return content.flatMap((part) => (part.type === "text" && part.text !== undefined ? [part.text] : []));
}

type OccurrenceCursor = z.infer<typeof cursorSchema>;

const isFrom = (ordinal: number, index: number, from: OccurrenceCursor | undefined): boolean =>
  from === undefined ||
  ordinal > from.nextRolloutOrdinal ||
  (ordinal === from.nextRolloutOrdinal && index >= from.nextOccurrenceIndex);

function readOccurrenceCursor(
  given: string,
  of: { readonly threadId: string; readonly searchTerm: string },
): OccurrenceCursor {
  try {
    const cursor = cursorSchema.parse(JSON.parse(given));
    if (cursor.threadId === of.threadId && cursor.searchTerm === of.searchTerm) return cursor;
  } catch {
    // Said below.
  }
  throw invalidRequest(`invalid cursor: ${given}`);
}
