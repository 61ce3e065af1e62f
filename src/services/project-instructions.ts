import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";
import { composeUserInstructions, createProjectDocs, type ProjectDocs } from "./project-docs.ts";
import type { SkillsManager } from "./skills-manager.ts";
import { renderSkillsSection } from "./skills-section.ts";

/** How much of project documents is read, and under which names beside AGENTS.md they are found. */
export type DocSettings = Pick<ResolvedThreadConfig, "projectDocMaxBytes" | "projectDocFallbackNames">;

const UNSAID: DocSettings = { projectDocMaxBytes: null, projectDocFallbackNames: [] };
/** How old what was read may be: threads that start in one folder within this time read it once. */
const MAX_AGE_MS = 2_000;

/** Where `projectInstructions` looks. */
export type ProjectInstructionsOptions = {
  /** Its AGENTS.md is the user's own. */
  readonly home?: string | undefined;
  readonly skills?: SkillsManager | undefined;
  readonly docs?: ProjectDocs | undefined;
};

/**
 * What Codex tells a model of the user and the project: the home's AGENTS.md, the AGENTS.md files from the repository
 * root down to the working directory (as many and by the names that the settings say), and the list of skills. For
 * `instructions` in ThreadManagerOptions.
 */
export function projectInstructions(
  options: ProjectInstructionsOptions = {},
): (cwd: string, config?: DocSettings) => Promise<string | undefined> {
  const docs = options.docs ?? createProjectDocs();
  const { home, skills } = options;
  return async (cwd, { projectDocMaxBytes, projectDocFallbackNames } = UNSAID) => {
    const [user, project, found] = await Promise.all([
      home === undefined ? undefined : docs.userDoc(home),
      docs.projectDoc(cwd, {
        maxAgeMs: MAX_AGE_MS,
        maxBytes: projectDocMaxBytes ?? undefined,
        fallbackNames: projectDocFallbackNames.length === 0 ? undefined : projectDocFallbackNames,
      }),
      skills?.skillsFor(cwd),
    ]);
    return composeUserInstructions({
      user: user?.text,
      project: project.text,
      skills: found === undefined ? undefined : renderSkillsSection(found.skills),
    });
  };
}
