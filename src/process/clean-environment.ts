/** What children of this process see of its environment. */
import { hasSecretShape, isSecretName } from "../protocol/secrets.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";

/** The variables of a process, or a stand-in for them. */
export type ProcessEnvironment = Readonly<Record<string, string | undefined>>;

/** What a server that is not ours inherits, and a command under `inherit = "core"`: enough to find programs and a home. */
const CORE = ["HOME", "LANG", "LC_ALL", "LOGNAME", "PATH", "SHELL", "TERM", "TMPDIR", "TZ", "USER"];

/**
 * The variables of a command, in the order of Codex's `shell_environment_policy`: what is inherited; without secrets, unless
 * `ignore_default_excludes`; without `exclude`; with `set`; of these only `include_only`. A secret is told by its name or by
 * its value, or by settings that say so: those that take a key or a header from it. One that `include_only` names in full, without a wildcard, is meant, and stays.
 */
export function commandEnvironment(
  environment: ProcessEnvironment,
  { shellEnvironmentPolicy: policy = {}, mcpServers = {} }: Partial<ResolvedThreadConfig> = {},
): Record<string, string> {
  const { inherit = "all", exclude = [], set = {}, include_only: only = [] } = policy;
  const servers = Object.values(mcpServers).flatMap((server) => [
    server.bearer_token_env_var,
    ...Object.values(server.env_http_headers ?? {}),
  ]);
  const named = new Set([...(policy.secrets ?? []), ...servers]);
  const meant = new Set(only.map((name) => name.toUpperCase()));
  const isKept = (name: string, value: string): boolean =>
    (inherit === "all" || (inherit === "core" && CORE.includes(name))) &&
    (policy.ignore_default_excludes === true ||
      meant.has(name.toUpperCase()) ||
      !(named.has(name) || isSecret(name, value))) &&
    !matches(exclude, name);
  const inherited = Object.entries(environment).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && isKept(entry[0], entry[1]),
  );
  const all = Object.entries({ ...Object.fromEntries(inherited), ...set });
  return Object.fromEntries(only.length === 0 ? all : all.filter(([name]) => matches(only, name)));
}

const isSecret = (name: string, value: string): boolean => isSecretName(name) || hasSecretShape(value);

/** Patterns with `*` and `?`, for the whole name, in any case. */
function matches(patterns: readonly string[], name: string): boolean {
  return patterns.some((pattern) => {
    const parts = pattern
      .replace(/[\\^$.*+?()[\]{}|]/g, "\\$&")
      .replaceAll("\\*", ".*")
      .replaceAll("\\?", ".");
    return new RegExp(`^${parts}$`, "is").test(name);
  });
}

/** The few common variables, and those that are named: the name is leave enough. */
export function fewVariables(environment: ProcessEnvironment, names: readonly string[] = []): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const name of [...CORE, ...names]) {
    const value = environment[name];
    if (value !== undefined && (names.includes(name) || !hasSecretShape(value))) kept[name] = value;
  }
  return kept;
}
