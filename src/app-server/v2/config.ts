/** config/read, config/value/write, config/batchWrite and configRequirements/read. */
import { resolve } from "node:path";
import * as z from "zod";
import { REDACTED, withoutSecrets } from "../../protocol/secrets.ts";
import type { ConfigOrigin, LoadedConfig } from "../../services/config-layers.ts";
import { type ConfigTable, isTable, parseKeyPath, valueAt, versionOf } from "../../services/config-table.ts";
import { type MethodTable, method } from "../method.ts";
import { optionalFlag, optionalText, text } from "../params.ts";
import { invalidRequest } from "../rpc-error.ts";
import type { ServerContext } from "../server-context.ts";
import { refusedWrite, throwRefusedWrite } from "./refused-write.ts";

const readSchema = z.object({ includeLayers: optionalFlag, cwd: optionalText });
const edit = { keyPath: text, value: z.unknown(), mergeStrategy: z.enum(["replace", "upsert"]) };
const target = { filePath: optionalText, expectedVersion: optionalText };
const writeSchema = z.object({ ...edit, ...target });
const batchSchema = z.object({ edits: z.array(z.object(edit)), ...target, reloadUserConfig: optionalFlag });

type Edit = { keyPath: string; value?: unknown; mergeStrategy: "replace" | "upsert" };
type Target = { filePath?: string | null | undefined; expectedVersion?: string | null | undefined };

export const configMethods = (server: ServerContext): MethodTable => ({
  "config/read": method({ params: readSchema, handle: (params) => read(server, params) }),
  "config/value/write": method({
    params: writeSchema,
    alone: true,
    handle: (params) => write(server, [params], params),
  }),
  "config/batchWrite": method({
    params: batchSchema,
    alone: true,
    handle: (params) => write(server, params.edits, params),
  }),
  "configRequirements/read": method({
    params: z.object({}),
    handle: () => ({ supportsIndependentSpeedModes: true, requirements: null }),
  }),
});

/** Keys that 0.169 always shows. */
const SHOWN_KEYS = [
  ...["model", "review_model", "model_context_window", "model_auto_compact_token_limit"],
  ...[
    "model_auto_compact_token_limit_scope",
    "model_provider",
    "approval_policy",
    "approvals_reviewer",
    "sandbox_mode",
  ],
  ...["sandbox_workspace_write", "forced_chatgpt_workspace_id", "forced_login_method", "web_search"],
  ...["client_search_provider", "tools", "instructions", "developer_instructions", "compact_prompt"],
  ...["model_reasoning_effort", "model_reasoning_summary", "model_verbosity", "service_tier", "analytics", "apps"],
  ...["browser_use", "computer_use", "desktop"],
];

/** What may be a secret is told as `[redacted]`; all else as it is written. */
async function read({ configs, manager }: ServerContext, { includeLayers }: z.infer<typeof readSchema>) {
  const loaded = await configs.load();
  const version = versionOf(loaded.raw);
  const shown = Object.fromEntries(SHOWN_KEYS.map((key) => [key, null]));
  return {
    config: {
      ...shown,
      model: loaded.config.model ?? manager.config.model,
      model_provider: loaded.config.modelProvider ?? manager.config.modelProvider,
      sandbox_mode: loaded.config.sandboxMode ?? manager.config.sandboxMode,
      ...(withoutSecrets(loaded.raw) as ConfigTable),
      // Of a granular policy all fields, as stock shows it.
      approval_policy: loaded.config.approvalPolicy ?? manager.config.approvalPolicy,
    },
    origins: Object.fromEntries([...loaded.origins].map(([key, origin]) => [key, layerOf(origin, version)])),
    ...(includeLayers === true ? { layers: await layersOf(loaded, configs) } : {}),
  };
}

const layerOf = ({ layer, file }: ConfigOrigin, version: string) => ({
  name:
    (layer === "file" || layer === "profile") && file !== undefined
      ? { type: "user", file, profile: null }
      : { type: "sessionFlags" },
  version,
});

async function layersOf({ raw }: LoadedConfig, { file }: ServerContext["configs"]) {
  const flags = { name: { type: "sessionFlags" }, version: versionOf({}), config: {}, disabledReason: null };
  if (file === undefined) return [{ ...flags, version: versionOf(raw), config: withoutSecrets(raw) }];
  const { path, table, version } = await file.read();
  return [
    flags,
    { name: { type: "user", file: path, profile: null }, version, config: withoutSecrets(table), disabledReason: null },
  ];
}

async function write({ configs }: ServerContext, edits: readonly Edit[], { filePath, expectedVersion }: Target) {
  const { file } = configs;
  if (file === undefined) throw invalidRequest("this server has no config.toml to write");
  if (filePath != null && resolve(filePath) !== resolve(file.path)) {
    throw refusedWrite("Only writes to the user config are allowed", "configLayerReadonly");
  }
  let expected = expectedVersion ?? undefined;
  let contents = await file.read();
  if (expected !== undefined && expected !== contents.version) throw refusedWrite(MODIFIED, "configVersionConflict");
  for (const { keyPath, value, mergeStrategy } of edits) {
    checkKeyPath(keyPath);
    checkIsMeant(keyPath, value);
    const path = parseKeyPath(keyPath);
    const merged = mergeStrategy === "upsert" ? merge(valueAt(contents.table, path), value) : value;
    const options = expected === undefined ? {} : { expectedVersion: expected };
    contents = await file.write(path, merged, options).catch(throwRefusedWrite);
    expected = expected === undefined ? undefined : contents.version;
  }
  return { status: "ok", version: contents.version, filePath: contents.path, overriddenMetadata: null };
}

const MODIFIED = "Configuration was modified since last read. Fetch latest version and retry.";

/** In Codex's words, before our own reading of it. @throws RpcError */
function checkKeyPath(keyPath: string): void {
  if (keyPath === "") throw refusedWrite("keyPath must not be empty");
  if (!keyPath.includes('"') && keyPath.split(".").includes("")) {
    throw refusedWrite("keyPath segments must not be empty");
  }
}

/** What was read without its secrets must not be written over them. @throws RpcError */
function checkIsMeant(keyPath: string, value: unknown): void {
  if (!(JSON.stringify(value) ?? "").includes(REDACTED)) return;
  const advice = "write the secret itself, or only the keys that change";
  throw refusedWrite(`${keyPath}: \`${REDACTED}\` stands for a secret that config/read does not show; ${advice}`);
}

/** A table is added to what is there; anything else replaces it. */
function merge(before: unknown, value: unknown): unknown {
  if (!isTable(before) || !isTable(value)) return value;
  const merged: Record<string, unknown> = { ...before };
  for (const [key, each] of Object.entries(value)) merged[key] = merge(before[key], each);
  return merged satisfies ConfigTable;
}
