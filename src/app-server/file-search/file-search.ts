/** fuzzyFileSearch: the files below some folders that fit what a user types, the best first. */
import { resolve } from "node:path";
import * as z from "zod";
import type { GitOptions } from "../../services/git.ts";
import type { Connection } from "../connection.ts";
import { type Call, type MethodTable, method } from "../method.ts";
import { optionalText, text } from "../params.ts";
import type { ServerContext } from "../server-context.ts";
import { type ListedPath, listFiles } from "./file-list.ts";
import { type FuzzyMatch, FuzzyQuery } from "./fuzzy-query.ts";

const searchSchema = z.object({ query: text, roots: z.array(z.string()), cancellationToken: optionalText });

const MOST_OF_A_ROOT = 50;
/** Each is a process of git. */
const ROOTS_AT_ONCE = 8;
/** No file is named like what is longer. */
const LONGEST_PATH = 4_096;
/** A search answers with what it has found by then. */
const DEADLINE_MS = 10_000;

type Found = {
  root: string;
  path: string;
  match_type: ListedPath["kind"];
  file_name: string;
  score: number;
  indices: readonly number[];
};

/** The searches that run, by their client and its tokens. */
type Running = WeakMap<Connection, Map<string, AbortController>>;

export const fileSearchMethods = (server: ServerContext): MethodTable => {
  const running: Running = new WeakMap();
  return {
    fuzzyFileSearch: method({
      params: searchSchema,
      handle: (params, call) => search(server, running, params, call),
    }),
  };
};

/** A search with the token of one that runs ends that one: it answers with what it has found until then. */
async function search(
  server: ServerContext,
  running: Running,
  { query, roots, cancellationToken: token }: z.infer<typeof searchSchema>,
  call: Call,
): Promise<{ files: Found[] }> {
  const given = new AbortController();
  const tokens = running.get(call.connection) ?? new Map<string, AbortController>();
  running.set(call.connection, tokens);
  if (token != null) {
    tokens.get(token)?.abort();
    tokens.set(token, given);
  }
  try {
    return { files: await findFiles(server, { query, roots }, [given.signal, call.signal]) };
  } finally {
    if (token != null && tokens.get(token) === given) tokens.delete(token);
  }
}

/** The best of all roots; what has been found by the time of an abort, or when the time is up. */
export async function findFiles(
  { clock, ...place }: Pick<ServerContext, "clock" | "cwd" | "manager">,
  asked: { query: string; roots: readonly string[] },
  signals: readonly AbortSignal[],
): Promise<Found[]> {
  const late = new AbortController();
  const timer = clock.setTimeout(() => late.abort(), DEADLINE_MS);
  try {
    return await findUntil(place, asked, AbortSignal.any([late.signal, ...signals]));
  } finally {
    clock.clearTimeout(timer);
  }
}

async function findUntil(
  { cwd, manager: { environment } }: Pick<ServerContext, "cwd" | "manager">,
  { query, roots: given }: { query: string; roots: readonly string[] },
  signal: AbortSignal,
): Promise<Found[]> {
  if (query.trim() === "" || query.length > LONGEST_PATH) return [];
  const files: Found[] = [];
  const roots = [...new Set(given)];
  for (let at = 0; at < roots.length && !signal.aborted; at += ROOTS_AT_ONCE) {
    const some = roots.slice(at, at + ROOTS_AT_ONCE);
    const found = some.map((root) => searchIn(root, query, { folder: resolve(cwd, root), environment, signal }));
    files.push(...(await Promise.all(found)).flat());
  }
  return files.sort(inOrder);
}

async function searchIn(root: string, query: string, folder: GitOptions): Promise<Found[]> {
  const fuzzy = new FuzzyQuery(query);
  const isName = !/[\s/]/.test(query.trim());
  let found: Found[] = [];
  for await (const { path, kind } of listFiles(folder)) {
    const name = path.slice(path.lastIndexOf("/") + 1);
    const match = (isName ? rankedByName(fuzzy, query.trim(), { path, kind }, name) : undefined) ?? fuzzy.match(path);
    if (match === undefined) continue;
    found.push({ root, path, match_type: kind, file_name: name, score: match.score, indices: match.indices });
    if (found.length === 20 * MOST_OF_A_ROOT) found = best(found);
  }
  return best(found);
}

const best = (found: readonly Found[]): Found[] => found.toSorted(inOrder).slice(0, MOST_OF_A_ROOT);

const inOrder = (a: Found, b: Found): number =>
  b.score - a.score ||
  Number(a.path > b.path) - Number(a.path < b.path) ||
  Number(a.root > b.root) - Number(a.root < b.root);

/** Codex's ranks: what is named like the query comes first, then files whose own name matches, then all others. */
const RANK = 0x10000;

function rankedByName(
  fuzzy: FuzzyQuery,
  query: string,
  { path, kind }: ListedPath,
  name: string,
): FuzzyMatch | undefined {
  const isExact = name.toLowerCase() === query.toLowerCase();
  if (kind === "directory" && !isExact) return undefined;
  const match = fuzzy.match(name);
  if (match === undefined) return undefined;
  const rank = isExact ? (kind === "file" ? 3 : 2) : 1;
  const before = Array.from(path).length - Array.from(name).length;
  return { score: rank * RANK + match.score, indices: match.indices.map((index) => index + before) };
}
