/** A thread as a command line names it. */

import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { InvalidRequestError, RolloutNotFoundError } from "../protocol/errors.ts";
import { parseThreadId, type ThreadId } from "../protocol/ids.ts";
import { everyThread } from "../store/every-thread.ts";
import { isStored } from "../store/is-stored.ts";
import { ALL_SOURCE_KINDS } from "../store/thread-query.ts";
import type { StoredThread, ThreadLocator, ThreadStore } from "../store/thread-store.ts";
import { UsageError } from "./failure.ts";
import { oneLine } from "./terminal/harmless.ts";
import type { Io } from "./terminal/io.ts";
import type { ThreadOptions } from "./thread-option.ts";

/**
 * Finds the thread that a command line means.
 *
 * @throws UsageError when it names none
 * @throws RolloutNotFoundError that says the near ones; InvalidRequestError when several fit
 */
export async function findThread(choice: ThreadOptions, store: ThreadStore, io: Io): Promise<ThreadLocator> {
  const { thread } = choice;
  // An unset variable of a shell is an empty word, and every id begins with that.
  if (thread?.trim() === "") throw new UsageError("the thread's name is empty; give its id or its name, or say --last");
  if (thread === undefined) {
    if (choice.last !== true) throw new UsageError("name a thread, or say --last for the one that was used last");
    return await newestThread(choice, store, io);
  }
  if (thread.includes("/") || thread.endsWith(".jsonl")) {
    const rolloutPath = resolve(io.cwd(), thread);
    // A name may hold a slash too.
    const named = existsSync(rolloutPath) ? undefined : await threadOfName(thread, store);
    return named ?? { rolloutPath };
  }
  const threadId = asId(thread);
  return threadId !== undefined && (await isStored(store, threadId)) ? threadId : await namedThread(thread, store);
}

/** As {@link findThread}, and always an id. */
export async function findThreadId(choice: ThreadOptions, store: ThreadStore, io: Io): Promise<ThreadId> {
  const locator = await findThread(choice, store, io);
  return typeof locator === "string" ? locator : (await store.header(locator)).id;
}

function asId(text: string): ThreadId | undefined {
  try {
    return parseThreadId(text);
  } catch {
    return undefined;
  }
}

async function newestThread(
  { all, archived = false, cd }: ThreadOptions,
  store: ThreadStore,
  io: Io,
): Promise<ThreadId> {
  const cwd = resolve(io.cwd(), cd ?? "");
  const query = all === true ? {} : { cwd };
  const { threads } = await store.list({ limit: 1, orderBy: "updatedAt", archived, ...query });
  const [newest] = threads;
  if (newest !== undefined) return newest.threadId;
  const where = all === true ? "" : ` in ${cwd}; --all looks in every folder`;
  throw new RolloutNotFoundError(`there is no ${archived ? "archived " : ""}thread${where}`);
}

async function threadOfName(name: string, store: ThreadStore): Promise<ThreadId | undefined> {
  const named: StoredThread[] = [];
  for await (const thread of allThreads(store)) if (thread.name === name) named.push(thread);
  if (named.length > 1) throw ambiguous(name, named);
  return named[0]?.threadId;
}

/** By a name, or by the beginning of an id. */
async function namedThread(text: string, store: ThreadStore): Promise<ThreadId> {
  const named: StoredThread[] = [];
  const begun: StoredThread[] = [];
  const near: StoredThread[] = [];
  const prefix = text.toLowerCase();
  for await (const thread of allThreads(store)) {
    if (thread.name === text) named.push(thread);
    else if (thread.threadId.startsWith(prefix)) begun.push(thread);
    else if (isNear(text, thread)) near.push(thread);
  }
  const found = named.length > 0 ? named : begun;
  if (found.length === 1 && found[0] !== undefined) return found[0].threadId;
  if (found.length > 1) throw ambiguous(text, found);
  const hint = near.length === 0 ? "; `skein list` shows all" : `; did you mean${linesOf(near)}`;
  throw new RolloutNotFoundError(`no thread has the id or the name \`${text}\`${hint}`);
}

const ambiguous = (text: string, found: readonly StoredThread[]): InvalidRequestError =>
  new InvalidRequestError(`\`${text}\` fits ${found.length} threads:${linesOf(found)}`);

async function* allThreads(store: ThreadStore): AsyncGenerator<StoredThread> {
  for (const archived of [false, true]) yield* everyThread(store, { archived, sourceKinds: ALL_SOURCE_KINDS });
}

const SHOWN = 5;

const linesOf = (threads: readonly StoredThread[]): string => {
  const lines = threads.slice(0, SHOWN).map((thread) => `\n  ${thread.threadId}  ${titleOf(thread)}`);
  return [...lines, ...(threads.length > SHOWN ? [`\n  and ${threads.length - SHOWN} more`] : [])].join("");
};

const titleOf = ({ name, preview }: StoredThread): string => oneLine(name ?? preview).slice(0, 60);

/** Whether a name or an id is a slip away from what was typed. */
function isNear(text: string, { threadId, name }: StoredThread): boolean {
  const typed = text.toLowerCase();
  const title = name?.toLowerCase();
  if (title !== undefined && (title.includes(typed) || slips(typed, title) <= Math.ceil(typed.length / 4))) return true;
  return (
    typed.length >= 4 && (threadId.startsWith(typed.slice(0, 8)) || slips(typed, threadId.slice(0, typed.length)) <= 2)
  );
}

/** Levenshtein's distance. */
function slips(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1];
    for (let j = 0; j < b.length; j += 1) {
      const swap = (row[j] ?? 0) + (letter === b[j] ? 0 : 1);
      next.push(Math.min(swap, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
