import { parse } from "yaml";
import { InvalidRequestError } from "../protocol/errors.ts";
import { isJsonObject } from "../protocol/unknown-kind.ts";

/** What a client shows of a skill; a field that is not given is null. */
export type SkillInterface = {
  readonly displayName: string | null;
  readonly shortDescription: string | null;
  readonly iconSmall: string | null;
  readonly iconLarge: string | null;
  readonly iconSmallUrl: string | null;
  readonly iconLargeUrl: string | null;
  readonly brandColor: string | null;
  readonly defaultPrompt: string | null;
};

/** What `agents/openai.yaml` beside a SKILL.md adds. */
export type SkillExtras = { readonly interface?: SkillInterface; readonly isImplicit?: false };

const INTERFACE = [
  ["displayName", "display_name"],
  ["shortDescription", "short_description"],
  ["iconSmall", "icon_small"],
  ["iconLarge", "icon_large"],
  ["iconSmallUrl", "icon_small_url"],
  ["iconLargeUrl", "icon_large_url"],
  ["brandColor", "brand_color"],
  ["defaultPrompt", "default_prompt"],
] as const satisfies readonly (readonly [keyof SkillInterface, string])[];

/** Reads an `agents/openai.yaml` (SPEC 24). What is wrong in it is left out: the skill itself is none the worse. */
export function parseSkillExtras(text: string): SkillExtras {
  let table: unknown;
  try {
    table = parse(text, { logLevel: "error" });
  } catch {
    return {};
  }
  if (!isJsonObject(table)) return {};
  const shown = table.interface;
  return {
    ...(isJsonObject(shown) && {
      interface: Object.fromEntries(
        INTERFACE.map(([name, key]) => [name, typeof shown[key] === "string" ? shown[key] : null]),
      ) as SkillInterface,
    }),
    ...(isJsonObject(table.policy) && table.policy.allow_implicit_invocation === false && { isImplicit: false }),
  };
}

/** What the front matter of a SKILL.md says. */
export type SkillHeader = { name: string; description: string; shortDescription?: string };

const MAX_NAME = 64;

/**
 * Reads the front matter of a SKILL.md (SPEC 15.2), as leniently as Codex 0.171. Runs of white space become one blank.
 *
 * @param folder whose name the skill has where its file says none
 * @throws InvalidRequestError with Codex's text.
 */
export function parseSkillFile(text: string, folder: string): SkillHeader {
  const header = parsedYaml(frontMatterOf(text));
  if (!isJsonObject(header)) throw new InvalidRequestError("invalid YAML: expected a mapping");
  const metadata = header.metadata;
  if (metadata !== undefined && metadata !== null && !isJsonObject(metadata)) {
    throw new InvalidRequestError("invalid YAML: metadata: expected a mapping");
  }
  const short = textIn(metadata?.["short-description"], "metadata.short-description");
  const name = textIn(header.name, "name") ?? folder;
  if ([...name].length > MAX_NAME) {
    throw new InvalidRequestError(`invalid name: exceeds maximum length of ${MAX_NAME} characters`);
  }
  const description = textIn(header.description, "description");
  if (description === undefined) throw new InvalidRequestError("missing field `description`");
  return { name, description, ...(short !== undefined && { shortDescription: short }) };
}

function frontMatterOf(text: string): string {
  const [first, ...rest] = text.replace(/^\uFEFF/, "").split(/\r?\n/);
  const end = rest.findIndex((line) => line.trimEnd() === "---");
  if (first?.trimEnd() !== "---" || end < 1) throw new InvalidRequestError("missing YAML frontmatter delimited by ---");
  return rest.slice(0, end).join("\n");
}

/** @throws InvalidRequestError for what is no YAML, even with its plain values quoted */
function parsedYaml(source: string): unknown {
  try {
    return parse(source, { logLevel: "error", prettyErrors: true });
  } catch (error) {
    const mended = quoted(source);
    if (mended !== source) return parsedYaml(mended);
    const [problem] = (error instanceof Error ? error.message : String(error)).split("\n");
    throw new InvalidRequestError(`invalid YAML: ${problem?.replace(/:$/, "")}`, { cause: error });
  }
}

/** Many write `description: Use when: ...` without quotes: what stands behind a name at the margin is then taken as it is written. */
const quoted = (source: string): string =>
  source.replace(
    /^([\w-]+):[ \t]+([^\s"'|>].*)$/gm,
    (_, name: string, value: string) => `${name}: ${JSON.stringify(value)}`,
  );

function textIn(value: unknown, field: string): string | undefined {
  if (value === undefined || value === null) return undefined;
  if (typeof value === "object") throw new InvalidRequestError(`invalid YAML: ${field}: expected a string`);
  return String(value).trim().split(/\s+/).join(" ") || undefined;
}

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
  /** How a client may show it; from `agents/openai.yaml` beside SKILL.md. */
  readonly interface?: SkillInterface | undefined;
  /** False: hidden from the model; used when a message names it. */
  readonly isImplicit?: boolean | undefined;
  /** False: config.toml takes it out (`[[skills.config]]`). It is listed, and neither told to the model nor injected. */
  readonly enabled?: boolean | undefined;
};

/** A skill file that cannot be used, and why. */
export type SkillError = { readonly path: string; readonly message: string };

/** What was found for one working directory. Shared by its threads, so not to be changed. */
export type SkillsOutcome = { readonly skills: readonly Skill[]; readonly errors: readonly SkillError[] };
