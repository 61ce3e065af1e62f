/** The files below a folder: what git knows of and does not ignore; outside of a working tree, all. */
import type { Dirent } from "node:fs";
import { opendir, stat } from "node:fs/promises";
import { join } from "node:path";
import { askGitForLine, type GitOptions, startGit } from "../../services/git.ts";

/** What is beyond is not looked at. */
const MOST_ENTRIES = 400_000;

export type ListedPath = { readonly path: string; readonly kind: "file" | "directory" };

/** Paths relative to the folder, in no order. A folder that cannot be read is empty. Ends early at an abort. */
export async function* listFiles(options: GitOptions): AsyncGenerator<ListedPath> {
  const { folder, signal } = options;
  if (!(await isFolder(folder))) return;
  let left = MOST_ENTRIES;
  const isWorkingTree = await askGitForLine(["rev-parse", "--is-inside-work-tree"], options).catch(() => undefined);
  for await (const entry of isWorkingTree === "true" ? ofGit(options) : ofDisk(folder)) {
    if (signal.aborted || left-- === 0) return;
    yield entry;
  }
}

const isFolder = (path: string): Promise<boolean> =>
  stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );

async function* ofGit(options: GitOptions): AsyncGenerator<ListedPath> {
  const args = ["ls-files", "-z", "--cached", "--others", "--exclude-standard", "--deduplicate"];
  const git = await startGit(args, options).catch(() => undefined);
  if (git === undefined) return;
  git.stdout.setEncoding("utf8");
  const folders = new Set<string>();
  let rest = "";
  try {
    for await (const chunk of git.stdout) {
      const paths = (rest + String(chunk)).split("\0");
      rest = paths.pop() ?? "";
      for (const path of paths) {
        yield* foldersOf(path, folders);
        yield { path, kind: "file" };
      }
    }
  } finally {
    git.kill();
  }
}

function* foldersOf(path: string, seen: Set<string>): Generator<ListedPath> {
  for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
    const folder = path.slice(0, end);
    if (seen.has(folder)) return;
    seen.add(folder);
    yield { path: folder, kind: "directory" };
  }
}

/** Symbolic links are named and not followed. */
async function* ofDisk(root: string): AsyncGenerator<ListedPath> {
  const folders = [""];
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    for await (const entry of entriesOf(join(root, folder))) {
      const path = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory()) folders.push(path);
      yield { path, kind: entry.isDirectory() ? "directory" : "file" };
    }
  }
}

/** Those that can be read: a folder may go away meanwhile, as those of processes do. */
async function* entriesOf(folder: string): AsyncGenerator<Dirent> {
  try {
    yield* await opendir(folder);
  } catch {
    // A search answers with what is there.
  }
}
