import * as z from "zod";

/** Codex's `shell_environment_policy`: which variables commands get. */
export type ShellEnvironmentPolicy = {
  /** What to begin with: everything (the default), a few common variables, or nothing. */
  inherit?: "all" | "core" | "none" | undefined;
  /** Whether variables that look like secrets stay. Default false. */
  ignore_default_excludes?: boolean | undefined;
  /** Patterns (`*`, `?`, any case) of names that go. */
  exclude?: string[] | undefined;
  /** Variables that are added, or get another value. */
  set?: Record<string, string> | undefined;
  /** Patterns of names; nothing else stays. A name without a wildcard stays also where it looks like a secret. */
  include_only?: string[] | undefined;
  /** Further variables that hold secrets, beside those that look like one: not of Codex. */
  secrets?: string[] | undefined;
};

const patterns = z.array(z.string()).optional();

export const shellEnvironmentPolicySchema: z.ZodType<ShellEnvironmentPolicy> = z.looseObject({
  inherit: z.enum(["all", "core", "none"]).optional(),
  ignore_default_excludes: z.boolean().optional(),
  exclude: patterns,
  set: z.record(z.string(), z.string()).optional(),
  include_only: patterns,
  secrets: patterns,
});
