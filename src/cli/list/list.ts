import { homedir } from "node:os";
import { resolve } from "node:path";
import type { StoredThread, ThreadPage, ThreadQuery, ThreadStore } from "../../index.ts";
import { withStore } from "../home.ts";
import { columnsOf, drained, type Io, isTerminal } from "../terminal/io.ts";
import { LineWriter } from "../terminal/line-writer.ts";
import { paintFor } from "../terminal/style.ts";
import { agoOf, type Column, isoOf, tabLines, tableLines } from "../terminal/table.ts";
import { findThreadId } from "../thread-locator.ts";

export type ListOptions = {
  readonly home?: string;
  readonly store?: string;
  readonly limit: number;
  readonly cursor?: string;
  readonly all?: boolean;
  readonly sort: "created" | "updated";
  readonly archived?: boolean;
  readonly interrupted?: boolean;
  readonly cwd?: string;
  readonly provider?: string[];
  readonly source?: string[];
  readonly parent?: string;
  readonly forksOf?: string;
  readonly search?: string;
  readonly json?: boolean;
};

export async function listThreads(options: ListOptions, io: Io): Promise<void> {
  const page = await withStore(options, io, async (store) => {
    const query = await queryOf(options, store, io);
    return options.all ? await everyPage(store, query) : await store.list(query);
  });
  const out = new LineWriter(io.stdout);
  if (options.json) out.json(page);
  else if (isTerminal(io.stdout, io.env)) printTable(page, io, out);
  else for (const line of tabLines(PIPE_COLUMNS, page.threads)) out.line(line);
  out.flush();
  await drained(io.stdout);
}

/** What the options ask the store for. */
async function queryOf(options: ListOptions, store: ThreadStore, io: Io): Promise<ThreadQuery> {
  const { cursor, cwd, provider, source, parent, forksOf, search } = options;
  const parentThreadId = parent === undefined ? undefined : await findThreadId({ thread: parent }, store, io);
  const forkedFromId = forksOf === undefined ? undefined : await findThreadId({ thread: forksOf }, store, io);
  return {
    limit: options.all ? 100 : options.limit,
    orderBy: options.sort === "updated" ? "updatedAt" : "createdAt",
    archived: options.archived ?? false,
    ...(options.interrupted === true && { interrupted: true }),
    ...(cursor !== undefined && { cursor }),
    ...(cwd !== undefined && { cwd: resolve(io.cwd(), cwd) }),
    ...(provider !== undefined && { modelProviders: provider }),
    ...(source !== undefined && { sourceKinds: source }),
    ...(parentThreadId !== undefined && { parentThreadId }),
    ...(forkedFromId !== undefined && { forkedFromId }),
    ...(search !== undefined && { search }),
  };
}

async function everyPage(store: ThreadStore, query: ThreadQuery): Promise<ThreadPage> {
  const threads: StoredThread[] = [];
  let page = await store.list(query);
  threads.push(...page.threads);
  while (page.nextCursor !== null) {
    page = await store.list({ ...query, cursor: page.nextCursor });
    threads.push(...page.threads);
  }
  return { threads, nextCursor: null };
}

function printTable({ threads, nextCursor }: ThreadPage, { stdout }: Io, out: LineWriter): void {
  const paint = paintFor(stdout);
  if (threads.length === 0) {
    out.line(paint("dim", "no threads"));
    return;
  }
  const width = columnsOf(stdout);
  for (const line of tableLines(tableColumns(Date.now()), threads, { width, paint })) out.line(line);
  if (nextCursor !== null) out.line(paint("dim", `more: --cursor '${nextCursor}'`));
}

const titleOf = ({ name, preview }: StoredThread): string => name ?? preview;

const PIPE_COLUMNS: readonly Column<StoredThread>[] = [
  { heading: "id", of: (thread) => thread.threadId },
  { heading: "created", of: (thread) => isoOf(thread.createdAt) },
  { heading: "updated", of: (thread) => isoOf(thread.updatedAt) },
  { heading: "forked from", of: (thread) => thread.forkedFromId ?? "" },
  { heading: "folder", of: (thread) => thread.cwd },
  { heading: "title", of: titleOf },
];

const tableColumns = (now: number): readonly Column<StoredThread>[] => [
  { heading: "thread", of: (thread) => thread.threadId, format: "bold" },
  { heading: "updated", of: (thread) => agoOf(thread.updatedAt, now), align: "right", format: "dim" },
  { heading: "folder", of: (thread) => shortFolder(thread.cwd), format: "cyan" },
  { heading: "", of: (thread) => (thread.forkedFromId === null ? "" : "⑂"), format: "magenta" },
  { heading: "title", of: titleOf, flexible: true },
];

/** The last two folders of a path. */
function shortFolder(cwd: string): string {
  const home = homedir();
  const path = cwd === home || cwd.startsWith(`${home}/`) ? `~${cwd.slice(home.length)}` : cwd;
  const parts = path.split("/");
  return parts.length <= 4 ? path : `…/${parts.slice(-2).join("/")}`;
}
