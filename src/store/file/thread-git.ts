/**
 * What clients have said of threads' repositories since they began: lines of `thread_metadata.jsonl`, in place of what
 * the headers say. Rollouts are never rewritten, and stock Codex keeps this in its database alone.
 */
import { join } from "node:path";
import type { ThreadId } from "../../protocol/ids.ts";
import { isJsonObject } from "../../protocol/unknown-kind.ts";
import type { ThreadGit } from "../thread-store.ts";
import { gitInfoOf } from "../thread-summary.ts";
import { appendEntry, readEntries } from "./append-index.ts";
import type { FileSystem } from "./file-system.ts";
import type { Layout } from "./layout.ts";

export const metadataPath = (layout: Layout): string => join(layout.home, "thread_metadata.jsonl");

/** null: it was taken away. */
export function readGit(fs: FileSystem, layout: Layout): Map<ThreadId, ThreadGit | null> {
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
