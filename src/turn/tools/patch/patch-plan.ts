/** What a patch comes to on this disk: read and fitted before anything is written. */
import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { textOfThrown } from "../../../kernel/thrown.ts";
import type { FileChanges } from "../../../protocol/turn-item.ts";
import { readText as readBounded } from "../../../services/bounded-read.ts";
import { type Hunk, PatchError } from "./patch-grammar.ts";
import { patchedContent } from "./patch-match.ts";
import { unifiedDiff } from "./unified-diff.ts";

/** One file to write, or to remove (`after` null). */
export type FileStep = {
  readonly path: string;
  readonly before: string | null;
  readonly after: string | null;
  /** Of a moved file: the mode that it had. */
  readonly mode?: number;
};

export type PatchPlan = {
  readonly steps: readonly FileStep[];
  /** As the events tell it: by absolute path. */
  readonly changes: FileChanges;
  /** Files as the patch names them. */
  readonly added: readonly string[];
  readonly modified: readonly string[];
  readonly deleted: readonly string[];
};

/** A patch is fitted in memory, before and after side by side. */
const MAX_PATCHED_BYTES = 64 * 1024 * 1024;
const PERMISSIONS = 0o777;

type Place = {
  readonly cwd: string;
  /** Where a file is read that commands see under a path. */
  readonly hostPathOf: (path: string) => Promise<string>;
};

/** @throws PatchError that says which hunk does not fit */
export async function planPatch(hunks: readonly Hunk[], { cwd, hostPathOf }: Place): Promise<PatchPlan> {
  const steps: FileStep[] = [];
  const changes: FileChanges = {};
  const named = { added: new Set<string>(), modified: new Set<string>(), deleted: new Set<string>() };

  const read = async (path: string, purpose: string): Promise<string> => readText(await hostPathOf(path), purpose);
  /** Each file once: `changes` has to say all that comes of it, for whoever approves the patch. */
  const step = (next: FileStep): void => {
    const isTaken = steps.some(({ path }) => path === next.path);
    if (isTaken) throw new PatchError(`invalid patch: multiple operations target ${next.path}`);
    steps.push(next);
  };

  for (const hunk of hunks) {
    const path = resolve(cwd, hunk.path);
    if (hunk.type === "add") {
      step({ path, before: await readIfThere(await hostPathOf(path)), after: hunk.content });
      changes[path] = { type: "add", content: hunk.content };
      named.added.add(hunk.path);
    } else if (hunk.type === "delete") {
      const content = await read(path, "Failed to read");
      step({ path, before: content, after: null });
      changes[path] = { type: "delete", content };
      named.deleted.add(hunk.path);
    } else {
      const before = await read(path, "Failed to read file to update");
      const after = patchedContent(before, hunk.chunks, path);
      const target = hunk.moveTo === null ? path : resolve(cwd, hunk.moveTo);
      if (target === path) step({ path, before, after });
      else {
        const mode = await modeOf(await hostPathOf(path));
        const replaced = await readIfThere(await hostPathOf(target));
        step({ path: target, before: replaced, after, ...(mode !== undefined && { mode }) });
        step({ path, before, after: null });
      }
      const move_path = target === path ? null : target;
      changes[path] = { type: "update", unified_diff: await unifiedDiff(before, after, 1), move_path };
      named.modified.add(hunk.moveTo ?? hunk.path);
    }
  }
  return { steps, changes, added: [...named.added], modified: [...named.modified], deleted: [...named.deleted] };
}

/** Only regular files: nothing waits for a pipe, and nothing without an end is read. */
async function readText(path: string, purpose: string): Promise<string> {
  try {
    return await readBounded(path, MAX_PATCHED_BYTES);
  } catch (error) {
    throw new PatchError(`${purpose} ${path}: ${textOfThrown(error)}`);
  }
}

const readIfThere = (path: string): Promise<string | null> => readBounded(path, MAX_PATCHED_BYTES).catch(() => null);

/** undefined: it went after it was read. */
const modeOf = (path: string): Promise<number | undefined> =>
  stat(path).then(
    ({ mode }) => mode & PERMISSIONS,
    () => undefined,
  );
