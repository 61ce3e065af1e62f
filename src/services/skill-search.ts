import type { Dirent } from "node:fs";
import { readdir, realpath, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { InvalidRequestError } from "../protocol/errors.ts";
import { readText } from "./bounded-read.ts";
import { ioText, isMissing } from "./io-failure.ts";
import type { Skill, SkillError, SkillExtras, SkillScope } from "./skill-file.ts";

export type SkillRoot = { readonly path: string; readonly scope: SkillScope };

/** A skill as it was found; `file` is its SKILL.md without links, which tells whether two are one. */
export type FoundSkill = { readonly skill: Skill; readonly file: string };
export type SkillSearch = { readonly found: readonly FoundSkill[]; readonly errors: readonly SkillError[] };

const FILE_NAME = "SKILL.md";
const EXTRAS = join("agents", "openai.yaml");
const MAX_DEPTH = 6;
const MAX_FOLDERS = 2_000;
export const MAX_SKILL_BYTES = 1 << 20;
const MAX_EXTRAS_BYTES = 64 * 1024;

type Folder = { readonly path: string; readonly depth: number };

/**
 * The skills under one root: breadth first, names in order, hidden names left out, links followed except among the
 * system's. A root that is not there holds nothing. Errors among the system's skills are not the user's to mend, so they
 * are left out.
 */
export async function searchSkills(root: SkillRoot): Promise<SkillSearch> {
  const found: FoundSkill[] = [];
  const errors: SkillError[] = [];
  const followLinks = root.scope !== "system";
  const seen = new Set<string>();
  const queue: Folder[] = [{ path: root.path, depth: 0 }];
  // The queue grows while it is walked. Its bound also bounds a tree of links that leads back into itself.
  for (const folder of queue) {
    try {
      if (followLinks && !isNew(await realpath(folder.path), seen)) continue;
      for (const entry of await entriesOf(folder.path)) {
        const path = join(folder.path, entry.name);
        const kind = await kindOf(entry, path, followLinks);
        if (kind === "file" && entry.name === FILE_NAME) await readInto(path);
        if (kind === "folder" && folder.depth < MAX_DEPTH && queue.length < MAX_FOLDERS) {
          queue.push({ path, depth: folder.depth + 1 });
        }
      }
    } catch (error) {
      if (!isMissing(error)) errors.push({ path: folder.path, message: `failed to read dir: ${ioText(error)}` });
    }
  }
  return { found, errors: root.scope === "system" ? [] : errors };

  async function readInto(path: string): Promise<void> {
    try {
      // Loaded with the first skill: the YAML library is large, and most homes have none.
      const { parseSkillFile, parseSkillExtras } = await import("./skill-file.ts");
      const header = parseSkillFile(await readSkill(path), basename(dirname(path)));
      const extras = await readExtras(join(dirname(path), EXTRAS), parseSkillExtras);
      found.push({ skill: { ...header, path, scope: root.scope, ...extras }, file: await realpath(path) });
    } catch (error) {
      errors.push({ path, message: error instanceof Error ? error.message : String(error) });
    }
  }
}

async function readSkill(path: string): Promise<string> {
  try {
    return await readText(path, MAX_SKILL_BYTES);
  } catch (error) {
    throw new InvalidRequestError(`failed to read file: ${ioText(error)}`, { cause: error });
  }
}

/** The file is optional: whatever is wrong with it, the skill is none the worse. */
async function readExtras(path: string, parse: (text: string) => SkillExtras): Promise<SkillExtras> {
  try {
    return parse(await readText(path, MAX_EXTRAS_BYTES));
  } catch {
    return {};
  }
}

function isNew(path: string, seen: Set<string>): boolean {
  if (seen.has(path)) return false;
  seen.add(path);
  return true;
}

async function entriesOf(folder: string): Promise<Dirent[]> {
  const entries = await readdir(folder, { withFileTypes: true });
  return entries
    .filter((entry) => !entry.name.startsWith("."))
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

async function kindOf(entry: Dirent, path: string, followLinks: boolean): Promise<"file" | "folder" | "other"> {
  if (entry.isFile()) return "file";
  if (entry.isDirectory()) return "folder";
  if (!entry.isSymbolicLink() || !followLinks) return "other";
  try {
    const target = await stat(path);
    return target.isFile() ? "file" : target.isDirectory() ? "folder" : "other";
  } catch {
    return "other";
  }
}
