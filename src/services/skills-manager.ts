/**
 * Which skills there are for a working directory, and what calling one up puts into a turn (SPEC 15).
 *
 * K1 What was found for a directory stays, until `forceReload`, whatever becomes of the files.
 * K2 Nothing here rejects: what goes wrong is listed or warned of.
 * K3 Threads that ask at once share one search and one outcome.
 */
import { isAbsolute, join } from "node:path";
import { LRUCache } from "lru-cache";
import type { MessageItem } from "../protocol/response-item.ts";
import type { UserInput } from "../protocol/user-input.ts";
import { readText } from "./bounded-read.ts";
import { foldersUpToRepository } from "./git.ts";
import { ioText } from "./io-failure.ts";
import type { Skill, SkillScope, SkillsOutcome } from "./skill-file.ts";
import { MAX_SKILL_BYTES, type SkillRoot, searchSkills } from "./skill-search.ts";

/** What the `skill` items of an input become. */
export type SkillInjection = {
  /** Recorded after the user's message. */
  readonly messages: readonly MessageItem[];
  /** Texts of warning events, emitted before the user's message. */
  readonly warnings: readonly string[];
};

export interface SkillsManager {
  /** The skills for a working directory: from memory, or searched for anew. Never rejects. */
  skillsFor(cwd: string, options?: { readonly forceReload?: boolean | undefined }): Promise<SkillsOutcome>;
  /** What the `skill` items among the inputs of a turn in `cwd` become. Never rejects. */
  injectionFor(cwd: string, inputs: readonly UserInput[]): Promise<SkillInjection>;
}

export type SkillsManagerOptions = {
  /** Its `skills` folder is the user's, `skills/.system` the system's. Without it, neither is searched. */
  readonly home?: string | undefined;
  /** The administrator's skills; null for none. */
  readonly adminRoot?: string | null | undefined;
  /** In place of `<home>/skills/.system`; null for none. */
  readonly systemRoot?: string | null | undefined;
};

/** Does no IO before somebody asks. */
export const createSkillsManager = (options: SkillsManagerOptions = {}): SkillsManager => new Skills(options);

const DEFAULT_ADMIN_ROOT = "/etc/codex/skills";
const MAX_CACHED_DIRECTORIES = 1_000;
const SCOPES: readonly SkillScope[] = ["repo", "user", "system", "admin"];
const NOTHING: SkillInjection = { messages: [], warnings: [] };

class Skills implements SkillsManager {
  readonly #userRoot: string | undefined;
  readonly #commonRoots: readonly SkillRoot[];
  readonly #outcomes = new LRUCache<string, Promise<SkillsOutcome>>({ max: MAX_CACHED_DIRECTORIES });

  constructor(options: SkillsManagerOptions) {
    this.#userRoot = options.home === undefined ? undefined : join(options.home, "skills");
    const { adminRoot = DEFAULT_ADMIN_ROOT } = options;
    const { systemRoot = this.#userRoot && join(this.#userRoot, ".system") } = options;
    this.#commonRoots = [
      ...rootAt(this.#userRoot, "user"),
      ...rootAt(systemRoot, "system"),
      ...rootAt(adminRoot, "admin"),
    ];
  }

  skillsFor(cwd: string, options: { readonly forceReload?: boolean | undefined } = {}): Promise<SkillsOutcome> {
    const known = options.forceReload === true ? undefined : this.#outcomes.get(cwd);
    if (known !== undefined) return known;
    const outcome = this.#search(cwd);
    this.#outcomes.set(cwd, outcome);
    return outcome;
  }

  async injectionFor(cwd: string, inputs: readonly UserInput[]): Promise<SkillInjection> {
    const asked = inputs.filter((input) => input.type === "skill");
    if (asked.length === 0) return NOTHING;
    const { skills } = await this.skillsFor(cwd);
    const messages: MessageItem[] = [];
    const warnings: string[] = [];
    const names = new Set<string>();
    for (const { name, path } of asked) {
      if (names.has(name) || !skills.some((skill) => skill.name === name && skill.path === path)) continue;
      names.add(name);
      try {
        messages.push(messageOf(name, path, await readText(path, MAX_SKILL_BYTES)));
      } catch (error) {
        warnings.push(`Failed to load skill ${name} at ${path}: ${ioText(error)}`);
      }
    }
    return { messages, warnings };
  }

  async #search(cwd: string): Promise<SkillsOutcome> {
    if (!isAbsolute(cwd)) return { skills: [], errors: [{ path: cwd, message: `cwd is not absolute: ${cwd}` }] };
    const folders = await foldersUpToRepository(cwd);
    const projectRoots = folders
      .map((folder) => join(folder, ".codex", "skills"))
      .filter((path) => path !== this.#userRoot)
      .flatMap((path) => rootAt(path, "repo"));
    const found = await Promise.all([...projectRoots, ...this.#commonRoots].map(searchSkills));
    return {
      skills: firstOfEachName(found.flatMap(({ skills }) => skills)).sort(inListOrder),
      errors: found.flatMap(({ errors }) => errors),
    };
  }
}

const rootAt = (path: string | null | undefined, scope: SkillScope): SkillRoot[] =>
  path === undefined || path === null ? [] : [{ path, scope }];

function firstOfEachName(skills: readonly Skill[]): Skill[] {
  const byName = new Map<string, Skill>();
  for (const skill of skills) if (!byName.has(skill.name)) byName.set(skill.name, skill);
  return [...byName.values()];
}

const inListOrder = (a: Skill, b: Skill): number =>
  SCOPES.indexOf(a.scope) - SCOPES.indexOf(b.scope) || compare(a.name, b.name) || compare(a.path, b.path);

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

const messageOf = (name: string, path: string, contents: string): MessageItem => ({
  type: "message",
  role: "user",
  content: [{ type: "input_text", text: `<skill>\n<name>${name}</name>\n<path>${path}</path>\n${contents}\n</skill>` }],
});
