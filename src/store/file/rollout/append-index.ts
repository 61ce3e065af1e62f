/** A file beside the rollouts in which every line says something of one thread; of each thread the last one counts. */
import type { ThreadId } from "../../../protocol/ids.ts";
import { isJsonObject, type JsonObject } from "../../../protocol/unknown-kind.ts";
import { type FileSystem, isMissing, writeAll } from "../file-system.ts";
import type { Layout } from "../layout.ts";

export type IndexEntry = JsonObject & { id: ThreadId };

/** The entries that can be read, in their order. */
export function readEntries(fs: FileSystem, path: string): IndexEntry[] {
  return textOf(fs, path)
    .split("\n")
    .flatMap((line) => {
      const entry = parse(line);
      return isEntry(entry) ? [entry] : [];
    });
}

export function appendEntry(fs: FileSystem, layout: Layout, path: string, entry: IndexEntry): void {
  fs.makeFolder(layout.home);
  const fd = fs.open(path, "append");
  try {
    const { size } = fs.info(fd);
    const last = Buffer.alloc(1);
    const torn = size > 0 && fs.read(fd, last, 0, 1, size - 1) === 1 && last[0] !== 0x0a;
    const bytes = Buffer.from(`${torn ? "\n" : ""}${JSON.stringify(entry)}\n`);
    writeAll(fs, fd, bytes, path);
  } finally {
    fs.close(fd);
  }
}

const isEntry = (entry: unknown): entry is IndexEntry => isJsonObject(entry) && typeof entry.id === "string";

function textOf(fs: FileSystem, path: string): string {
  try {
    return fs.readText(path);
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
