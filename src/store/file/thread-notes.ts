/** What users and clients have noted of threads, in files beside the rollouts: names and repositories. */
import { join } from "node:path";
import type { ThreadId } from "../../protocol/ids.ts";
import { isJsonObject } from "../../protocol/unknown-kind.ts";
import type { StoredThread, ThreadGit } from "../thread-store.ts";
import { gitInfoOf } from "../thread-summary.ts";
import { type FileSystem, isSettled } from "./file-system.ts";
import type { Layout } from "./layout.ts";
import { appendEntry, readEntries } from "./rollout/append-index.ts";

export type ThreadNotes = {
  readonly names: ReadonlyMap<ThreadId, string>;
  readonly git: ReadonlyMap<ThreadId, ThreadGit | null>;
};

const readNotes = (fs: FileSystem, layout: Layout): ThreadNotes => ({
  names: readNames(fs, layout),
  git: readGit(fs, layout),
});

/** A thread with what is noted of it now, whatever was when it was looked at. */
export function withNotes<T extends Pick<StoredThread, "threadId" | "name" | "gitInfo">>(
  thread: T,
  { names, git }: ThreadNotes,
): T {
  const gitInfo = git.get(thread.threadId);
  return { ...thread, name: names.get(thread.threadId) ?? null, ...(gitInfo === undefined ? {} : { gitInfo }) };
}

/** The notes as they are now: read again when another process, or this one, has changed a file of them. */
export class KnownNotes {
  readonly #fs: FileSystem;
  readonly #layout: Layout;
  #stamp: string | undefined;
  #notes: ThreadNotes | undefined;

  constructor(fs: FileSystem, layout: Layout) {
    this.#fs = fs;
    this.#layout = layout;
  }

  now(): ThreadNotes {
    const infos = [namesPath(this.#layout), metadataPath(this.#layout)].map((path) => this.#fs.infoOf(path));
    const stamp = infos.map((info) => info && `${info.inode} ${info.size} ${info.changedMs}`).join();
    if (this.#notes === undefined || stamp !== this.#stamp) this.#notes = readNotes(this.#fs, this.#layout);
    // Two changes within one step of the clock bear the same time, so one that is still fresh is read again.
    this.#stamp = infos.every((info) => info === undefined || isSettled(info.changedMs)) ? stamp : undefined;
    return this.#notes;
  }
}

/**
 * What clients have said of threads' repositories since they began: lines of `thread_metadata.jsonl`, in place of what
 * the headers say. Rollouts are never rewritten, and stock Codex keeps this in its database alone.
 */
export const metadataPath = (layout: Layout): string => join(layout.home, "thread_metadata.jsonl");

/** null: it was taken away. */
function readGit(fs: FileSystem, layout: Layout): Map<ThreadId, ThreadGit | null> {
  const found = new Map<ThreadId, ThreadGit | null>();
  for (const { id, git } of readEntries(fs, metadataPath(layout))) {
    if (git === null || isJsonObject(git)) found.set(id, gitInfoOf(git));
  }
  return found;
}

export function appendGit(fs: FileSystem, layout: Layout, threadId: ThreadId, git: ThreadGit | null, at: string): void {
  const entry = git && { commit_hash: git.sha, branch: git.branch, repository_url: git.originUrl };
  appendEntry(fs, layout, metadataPath(layout), { id: threadId, git: entry, updated_at: at });
}

/** The names that users give to threads: lines of `session_index.jsonl`, as Codex keeps them; the last one counts. */

export const namesPath = (layout: Layout): string => join(layout.home, "session_index.jsonl");

function readNames(fs: FileSystem, layout: Layout): Map<ThreadId, string> {
  const names = new Map<ThreadId, string>();
  for (const { id, thread_name } of readEntries(fs, namesPath(layout))) {
    if (typeof thread_name === "string" && thread_name !== "") names.set(id, thread_name);
    else names.delete(id);
  }
  return names;
}

/** A name is taken away by an empty one. */
export function appendName(fs: FileSystem, layout: Layout, threadId: ThreadId, name: string | null, at: string): void {
  appendEntry(fs, layout, namesPath(layout), { id: threadId, thread_name: name ?? "", updated_at: at });
}
