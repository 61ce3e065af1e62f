import { type ConfigTable, isTable, valueAt } from "./config-table.ts";

/** How to reach a model provider: a `[model_providers.NAME]` of config.toml, with every default filled in. */
export type ProviderInfo = {
  /** The NAME by which `model_provider` chooses it. */
  readonly id: string;
  /** For people. */
  readonly name: string;
  readonly baseUrl: string | undefined;
  readonly wireApi: WireApi;
  /** The environment variable that holds the key. */
  readonly envKey: string | undefined;
  /** What to tell a user whose environment lacks it. */
  readonly envKeyInstructions: string | undefined;
  /** A key written into the file itself. A secret: never to be logged. */
  readonly bearerToken: string | undefined;
  readonly queryParams: Readonly<Record<string, string>>;
  readonly httpHeaders: Readonly<Record<string, string>>;
  /** Header -> the environment variable that holds its value. */
  readonly envHttpHeaders: Readonly<Record<string, string>>;
  readonly requestMaxRetries: number;
  readonly streamMaxRetries: number;
  readonly streamIdleTimeoutMs: number;
  /** Whether the credentials of the AuthManager are sent. */
  readonly requiresOpenaiAuth: boolean;
};

/** The wire APIs that a provider may name. */
export const WIRE_APIS = ["responses", "chat"] as const;
/** How a provider is spoken to: the Responses API or Chat Completions. */
export type WireApi = (typeof WIRE_APIS)[number];

/** Codex's cap on both kinds of retries. */
export const MAX_RETRIES = 100;

/** Providers that need no entry; an entry of the same name overrides their fields one by one. */
const BUILT_IN: ConfigTable = {
  openai: {
    name: "OpenAI",
    base_url: "https://api.openai.com/v1",
    wire_api: "responses",
    requires_openai_auth: true,
  },
  ollama: { name: "Ollama", base_url: "http://localhost:11434/v1", wire_api: "chat" },
  lmstudio: { name: "LM Studio", base_url: "http://localhost:1234/v1", wire_api: "responses" },
};

export const isBuiltInProvider = (id: string): boolean => Object.hasOwn(BUILT_IN, id);

/** The fields of a provider's table, checked. */
export type ProviderTable = {
  name?: string | undefined;
  base_url?: string | undefined;
  env_key?: string | undefined;
  env_key_instructions?: string | undefined;
  experimental_bearer_token?: string | undefined;
  wire_api?: WireApi | undefined;
  query_params?: Record<string, string> | undefined;
  http_headers?: Record<string, string> | undefined;
  env_http_headers?: Record<string, string> | undefined;
  request_max_retries?: number | undefined;
  stream_max_retries?: number | undefined;
  stream_idle_timeout_ms?: number | undefined;
  requires_openai_auth?: boolean | undefined;
  [key: string]: unknown;
};

/** The built-in providers and those of the tables, by name. */
export function providersOf(tables: Readonly<Record<string, ProviderTable>>): Map<string, ProviderInfo> {
  const ids = new Set([...Object.keys(BUILT_IN), ...Object.keys(tables)]);
  return new Map([...ids].map((id) => [id, providerOf(id, { ...tableAt(BUILT_IN, id), ...tableAt(tables, id) })]));
}

function tableAt(tables: ConfigTable, id: string): ProviderTable {
  const table = valueAt(tables, [id]);
  return isTable(table) ? table : {};
}

const providerOf = (id: string, table: ProviderTable): ProviderInfo => ({
  id,
  name: table.name ?? id,
  baseUrl: table.base_url,
  wireApi: table.wire_api ?? "responses",
  envKey: table.env_key,
  envKeyInstructions: table.env_key_instructions,
  bearerToken: table.experimental_bearer_token,
  queryParams: table.query_params ?? {},
  httpHeaders: table.http_headers ?? {},
  envHttpHeaders: table.env_http_headers ?? {},
  requestMaxRetries: Math.min(table.request_max_retries ?? 4, MAX_RETRIES),
  streamMaxRetries: Math.min(table.stream_max_retries ?? 5, MAX_RETRIES),
  streamIdleTimeoutMs: table.stream_idle_timeout_ms ?? 300_000,
  requiresOpenaiAuth: table.requires_openai_auth ?? false,
});
