import { relative } from "node:path";
import { isWithin } from "../../../process/sandbox/paths.ts";
import { blobId, unifiedDiff } from "./unified-diff.ts";

type Touched = { readonly before: string | null; after: string | null };

const diffs = new WeakMap<object, TurnDiff>();

/** What the patches of one turn have changed so far, taken together. */
export class TurnDiff {
  readonly #files = new Map<string, Touched>();

  /** The diff of the turn that the key stands for. */
  static of(turnKey: object): TurnDiff {
    const known = diffs.get(turnKey) ?? new TurnDiff();
    diffs.set(turnKey, known);
    return known;
  }

  /** A file was written or removed (null). */
  note(path: string, before: string | null, after: string | null): void {
    const touched = this.#files.get(path);
    if (touched === undefined) this.#files.set(path, { before, after });
    else touched.after = after;
  }

  /** As `git diff` shows it; files are named from this folder, outside of it by their whole path. */
  async text(folder: string | undefined): Promise<string> {
    const parts = [...this.#files].sort(([a], [b]) => (a < b ? -1 : 1));
    const nameOf = (path: string) => (folder !== undefined && isWithin(folder, path) ? relative(folder, path) : path);
    const texts = await Promise.all(parts.map(([path, touched]) => fileDiff(nameOf(path), touched)));
    return texts.join("");
  }
}

async function fileDiff(name: string, { before, after }: Touched): Promise<string> {
  if (before === after) return "";
  const mode = before === null ? "new file mode 100644\n" : after === null ? "deleted file mode 100644\n" : "";
  return [
    `diff --git a/${name} b/${name}\n`,
    mode,
    `index ${blobId(before)}..${blobId(after)}\n`,
    `--- ${before === null ? "/dev/null" : `a/${name}`}\n`,
    `+++ ${after === null ? "/dev/null" : `b/${name}`}\n`,
    await unifiedDiff(before ?? "", after ?? "", 3),
  ].join("");
}
