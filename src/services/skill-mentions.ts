import { isAbsolute } from "node:path";
import type { UserInput } from "../protocol/user-input.ts";

/** The skills that an input calls for: by item, by `$name`, and by `[$name](path)`. */
export type SkillMentions = {
  readonly items: readonly { readonly name: string; readonly path: string }[];
  readonly names: ReadonlySet<string>;
  readonly paths: ReadonlySet<string>;
};

/** Variables that a text about a shell may well name. */
const VARIABLES = new Set(["PATH", "HOME", "USER", "SHELL", "PWD", "TMPDIR", "TEMP", "TMP", "LANG", "TERM"]);
/** A link, whose path says which skill is meant, or a name alone. */
const MENTION = /\[\$(?:[\w:-]+)\]\s*\(([^()\n]+)\)|\$([\w-]+(?::[\w-]+)*)/g;

/** Whether an input may call for skills: what costs nothing to ask. */
export const mayMentionSkills = (inputs: readonly UserInput[]): boolean =>
  inputs.some((input) => input.type === "skill" || (input.type === "text" && input.text.includes("$")));

/** What an input mentions (SPEC 24). A name holds letters, digits, `_` and `-`, and `:` within. */
export function mentionsIn(inputs: readonly UserInput[]): SkillMentions {
  const names = new Set<string>();
  const paths = new Set<string>();
  for (const input of inputs) {
    if (input.type !== "text") continue;
    for (const [, path, name] of input.text.matchAll(MENTION)) {
      // Links lead to other things too, such as apps.
      const file = path?.trim().replace(/^skill:\/\//, "");
      if (file !== undefined && isAbsolute(file)) paths.add(file);
      if (name !== undefined && !VARIABLES.has(name)) names.add(name);
    }
  }
  return { items: inputs.filter((input) => input.type === "skill"), names, paths };
}
