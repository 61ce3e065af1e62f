/** The names that users give to threads: lines of `session_index.jsonl`, as Codex keeps them; the last one counts. */
import { join } from "node:path";
import type { ThreadId } from "../../protocol/ids.ts";
import { isJsonObject } from "../../protocol/unknown-kind.ts";
import { type FileSystem, isMissing } from "./file-system.ts";
import type { Layout } from "./layout.ts";

export const namesPath = (layout: Layout): string => join(layout.home, "session_index.jsonl");

export function readNames(fs: FileSystem, layout: Layout): Map<ThreadId, string> {
  const names = new Map<ThreadId, string>();
  for (const line of readIndex(fs, layout).split("\n")) {
    const entry = parse(line);
    if (!isJsonObject(entry) || typeof entry.id !== "string") continue;
    const name = typeof entry.thread_name === "string" ? entry.thread_name : "";
    if (name === "") names.delete(entry.id as ThreadId);
    else names.set(entry.id as ThreadId, name);
  }
  return names;
}

/** A name is taken away by an empty one. */
export function appendName(fs: FileSystem, layout: Layout, threadId: ThreadId, name: string | null, at: string): void {
  fs.makeFolder(layout.home);
  const fd = fs.open(namesPath(layout), "append");
  try {
    const { size } = fs.info(fd);
    const last = Buffer.alloc(1);
    const torn = size > 0 && fs.read(fd, last, 0, 1, size - 1) === 1 && last[0] !== 0x0a;
    const entry = JSON.stringify({ id: threadId, thread_name: name ?? "", updated_at: at });
    const bytes = Buffer.from(`${torn ? "\n" : ""}${entry}\n`);
    fs.write(fd, bytes, 0, bytes.length);
  } finally {
    fs.close(fd);
  }
}

function readIndex(fs: FileSystem, layout: Layout): string {
  try {
    return fs.readText(namesPath(layout));
  } catch (error) {
    if (isMissing(error)) return "";
    throw error;
  }
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
