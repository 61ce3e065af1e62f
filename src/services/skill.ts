/** Where a skill comes from, nearest first. */
export type SkillScope = "repo" | "user" | "system" | "admin";

/** A set of instructions that the user or the model may call up (SPEC 15). */
export type Skill = {
  readonly name: string;
  readonly description: string;
  readonly shortDescription?: string | undefined;
  /** Of its SKILL.md; absolute. */
  readonly path: string;
  readonly scope: SkillScope;
};

export type SkillError = { readonly path: string; readonly message: string };

/** What was found for one working directory. Shared by its threads, so not to be changed. */
export type SkillsOutcome = { readonly skills: readonly Skill[]; readonly errors: readonly SkillError[] };
