import * as z from "zod";
import { InvalidRequestError } from "../protocol/errors.ts";
import {
  type AskForApproval,
  askForApprovalSchema,
  type ModelVerbosity,
  modelVerbositySchema,
  type ReasoningEffort,
  type ReasoningSummary,
  reasoningEffortSchema,
  reasoningSummarySchema,
  type SandboxMode,
  sandboxModeSchema,
} from "../protocol/policy.ts";
import { type ShellEnvironmentPolicy, shellEnvironmentPolicySchema } from "../protocol/shell-environment.ts";
import { type Recovery, recoverySchema } from "../protocol/thread-config.ts";
import { explainIssues } from "../protocol/validation.ts";
import { type ConfigTable, formatKeyPath, isTable, type KeyPath, valueAt } from "./config-table.ts";
import { type ProviderTable, WIRE_APIS } from "./provider-info.ts";

/** The keys of config.toml that Skein reads; all others are kept and passed on. */
export type ConfigData = {
  model?: string | undefined;
  model_provider?: string | undefined;
  review_model?: string | undefined;
  /** Where the built-in `openai` provider is; over OPENAI_BASE_URL. */
  openai_base_url?: string | undefined;
  model_providers?: Record<string, ProviderTable> | undefined;
  approval_policy?: AskForApproval | undefined;
  sandbox_mode?: SandboxMode | undefined;
  sandbox_workspace_write?: WorkspaceWriteTable | undefined;
  /** Unix sockets for sandboxed commands; the host's are then masked. */
  allow_unix_sockets?: boolean | undefined;
  /** A permission profile, in place of a sandbox mode. */
  default_permissions?: string | undefined;
  permissions?: Record<string, unknown> | undefined;
  model_reasoning_effort?: ReasoningEffort | undefined;
  model_reasoning_summary?: ReasoningSummary | undefined;
  model_verbosity?: ModelVerbosity | undefined;
  service_tier?: string | undefined;
  model_context_window?: number | undefined;
  model_auto_compact_token_limit?: number | undefined;
  instructions?: string | undefined;
  /** A file that holds the instructions. */
  model_instructions_file?: string | undefined;
  /** The older name of the same. */
  experimental_instructions_file?: string | undefined;
  developer_instructions?: string | undefined;
  compact_prompt?: string | undefined;
  show_raw_agent_reasoning?: boolean | undefined;
  project_doc_max_bytes?: number | undefined;
  project_doc_fallback_filenames?: string[] | undefined;
  features?: Record<string, unknown> | undefined;
  tools?: Record<string, unknown> | undefined;
  agents?: AgentsTable | undefined;
  mcp_servers?: Record<string, ConfigTable> | undefined;
  shell_environment_policy?: ShellEnvironmentPolicy | undefined;
  /** Ours: what becomes of a turn that a process has left open. */
  recovery?: Recovery | undefined;
  profile?: string | undefined;
  profiles?: Record<string, ConfigTable> | undefined;
  [key: string]: unknown;
};

/** Roles stand in it as tables of their own, and are passed on. */
type AgentsTable = {
  max_threads?: number | undefined;
  /** The newer name of the same. */
  max_concurrent_threads_per_session?: number | undefined;
  max_depth?: number | undefined;
  [key: string]: unknown;
};

export type WorkspaceWriteTable = {
  writable_roots?: string[] | undefined;
  network_access?: boolean | undefined;
  exclude_tmpdir_env_var?: boolean | undefined;
  exclude_slash_tmp?: boolean | undefined;
  [key: string]: unknown;
};

const name = z.string().min(1, "must not be empty").optional();
const text = z.string().optional();
const flag = z.boolean().optional();
const count = z.int().min(0).optional();
const atLeastOne = z.int().min(1).optional();
const texts = z.record(z.string(), z.string()).optional();
const table = z.custom<ConfigTable>(isTable, "Invalid input: expected a table");

const providerSchema: z.ZodType<ProviderTable> = z.looseObject({
  name: text,
  base_url: name,
  env_key: name,
  env_key_instructions: text,
  experimental_bearer_token: text,
  wire_api: z.enum(WIRE_APIS).optional(),
  query_params: texts,
  http_headers: texts,
  env_http_headers: texts,
  request_max_retries: count,
  stream_max_retries: count,
  stream_idle_timeout_ms: count,
  requires_openai_auth: flag,
});

const shape = {
  model: name,
  model_provider: name,
  review_model: name,
  openai_base_url: name,
  model_providers: z.record(z.string(), providerSchema).optional(),
  approval_policy: askForApprovalSchema.optional(),
  sandbox_mode: sandboxModeSchema.optional(),
  sandbox_workspace_write: z
    .looseObject({
      writable_roots: z.array(z.string().min(1)).optional(),
      network_access: flag,
      exclude_tmpdir_env_var: flag,
      exclude_slash_tmp: flag,
    })
    .optional(),
  allow_unix_sockets: flag,
  default_permissions: text,
  permissions: z.record(z.string(), z.unknown()).optional(),
  model_reasoning_effort: reasoningEffortSchema.optional(),
  model_reasoning_summary: reasoningSummarySchema.optional(),
  model_verbosity: modelVerbositySchema.optional(),
  service_tier: name,
  model_context_window: atLeastOne,
  model_auto_compact_token_limit: atLeastOne,
  instructions: text,
  model_instructions_file: name,
  experimental_instructions_file: name,
  developer_instructions: text,
  compact_prompt: text,
  show_raw_agent_reasoning: flag,
  project_doc_max_bytes: count,
  project_doc_fallback_filenames: z.array(z.string().min(1)).optional(),
  features: z.record(z.string(), z.unknown()).optional(),
  tools: z.record(z.string(), z.unknown()).optional(),
  agents: z
    .looseObject({ max_threads: atLeastOne, max_concurrent_threads_per_session: atLeastOne, max_depth: count })
    .optional(),
  mcp_servers: z.record(z.string(), table).optional(),
  shell_environment_policy: shellEnvironmentPolicySchema.optional(),
  recovery: recoverySchema.optional(),
  profile: name,
  profiles: z.record(z.string(), table).optional(),
};
const configSchema: z.ZodType<ConfigData> = z.looseObject(shape);

/** The keys that are read, at the top and in a profile. */
export const CONFIG_KEYS: readonly string[] = Object.keys(shape);

/** Where a key of a layer stands, for the head of an error: `/home/me/.skein/config.toml:3`. */
export type WhereIs = (path: KeyPath) => string;

/**
 * Checks the keys that are known, also in profiles.
 *
 * @throws InvalidRequestError that gives the place, the key and the problem of each that is wrong. It never quotes a value.
 */
export function checkConfig(layer: ConfigTable, whereIs: WhereIs): ConfigData {
  const result = configSchema.safeParse(layer);
  const problems = problemsOf(result.error, [], whereIs);
  const profiles = valueAt(layer, ["profiles"]);
  for (const [profile, body] of Object.entries(isTable(profiles) ? profiles : {})) {
    problems.push(...problemsOf(configSchema.safeParse(body).error, ["profiles", profile], whereIs));
  }
  if (problems.length > 0 || !result.success) throw new InvalidRequestError([...new Set(problems)].join("; "));
  return result.data;
}

function problemsOf(error: z.ZodError | undefined, above: KeyPath, whereIs: WhereIs): string[] {
  return (error?.issues ?? []).map((issue) => {
    const path = [...above, ...issue.path.map(String)];
    return `${whereIs(path)}: ${formatKeyPath(path)}: ${explainIssues([{ ...issue, path: [] }])}`;
  });
}
