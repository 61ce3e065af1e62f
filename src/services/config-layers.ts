/**
 * A thread's settings from all their layers (SPEC 9.5), lowest first: the embedder's defaults, config.toml, the chosen
 * profile, the `-c` overrides of the process, the request's `config`, the typed parameters.
 *
 * - The later layer wins, key by key; tables merge.
 * - What is undefined or null in a layer overrides nothing.
 * - Unknown keys survive in `raw`.
 */
import { dirname, resolve } from "node:path";
import { InvalidRequestError } from "../protocol/errors.ts";
import type { McpServers } from "../protocol/mcp-servers.ts";
import { profileNamed } from "../protocol/permission-profile.ts";
import { type SandboxPolicy, sandboxPolicyOfMode } from "../protocol/policy.ts";
import type { ThreadConfig } from "../protocol/thread-config.ts";
import { readTextSync } from "./bounded-read.ts";
import type { ConfigFileContents } from "./config-file.ts";
import { type ConfigOverride, tableOfOverrides, tableOfRequest } from "./config-overrides.ts";
import { type ConfigData, checkConfig, type WorkspaceWriteTable } from "./config-schema.ts";
import { type ConfigTable, formatKeyPath, isTable, leavesOf, mergeTables, valueAt } from "./config-table.ts";
import { ioText } from "./io-failure.ts";
import { SCRIPTED } from "./model-catalog.ts";
import { MAX_RETRIES, type ProviderInfo, providersOf } from "./provider-info.ts";

/** Where a setting comes from; each layer counts over the ones before it. */
export type ConfigLayerName = "file" | "profile" | "process" | "request";

/** Which layer decided a key, and where a file's layer has it. */
export type ConfigOrigin = { readonly layer: ConfigLayerName; readonly file?: string; readonly line?: number };

export type ConfigSources = {
  /** What `ConfigFile.read` gave. */
  readonly file?: ConfigFileContents | undefined;
  /** The process's directory, absolute. Relative paths are relative to that; those of config.toml to its folder. */
  readonly cwd: string;
  readonly defaults?: ThreadConfig | undefined;
  /** A profile that is named outside of the layers; it wins over their `profile`. */
  readonly profile?: string | undefined;
  /** What `NAME.config.toml` of that profile holds: where it says something, it is the profile (Codex since 0.171); where nobody does, a warning tells of it. */
  readonly profileFile?: ConfigFileContents | undefined;
  /** One that the request's typed params name: it wins over all others, and over the request's `config`. */
  readonly typedProfile?: string | undefined;
  readonly overrides?: readonly ConfigOverride[] | undefined;
  /** The request's `config`: dotted keys, JSON values. */
  readonly request?: unknown;
  readonly typed?: ThreadConfig | undefined;
  /** Providers that need no entry beside the built-in ones and `scripted`: an embedder's own ModelClient's. */
  readonly embeddedProviders?: readonly string[] | undefined;
};

/** What the layers of settings (config.toml, profiles, flags, a request's own) say together. */
export type LoadedConfig = {
  /** What the layers say, and nothing that none of them says; `cwd` is always there and absolute. */
  readonly config: ThreadConfig;
  readonly providers: ReadonlyMap<string, ProviderInfo>;
  /** Where the built-in `openai` provider is, if the layers say. */
  readonly openaiBaseUrl: string | undefined;
  readonly profile: string | undefined;
  readonly features: ConfigTable;
  readonly mcpServers: Readonly<Record<string, ConfigTable>>;
  /** Where the base instructions come from, where a layer names a file: what is read stands in `config`. */
  readonly instructionsFile: string | undefined;
  /** For each dotted key of `raw` that is no table. */
  readonly origins: ReadonlyMap<string, ConfigOrigin>;
  readonly warnings: readonly string[];
  /** All layers but the defaults and the typed parameters, merged, in config.toml's own keys. May hold secrets. */
  readonly raw: ConfigTable;
};

/**
 * Puts the layers over one another.
 *
 * Reads the file that holds the instructions, where a layer names one.
 *
 * @throws InvalidRequestError that names the layer, the key and the problem; with Codex's texts for an unknown provider and
 * an unknown profile.
 */
export function layerConfig(sources: ConfigSources): LoadedConfig {
  const layers = rawLayers(sources);
  const raw = layers.reduce<ConfigTable>((below, { table }) => mergeTables(below, table), {});
  const data = checkConfig(raw, () => "config");
  const providers = providersOf(data.model_providers ?? {});
  const instructionsFile = instructionsFileOf(sources, layers);
  const config = threadConfigOf(data, sources, layers, instructionsFile);
  const { modelProvider } = config;
  if (modelProvider !== undefined && !providers.has(modelProvider) && !isEmbedded(modelProvider, sources)) {
    throw new InvalidRequestError(`Model provider \`${modelProvider}\` not found`);
  }
  let origins: ReadonlyMap<string, ConfigOrigin> | undefined;
  return {
    config,
    providers,
    openaiBaseUrl: data.openai_base_url,
    profile: layers.find(({ name }) => name === "profile")?.profile,
    features: data.features ?? {},
    mcpServers: data.mcp_servers ?? {},
    instructionsFile,
    get origins() {
      origins ??= originsOf(layers, sources.file);
      return origins;
    },
    warnings: [...missingProfile(sources, layers), ...warningsOf(data)],
    raw,
  };
}

const isEmbedded = (provider: string, sources: ConfigSources): boolean =>
  provider === SCRIPTED || (sources.embeddedProviders?.includes(provider) ?? false);

type Layer = {
  readonly name: ConfigLayerName;
  readonly table: ConfigTable;
  readonly profile?: string;
  /** The file that is this layer, where that is not config.toml. */
  readonly file?: ConfigFileContents;
};

function rawLayers(sources: ConfigSources): Layer[] {
  const file = sources.file?.table ?? {};
  const process = tableOfOverrides(sources.overrides ?? []);
  const request = tableOfRequest(sources.request);
  checkConfig(checkedAlone(process), () => "-c");
  checkConfig(checkedAlone(request), () => "config");
  const above: Layer[] = [
    { name: "process", table: process },
    { name: "request", table: request },
  ];
  const all = mergeTables(mergeTables(file, process), request);
  const { typedProfile } = sources;
  const profile = typedProfile ?? sources.profile ?? valueAt(all, ["profile"]);
  if (typeof profile !== "string") return [{ name: "file", table: file }, ...above];
  const { profileFile } = sources;
  if (typedProfile === undefined && profileFile !== undefined && Object.keys(profileFile.table).length > 0) {
    const own: Layer = { name: "profile", table: profileFile.table, profile, file: profileFile };
    return [{ name: "file", table: file }, own, ...above];
  }
  const body = valueAt(all, ["profiles", profile]);
  if (!isTable(body)) {
    if (typedProfile === undefined && profileFile !== undefined) return [{ name: "file", table: file }, ...above];
    throw new InvalidRequestError(`config profile \`${profile}\` not found`);
  }
  const own: Layer = { name: "profile", table: body, profile };
  return [{ name: "file", table: file }, ...(typedProfile === undefined ? [own, ...above] : [...above, own])];
}

/** A layer may give single fields of a granular policy: the policy is checked once the layers are merged. */
const checkedAlone = ({ approval_policy, ...rest }: ConfigTable): ConfigTable =>
  isTable(approval_policy) ? rest : { ...rest, ...(approval_policy !== undefined && { approval_policy }) };

/** Stock Codex passes over it in silence. */
const missingProfile = ({ profile }: ConfigSources, layers: readonly Layer[]): string[] =>
  profile === undefined || layers.some(({ name }) => name === "profile")
    ? []
    : [
        `the profile \`${profile}\` changes nothing: neither ${profile}.config.toml nor [profiles.${profile}] says anything`,
      ];

const INSTRUCTIONS_FILES = ["model_instructions_file", "experimental_instructions_file"] as const;
const MAX_INSTRUCTIONS_BYTES = 1 << 20;

/** The nearest layer that gives instructions decides; undefined where it gives them as a text, or none does. */
function instructionsFileOf(sources: ConfigSources, layers: readonly Layer[]): string | undefined {
  if (sources.typed?.baseInstructions !== undefined) return undefined;
  const fileIn = ({ table }: Layer): unknown =>
    INSTRUCTIONS_FILES.map((key) => table[key]).find((value) => value != null);
  const decider = layers.findLast((layer) => fileIn(layer) ?? layer.table.instructions);
  const file = decider === undefined ? undefined : fileIn(decider);
  return typeof file === "string" ? resolve(baseOf(decider, sources), file) : undefined;
}

/** What relative paths of a layer are relative to. */
const baseOf = (layer: Layer | undefined, { file, cwd }: ConfigSources): string =>
  file !== undefined && (layer?.name === "file" || layer?.name === "profile") ? dirname(file.path) : cwd;

function instructionsIn(path: string): string {
  let text: string;
  try {
    text = readTextSync(path, MAX_INSTRUCTIONS_BYTES).trim();
  } catch (error) {
    throw new InvalidRequestError(`failed to read model instructions file ${path}: ${ioText(error)}`, { cause: error });
  }
  if (text === "") throw new InvalidRequestError(`model instructions file is empty: ${path}`);
  return text;
}

function threadConfigOf(
  data: ConfigData,
  sources: ConfigSources,
  layers: readonly Layer[],
  instructionsFile: string | undefined,
): ThreadConfig {
  const { defaults = {}, typed = {} } = sources;
  const stated: ThreadConfig = {
    model: data.model,
    modelProvider: data.model_provider,
    reviewModel: data.review_model,
    approvalPolicy: data.approval_policy,
    allowUnixSockets: data.allow_unix_sockets,
    baseInstructions: instructionsFile === undefined ? data.instructions : instructionsIn(instructionsFile),
    developerInstructions: data.developer_instructions,
    compactPrompt: data.compact_prompt,
    reasoningEffort: data.model_reasoning_effort,
    reasoningSummary: data.model_reasoning_summary,
    modelVerbosity: data.model_verbosity,
    serviceTier: data.service_tier,
    projectDocMaxBytes: data.project_doc_max_bytes,
    projectDocFallbackNames: data.project_doc_fallback_filenames,
    modelContextWindow: data.model_context_window,
    modelAutoCompactTokenLimit: data.model_auto_compact_token_limit,
    showRawReasoning: data.show_raw_agent_reasoning,
    agentMaxThreads: data.agents?.max_threads ?? data.agents?.max_concurrent_threads_per_session,
    agentMaxDepth: data.agents?.max_depth,
    shellEnvironmentPolicy: data.shell_environment_policy,
    recovery: data.recovery,
    // As the layers gave them; parseThreadConfig checks them where threads run with this config.
    mcpServers: data.mcp_servers as McpServers | undefined,
  };
  const extra = { ...defaults.extra, ...typed.extra };
  return {
    ...withoutSandbox(defaults),
    ...withoutSandbox(stated),
    ...retriesOf(data, typed.modelProvider ?? data.model_provider ?? defaults.modelProvider),
    ...withoutSandbox(typed),
    ...sandboxOf(data, sources, layers),
    ...toolsOf(data, typed.builtInTools ?? defaults.builtInTools),
    ...(Object.keys(extra).length > 0 && { extra }),
    cwd: resolve(sources.cwd, typed.cwd ?? defaults.cwd ?? ""),
  };
}

/**
 * `features.multi_agent = false` takes the tools for agents away, `tools.view_image = false` that for pictures; with
 * `features.collab = true` the first have the names that 0.87 has for them.
 */
function toolsOf({ features = {}, tools: chosen = {} }: ConfigData, tools: ThreadConfig["builtInTools"]): ThreadConfig {
  if (tools === undefined) return {};
  const refused = new Set<string>();
  if (features.multi_agent === false) refused.add("multi_agent");
  if (chosen.view_image === false) refused.add("view_image");
  const wanted = tools.filter((name) => !refused.has(name));
  const isCollab = features.collab === true;
  return { builtInTools: wanted.map((name) => (isCollab && name === "multi_agent" ? "collab" : name)) };
}

/** What is set of it; the sandbox's settings go together, so they are settled apart. */
const withoutSandbox = (config: ThreadConfig): ThreadConfig =>
  Object.fromEntries(
    Object.entries(config).filter(
      ([key, value]) =>
        value !== undefined && key !== "sandboxMode" && key !== "sandboxPolicy" && key !== "permissionProfile",
    ),
  );

/** The nearest layer that names a profile, a policy or a mode decides; `sandbox_workspace_write` says what a mode means. */
function sandboxOf(data: ConfigData, sources: ConfigSources, layers: readonly Layer[]): ThreadConfig {
  const { defaults = {}, typed = {} } = sources;
  if (typed.permissionProfile) return { permissionProfile: typed.permissionProfile };
  if (typed.sandboxPolicy !== undefined) return { sandboxPolicy: typed.sandboxPolicy };
  const named = layers.findLast(({ table }) => table.default_permissions ?? table.sandbox_mode);
  if (typed.sandboxMode === undefined && named?.table.default_permissions !== undefined) {
    return { permissionProfile: profileOf(data, named.name) };
  }
  const nearest = typed.sandboxMode ?? data.sandbox_mode;
  if (nearest === undefined && defaults.permissionProfile) return { permissionProfile: defaults.permissionProfile };
  if (nearest === undefined && defaults.sandboxPolicy !== undefined) return { sandboxPolicy: defaults.sandboxPolicy };
  const sandboxMode = nearest ?? defaults.sandboxMode;
  if (sandboxMode === undefined) return {};
  return { sandboxMode, sandboxPolicy: policyOf(sandboxMode, data.sandbox_workspace_write, sources, layers) };
}

/** A profile of the user's own, which cannot be put into effect, is refused to a request, and narrowed otherwise. */
function profileOf({ default_permissions: name = "", permissions = {} }: ConfigData, layer: ConfigLayerName) {
  const isNarrowed = layer !== "request" && Object.hasOwn(permissions, name);
  return isNarrowed ? ":read-only" : profileNamed(name, Object.keys(permissions));
}

function policyOf(
  mode: NonNullable<ThreadConfig["sandboxMode"]>,
  table: WorkspaceWriteTable | undefined,
  sources: ConfigSources,
  layers: readonly Layer[],
): SandboxPolicy {
  const policy = sandboxPolicyOfMode(mode);
  if (policy.type !== "workspace-write" || table === undefined) return policy;
  const decider = layers.findLast((layer) => valueAt(layer.table, ["sandbox_workspace_write", "writable_roots"]));
  const base = baseOf(decider, sources);
  return {
    type: "workspace-write",
    writable_roots: (table.writable_roots ?? []).map((root) => resolve(base, root)),
    network_access: table.network_access ?? policy.network_access,
    exclude_tmpdir_env_var: table.exclude_tmpdir_env_var ?? policy.exclude_tmpdir_env_var,
    exclude_slash_tmp: table.exclude_slash_tmp ?? policy.exclude_slash_tmp,
  };
}

/** Only what the provider's table itself says, so that the embedder's defaults count where it is silent. */
function retriesOf(data: ConfigData, provider: string | undefined): ThreadConfig {
  const table = provider === undefined ? undefined : valueAt(data.model_providers ?? {}, [provider]);
  if (!isTable(table)) return {};
  const { request_max_retries: request, stream_max_retries: stream } = table;
  return {
    ...(typeof request === "number" && { requestMaxRetries: Math.min(request, MAX_RETRIES) }),
    ...(typeof stream === "number" && { streamMaxRetries: Math.min(stream, MAX_RETRIES) }),
  };
}

function originsOf(layers: readonly Layer[], file: ConfigFileContents | undefined): Map<string, ConfigOrigin> {
  const origins = new Map<string, ConfigOrigin>();
  for (const { name, table, profile, file: own } of layers) {
    for (const { path, value } of leavesOf(table)) {
      if (value === undefined || value === null) continue;
      const holder = own ?? file;
      const written = profile === undefined || own !== undefined ? path : ["profiles", profile, ...path];
      const isOfFile = holder !== undefined && valueAt(holder.table, written) !== undefined;
      const line = isOfFile && (name === "file" || name === "profile") ? holder.lineOf(written) : undefined;
      origins.set(formatKeyPath(path), {
        layer: name,
        ...(line !== undefined && holder !== undefined && { file: holder.path, line }),
      });
    }
  }
  return origins;
}

function warningsOf(data: ConfigData): string[] {
  return [...profileWarnings(data), ...retryWarnings(data)];
}

function profileWarnings({ default_permissions: name, permissions }: ConfigData): string[] {
  if (name === undefined || !Object.hasOwn(permissions ?? {}, name)) return [];
  return [`default_permissions: \`${name}\` is not built in; commands are sandboxed read-only`];
}

function retryWarnings(data: ConfigData): string[] {
  return Object.entries(data.model_providers ?? {}).flatMap(([id, table]) =>
    (["request_max_retries", "stream_max_retries"] as const)
      .filter((key) => (table[key] ?? 0) > MAX_RETRIES)
      .map((key) => `model_providers.${id}.${key}: ${table[key]} is more than ${MAX_RETRIES}, which is used`),
  );
}
