import type { Skill } from "./skill-file.ts";

const USAGE = `### How to use skills
- When a task fits a skill's description, or the user names a skill (plainly or as \`$name\`), follow that skill in this turn. If several fit, take as few as will do, and say which and in what order.
- A skill is mentioned for one turn only; in the next it must fit or be named again.
- Before you follow a skill, read its file at the path above, as far as the task needs it. Paths inside it are relative to its folder.
- Read further files of a skill only where its text sends you there. Run or adapt its scripts, and reuse its templates, instead of writing them anew.
- If a skill is not in the list, cannot be read or does not fit after all, say so in a sentence and go on without it.`;

/** Of a description: Codex's bound. */
const MOST_CHARS = 1024;

const shortened = (text: string): string => (text.length > MOST_CHARS ? `${text.slice(0, MOST_CHARS - 3)}...` : text);

const rendered = new WeakMap<readonly Skill[], string>();

/**
 * The part of the user instructions that tells the model which skills there are; undefined without any.
 * Those that have to be named, or are taken out, are left out. One text for
 * one list: the threads of a working directory share it.
 */
export function renderSkillsSection(skills: readonly Skill[]): string | undefined {
  const told = skills.filter((skill) => skill.isImplicit !== false && skill.enabled !== false);
  if (told.length === 0) return undefined;
  const known = rendered.get(skills);
  if (known !== undefined) return known;
  const lines = told.map(
    (skill) => `- ${skill.name}: ${shortened(skill.description)} (file: ${skill.path.replaceAll("\\", "/")})`,
  );
  const text = [
    "## Skills",
    "A skill is a folder of instructions for one kind of task. Its `SKILL.md` says how to do it.",
    "### Available skills",
    ...lines,
    USAGE,
  ].join("\n");
  rendered.set(skills, text);
  return text;
}
