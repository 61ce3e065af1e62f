/**
 * Which skills there are for a working directory, and what calling one up puts into a turn (SPEC 15 and 24).
 *
 * - What was found for a directory stays, whatever becomes of the files, until `forceReload` or until a text mentions a
 *   skill that is not known. Rules that take skills out count as they are at the moment.
 * - Nothing here rejects: what goes wrong is listed or warned of.
 * - Threads that ask at once share one search and one outcome.
 */
import { isAbsolute, join } from "node:path";
import { LRUCache } from "lru-cache";
import type { MessageItem } from "../protocol/response-item.ts";
import type { UserInput } from "../protocol/user-input.ts";
import { readText } from "./bounded-read.ts";
import { foldersUpToRepository } from "./git.ts";
import { ioText } from "./io-failure.ts";
import { SingleFlight } from "./single-flight.ts";
import type { Skill, SkillScope, SkillsOutcome } from "./skill-file.ts";
import { mayMentionSkills, mentionsIn, type SkillMentions } from "./skill-mentions.ts";
import { isEnabled, type SkillRule } from "./skill-rules.ts";
import { type FoundSkill, MAX_SKILL_BYTES, type SkillRoot, searchSkills } from "./skill-search.ts";

/** What the skills that an input calls for become. */
export type SkillInjection = {
  /** Recorded after the user's message. */
  readonly messages: readonly MessageItem[];
  /** Texts of warning events, emitted before the user's message. */
  readonly warnings: readonly string[];
};

/** Finds skills (SKILL.md files), and turns a turn's `skill` inputs into what the model reads. */
export interface SkillsManager {
  /** The skills for a working directory: from memory, or searched for anew. Never rejects. */
  skillsFor(cwd: string, options?: { readonly forceReload?: boolean | undefined }): Promise<SkillsOutcome>;
  /** What the skills become that a turn's inputs call for, by item or by `$name` in a text, in `cwd`. Never rejects. */
  injectionFor(cwd: string, inputs: readonly UserInput[]): Promise<SkillInjection>;
  /** Folders that are searched as well, as the user's, for every directory; in place of those given before. */
  setExtraRoots?(folders: readonly string[]): void;
}

/** Where skills are searched. */
export type SkillsManagerOptions = {
  /** Its `skills` folder is the user's, `skills/.system` the system's. Without it, neither is searched. */
  readonly home?: string | undefined;
  /** The user's own folder ($HOME): its `.agents/skills` are the user's as well. Without it, they are not searched. */
  readonly userFolder?: string | undefined;
  /** The administrator's skills; null for none. */
  readonly adminRoot?: string | null | undefined;
  /** In place of `<home>/skills/.system`; null for none. */
  readonly systemRoot?: string | null | undefined;
  /** Which skills are taken out, as it stands now: of config.toml, where there is one. One that fails counts as none. */
  readonly rules?: (() => Promise<readonly SkillRule[]>) | undefined;
};

/** Does no IO before somebody asks. */
export const createSkillsManager = (options: SkillsManagerOptions = {}): SkillsManager => new Skills(options);

const AGENTS_SKILLS = join(".agents", "skills");
const DEFAULT_ADMIN_ROOT = "/etc/codex/skills";
const MAX_CACHED_DIRECTORIES = 1_000;
const SCOPES: readonly SkillScope[] = ["repo", "user", "system", "admin"];
const NOTHING: SkillInjection = { messages: [], warnings: [] };

class Skills implements SkillsManager {
  readonly #commonRoots: readonly SkillRoot[];
  readonly #outcomes = new LRUCache<string, Promise<SkillsOutcome>>({ max: MAX_CACHED_DIRECTORIES });
  readonly #searches = new SingleFlight<SkillsOutcome>();
  readonly #rules: () => Promise<readonly SkillRule[]>;
  /** One outcome for one list and its rules: threads share it. */
  readonly #ruled = new WeakMap<SkillsOutcome, { readonly by: string; readonly outcome: SkillsOutcome }>();
  #extraRoots: readonly SkillRoot[] = [];

  constructor(options: SkillsManagerOptions) {
    this.#rules = options.rules ?? noRules;
    const { home, userFolder, adminRoot = DEFAULT_ADMIN_ROOT } = options;
    const userRoot = home === undefined ? undefined : join(home, "skills");
    const { systemRoot = userRoot && join(userRoot, ".system") } = options;
    this.#commonRoots = [
      ...rootAt(userRoot, "user"),
      ...rootAt(userFolder && join(userFolder, AGENTS_SKILLS), "user"),
      ...rootAt(systemRoot, "system"),
      ...rootAt(adminRoot, "admin"),
    ];
  }

  async skillsFor(cwd: string, options: { readonly forceReload?: boolean | undefined } = {}): Promise<SkillsOutcome> {
    const [found, rules] = await Promise.all([this.#found(cwd, options), this.#rules().catch(noRules)]);
    return rules.length === 0 ? found : this.#ruledBy(found, rules);
  }

  #ruledBy(found: SkillsOutcome, rules: readonly SkillRule[]): SkillsOutcome {
    const by = JSON.stringify(rules);
    const known = this.#ruled.get(found);
    if (known?.by === by) return known.outcome;
    const skills = found.skills.map((skill) => (isEnabled(skill, rules) ? skill : { ...skill, enabled: false }));
    const outcome = { ...found, skills };
    this.#ruled.set(found, { by, outcome });
    return outcome;
  }

  setExtraRoots(folders: readonly string[]): void {
    this.#extraRoots = folders.flatMap((folder) => rootAt(folder, "user"));
    this.#outcomes.clear();
  }

  #found(cwd: string, options: { readonly forceReload?: boolean | undefined }): Promise<SkillsOutcome> {
    const known = options.forceReload === true ? undefined : this.#outcomes.get(cwd);
    if (known !== undefined) return known;
    const outcome = this.#searches.ask(cwd, () => this.#search(cwd));
    this.#outcomes.set(cwd, outcome);
    return outcome;
  }

  async injectionFor(cwd: string, inputs: readonly UserInput[]): Promise<SkillInjection> {
    if (!mayMentionSkills(inputs)) return NOTHING;
    const mentions = mentionsIn(inputs);
    const messages: MessageItem[] = [];
    const warnings: string[] = [];
    for (const { name, path } of await this.#mentioned(cwd, mentions)) {
      try {
        messages.push(messageOf(name, path, await readText(path, MAX_SKILL_BYTES)));
      } catch (error) {
        warnings.push(`Failed to load skill ${name} at ${path}: ${ioText(error)}`);
      }
    }
    return { messages, warnings };
  }

  /** Those of the items in their order, then those of the texts in the list's order; each once. */
  async #mentioned(cwd: string, { items, names, paths }: SkillMentions): Promise<Set<Skill>> {
    let { skills } = await this.skillsFor(cwd);
    const isKnown = (name: string) => skills.some((skill) => skill.name === name);
    const isFile = (path: string) => skills.some((skill) => skill.path === path);
    if (![...names].every(isKnown) || ![...paths].every(isFile)) {
      ({ skills } = await this.skillsFor(cwd, { forceReload: true }));
    }
    // A name that two skills share does not say which is meant.
    const usable = skills.filter(({ enabled }) => enabled !== false);
    const isOnly = ({ name }: Skill) => usable.filter((other) => other.name === name).length === 1;
    return new Set([
      ...items.flatMap(({ name, path }) => usable.find((skill) => skill.name === name && skill.path === path) ?? []),
      ...usable.filter((skill) => paths.has(skill.path) || (names.has(skill.name) && isOnly(skill))),
    ]);
  }

  async #search(cwd: string): Promise<SkillsOutcome> {
    if (!isAbsolute(cwd)) return { skills: [], errors: [{ path: cwd, message: `cwd is not absolute: ${cwd}` }] };
    const folders = await foldersUpToRepository(cwd);
    const commonRoots = [...this.#commonRoots, ...this.#extraRoots];
    const common = new Set(commonRoots.map(({ path }) => path));
    const projectRoots = folders
      .flatMap((folder) => [join(folder, AGENTS_SKILLS), join(folder, ".codex", "skills")])
      .filter((path) => !common.has(path))
      .flatMap((path) => rootAt(path, "repo"));
    const searches = await Promise.all([...projectRoots, ...commonRoots].map(searchSkills));
    return {
      skills: onceEach(searches.flatMap(({ found }) => found)).sort(inListOrder),
      errors: searches.flatMap(({ errors }) => errors),
    };
  }
}

const noRules = async (): Promise<readonly SkillRule[]> => [];

const rootAt = (path: string | null | undefined, scope: SkillScope): SkillRoot[] =>
  path === undefined || path === null || path === "" ? [] : [{ path, scope }];

/** Two skills may have one name, but a file that links lead to twice is one skill. */
function onceEach(found: readonly FoundSkill[]): Skill[] {
  const byFile = new Map<string, Skill>();
  for (const { skill, file } of found) if (!byFile.has(file)) byFile.set(file, skill);
  return [...byFile.values()];
}

const inListOrder = (a: Skill, b: Skill): number =>
  SCOPES.indexOf(a.scope) - SCOPES.indexOf(b.scope) || compare(a.name, b.name) || compare(a.path, b.path);

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

const messageOf = (name: string, path: string, contents: string): MessageItem => ({
  type: "message",
  role: "user",
  content: [{ type: "input_text", text: `<skill>\n<name>${name}</name>\n<path>${path}</path>\n${contents}\n</skill>` }],
});
