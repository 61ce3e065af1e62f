/** `[[skills.config]]` of config.toml: which skills are taken out, each by the path of its SKILL.md or by its name. */
import * as z from "zod";
import { type ConfigTable, isTable } from "./config-table.ts";

/** What is told of one file, or of every skill of a name. */
export type SkillKey = { readonly path: string } | { readonly name: string };
/** One rule: whether what it names is offered. */
export type SkillRule = SkillKey & { readonly enabled: boolean };

const ruleSchema: z.ZodType<SkillRule> = z.union([
  z.object({ path: z.string(), enabled: z.boolean() }),
  z.object({ name: z.string(), enabled: z.boolean() }),
]);

/** Where they stand. */
export const SKILL_RULES_KEY: readonly string[] = ["skills", "config"];

/** What is no rule is passed over. */
export function skillRulesOf({ skills }: ConfigTable): SkillRule[] {
  const given = isTable(skills) && Array.isArray(skills.config) ? skills.config : [];
  return given.flatMap((each) => {
    const read = ruleSchema.safeParse(each);
    return read.success ? [read.data] : [];
  });
}

/** The last rule that fits counts. */
export const isEnabled = (skill: { path: string; name: string }, rules: readonly SkillRule[]): boolean =>
  rules.findLast((rule) => ("path" in rule ? rule.path === skill.path : rule.name === skill.name))?.enabled ?? true;

/** The rules with another one for this key; a skill that is enabled needs none. */
export function withRule(rules: readonly SkillRule[], key: SkillKey, enabled: boolean): SkillRule[] {
  const isOther = (rule: SkillRule) =>
    "path" in key ? !("path" in rule && rule.path === key.path) : !("name" in rule && rule.name === key.name);
  return [...rules.filter(isOther), ...(enabled ? [] : [{ ...key, enabled }])];
}
