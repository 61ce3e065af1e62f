/** The names that users give to threads: lines of `session_index.jsonl`, as Codex keeps them; the last one counts. */
import { join } from "node:path";
import type { ThreadId } from "../../protocol/ids.ts";
import { appendEntry, readEntries } from "./append-index.ts";
import type { FileSystem } from "./file-system.ts";
import type { Layout } from "./layout.ts";

export const namesPath = (layout: Layout): string => join(layout.home, "session_index.jsonl");

export function readNames(fs: FileSystem, layout: Layout): Map<ThreadId, string> {
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
