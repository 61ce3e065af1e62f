import * as z from "zod";
import { type Budget, budgetSchema } from "./budget.ts";
import { BUILT_IN_TOOL_NAMES, type BuiltInToolName } from "./built-in-tool-names.ts";
import { type CollaborationMode, collaborationModeSchema } from "./collaboration-mode.ts";
import { definedFields } from "./defined-fields.ts";
import { InvalidRequestError } from "./errors.ts";
import type { Tool } from "./function-tool.ts";
import { type McpServers, mcpServersSchema } from "./mcp-servers.ts";
import { areMessageSchemas, type MessageSchemas } from "./message.ts";
import { didYouMean } from "./nearest-name.ts";
import { PERMISSION_PROFILES, type PermissionProfile, policyOfProfile } from "./permission-profile.ts";
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
  type SandboxPolicy,
  sandboxModeOf,
  sandboxModeSchema,
  sandboxPolicyOfMode,
  sandboxPolicySchema,
} from "./policy.ts";
import { type ShellEnvironmentPolicy, shellEnvironmentPolicySchema } from "./shell-environment.ts";
import { isJsonObject } from "./unknown-kind.ts";
import { explainIssues } from "./validation.ts";

/** What becomes of a turn that was left open; see `recovery` in {@link ThreadConfig}. */
export type Recovery = "interrupt" | "continue";

export const recoverySchema: z.ZodType<Recovery> = z.enum(["interrupt", "continue"]);

/** `interactive` is 1, `background` 5. */
export type Priority = 1 | 2 | 3 | 4 | 5 | "interactive" | "background";

/** A thread's settings with every default filled in. */
export type ResolvedThreadConfig = {
  model: string;
  modelProvider: string;
  /** Absolute. */
  cwd: string;
  approvalPolicy: AskForApproval;
  /** Follows from `sandboxPolicy` when that was given. */
  sandboxMode: SandboxMode;
  sandboxPolicy: SandboxPolicy;
  /** The profile that `sandboxPolicy` comes from, and the strongest way to give one; null: it was given otherwise. */
  permissionProfile: PermissionProfile | null;
  /** Who reviews; null: the thread's own model. */
  reviewModel: string | null;
  /** Whether sandboxed commands may use Unix sockets of their own (tmux and its like); the host's are then masked. */
  allowUnixSockets: boolean;
  /** null: the model's own. */
  baseInstructions: string | null;
  developerInstructions: string | null;
  userInstructions: string | null;
  /** The bound of all AGENTS.md files of the project together, in bytes; null: 32 KiB; 0: none are read. */
  projectDocMaxBytes: number | null;
  /** Further names that count where a folder has no AGENTS.md. */
  projectDocFallbackNames: readonly string[];
  /** How the model works with its user; null: nobody has chosen, which is as `default`. An agent has none. */
  collaborationMode: CollaborationMode | null;
  /** What a compaction asks the model for; null: our own words. */
  compactPrompt: string | null;
  /** null: the model's own. */
  reasoningEffort: ReasoningEffort | null;
  /** null: the model's own, which is none for those that Codex knows, and `auto` for others. */
  reasoningSummary: ReasoningSummary | null;
  /** How long answers are to be; null: the model's own. */
  modelVerbosity: ModelVerbosity | null;
  /** What the provider is asked to serve it as, such as `flex`; null: as usual. */
  serviceTier: string | null;
  /** null: what the model is known to have. */
  modelContextWindow: number | null;
  /** null: derived from the context window. */
  modelAutoCompactTokenLimit: number | null;
  /** An ephemeral thread writes no rollout. */
  ephemeral: boolean;
  showRawReasoning: boolean;
  /** Tries after a failed stream, at most 100 (Codex's cap). */
  streamMaxRetries: number;
  requestMaxRetries: number;
  /** Functions that the model may call, as made by `tool(...)`; kept as the same objects, and checked where they are used. */
  tools: readonly Tool[];
  /**
   * What other threads may say to the thread beside prompts (SEMANTICS 9): a Standard Schema for each type of message, added to those
   * of its logic. Kept as the same object, and not stored.
   */
  messages?: MessageSchemas | undefined;
  /** Tools of the house that the model may use; none unless named here. */
  builtInTools: readonly BuiltInToolName[];
  /** `multi_agent`: how many agents may be open under one root thread. */
  agentMaxThreads: number;
  /** `multi_agent`: how deep agents may start agents; a user's thread has depth 0. At 0 nobody may. */
  agentMaxDepth: number;
  /** Which variables commands get; absent: all but those that look like secrets. */
  shellEnvironmentPolicy?: ShellEnvironmentPolicy | undefined;
  /** MCP servers whose tools the model may use; merged by name. */
  mcpServers: McpServers;
  /**
   * What becomes of a turn that a process, or a life of the thread, has left open by its death. `interrupt`: it is marked as
   * interrupted. `continue`: whoever loads the thread goes on with it. Default `interrupt`.
   */
  recovery: Recovery;
  /** The name of the thread's logic among the manager's `logics`, or `built-in`; absent: the manager's `threadLogic`. */
  logic?: string | undefined;
  /**
   * Which turns run first where `limits.runningTurns` holds some back: from 1 (`interactive`) to 5 (`background`). Absent: its
   * parent's, else 3. An agent is never before its parent.
   */
  priority?: Priority | undefined;
  /** What the thread may use; absent: as it was stored, or none; null: none. */
  budget?: Budget | null | undefined;
  /** What the thread and all agents under it may use together. Each request needs room in every one up to the root. */
  treeBudget?: Budget | null | undefined;
  /** What an embedder or another floor keeps with a thread; merged by key. */
  extra: Readonly<Record<string, unknown>>;
};

/** A thread's settings; whatever is absent comes from the layer below. */
export type ThreadConfig = { [K in keyof ResolvedThreadConfig]?: ResolvedThreadConfig[K] | undefined };

const text = z.string();
const name = z.string().min(1, "must not be empty");
const tokens = z.int().min(1);
const retries = z.int().min(0);

const schemas: { [K in keyof ResolvedThreadConfig]-?: z.ZodType<ResolvedThreadConfig[K]> } = {
  model: name,
  modelProvider: name,
  reviewModel: name.nullable(),
  cwd: name,
  approvalPolicy: askForApprovalSchema,
  sandboxMode: sandboxModeSchema,
  sandboxPolicy: sandboxPolicySchema,
  permissionProfile: z.enum(PERMISSION_PROFILES).nullable(),
  allowUnixSockets: z.boolean(),
  baseInstructions: text.nullable(),
  developerInstructions: text.nullable(),
  userInstructions: text.nullable(),
  projectDocMaxBytes: z.int().min(0).nullable(),
  projectDocFallbackNames: z.array(name),
  collaborationMode: collaborationModeSchema.nullable(),
  compactPrompt: text.nullable(),
  reasoningEffort: reasoningEffortSchema.nullable(),
  reasoningSummary: reasoningSummarySchema.nullable(),
  modelVerbosity: modelVerbositySchema.nullable(),
  serviceTier: name.nullable(),
  modelContextWindow: tokens.nullable(),
  modelAutoCompactTokenLimit: tokens.nullable(),
  ephemeral: z.boolean(),
  showRawReasoning: z.boolean(),
  streamMaxRetries: retries.max(100),
  requestMaxRetries: retries.max(100),
  tools: z.custom<readonly Tool[]>(Array.isArray, "Invalid input: expected array"),
  messages: z.custom<MessageSchemas>(
    areMessageSchemas,
    "Invalid input: expected a Standard Schema, or { message, reply }, for each type of message",
  ),
  builtInTools: z.array(z.enum(BUILT_IN_TOOL_NAMES)),
  agentMaxThreads: z.int().min(1),
  agentMaxDepth: z.int().min(0),
  shellEnvironmentPolicy: shellEnvironmentPolicySchema,
  mcpServers: mcpServersSchema,
  recovery: recoverySchema,
  logic: name,
  priority: z.union([z.literal([1, 2, 3, 4, 5]), z.enum(["interactive", "background"])]),
  budget: budgetSchema.nullable(),
  treeBudget: budgetSchema.nullable(),
  extra: z.custom<Record<string, unknown>>(isJsonObject, "Invalid input: expected object"),
};

export const THREAD_CONFIG_KEYS = Object.keys(schemas) as readonly (keyof ResolvedThreadConfig)[];

/**
 * Reads a config from outside. `tools` and `extra` are passed on as the same objects; null and undefined as a whole
 * mean no settings.
 *
 * @throws InvalidRequestError that names every wrong key with its problem, and for an unknown key the nearest known one.
 */
export function parseThreadConfig(value: unknown): ThreadConfig {
  if (value === undefined || value === null) return {};
  if (!isJsonObject(value)) throw new InvalidRequestError("config: must be an object");
  const problems: string[] = [];
  const config: Record<string, unknown> = {};
  for (const [key, given] of Object.entries(value)) {
    if (given === undefined) continue;
    if (!isKey(key)) {
      problems.push(`unknown key \`${key}\`${didYouMean(key, THREAD_CONFIG_KEYS)}`);
      continue;
    }
    const result = schemas[key].safeParse(given);
    if (result.success) config[key] = result.data;
    else problems.push(`${key}: ${explainIssues(result.error.issues)}`);
  }
  if (problems.length > 0) throw new InvalidRequestError(`config: ${problems.join("; ")}`);
  return config;
}

const DEFAULTS: Omit<ResolvedThreadConfig, "cwd" | keyof SandboxSettings> = {
  model: "scripted",
  modelProvider: "scripted",
  approvalPolicy: "on-request",
  reviewModel: null,
  allowUnixSockets: false,
  baseInstructions: null,
  developerInstructions: null,
  userInstructions: null,
  projectDocMaxBytes: null,
  projectDocFallbackNames: [],
  collaborationMode: null,
  compactPrompt: null,
  reasoningEffort: null,
  reasoningSummary: null,
  modelVerbosity: null,
  serviceTier: null,
  modelContextWindow: null,
  modelAutoCompactTokenLimit: null,
  ephemeral: false,
  showRawReasoning: false,
  streamMaxRetries: 5,
  requestMaxRetries: 4,
  tools: [],
  builtInTools: [],
  agentMaxThreads: 6,
  agentMaxDepth: 1,
  mcpServers: {},
  recovery: "interrupt",
  extra: {},
};

/**
 * Fills in every setting: `override` over `defaults` over the built-in ones. Undefined never overrides. Of the
 * sandbox settings the nearest layer that names one decides; in one layer a profile wins over a policy, that over a mode.
 *
 * @throws InvalidRequestError when no layer gives an absolute `cwd`.
 */
export function resolveThreadConfig(defaults: ThreadConfig, override: ThreadConfig = {}): ResolvedThreadConfig {
  const cwd = override.cwd ?? defaults.cwd;
  if (cwd === undefined) throw new InvalidRequestError("config: cwd: must be given");
  if (!isAbsolutePath(cwd)) throw new InvalidRequestError(`config: cwd is not absolute: ${cwd}`);
  return {
    ...DEFAULTS,
    ...definedFields(defaults),
    ...definedFields(override),
    ...sandboxOf(override, defaults),
    mcpServers: { ...defaults.mcpServers, ...override.mcpServers },
    extra: { ...defaults.extra, ...override.extra },
    cwd,
  };
}

type SandboxSettings = Pick<ResolvedThreadConfig, "sandboxMode" | "sandboxPolicy" | "permissionProfile">;

function sandboxOf(...layers: readonly ThreadConfig[]): SandboxSettings {
  const layer = layers.find((each) => each.permissionProfile || each.sandboxPolicy || each.sandboxMode);
  if (layer?.permissionProfile) return sandboxOfProfile(layer.permissionProfile);
  if (layer?.sandboxPolicy !== undefined) return sandboxOfPolicy(layer.sandboxPolicy);
  if (layer?.sandboxMode !== undefined) return sandboxOfPolicy(sandboxPolicyOfMode(layer.sandboxMode));
  return sandboxOfProfile(":read-only");
}

/** The settings that follow from a policy which was given as one. */
export const sandboxOfPolicy = (sandboxPolicy: SandboxPolicy): SandboxSettings => ({
  sandboxPolicy,
  sandboxMode: sandboxModeOf(sandboxPolicy),
  permissionProfile: null,
});

export const sandboxOfProfile = (permissionProfile: PermissionProfile): SandboxSettings => ({
  ...sandboxOfPolicy(policyOfProfile(permissionProfile)),
  permissionProfile,
});

const isKey = (key: string): key is keyof ResolvedThreadConfig => Object.hasOwn(schemas, key);

/** Without node:path, for the machines' sake: a POSIX path, a Windows drive or a share. */
export const isAbsolutePath = (path: string): boolean => /^(?:\/|[A-Za-z]:[\\/]|\\\\)/.test(path);
