/**
 * A manager's options from a home folder: its config.toml, credentials, skills and instructions, and the model providers
 * that the config names. What the CLI and the app-server run with; an embedder may use it as well.
 */
import type { Clock } from "../kernel/clock.ts";
import type { SkeinLogger } from "../kernel/log.ts";
import { chatClient } from "../model/chat-client.ts";
import type { ModelClient } from "../model/model-client.ts";
import { responsesClient } from "../model/responses-client.ts";
import { scriptedClient } from "../model/scripted-client.ts";
import { InvalidRequestError } from "../protocol/errors.ts";
import type { SessionSource } from "../protocol/session-source.ts";
import type { ResolvedThreadConfig, ThreadConfig } from "../protocol/thread-config.ts";
import { type AuthManager, fileAuthManager, memoryAuthManager } from "../services/auth-manager.ts";
import { type ConfigFile, createConfigFile } from "../services/config-file.ts";
import { type LoadedConfig, loadConfig } from "../services/config-layers.ts";
import type { ConfigOverride } from "../services/config-overrides.ts";
import { OPENAI_PROVIDER, SCRIPTED } from "../services/model-catalog.ts";
import { createModelsManager } from "../services/models-manager.ts";
import { createProjectDocs } from "../services/project-docs.ts";
import { projectInstructions } from "../services/project-instructions.ts";
import { accessTo } from "../services/provider-access.ts";
import { createSkillsManager } from "../services/skills-manager.ts";
import type { ModelSource, ThreadManagerOptions } from "./options.ts";

export type HomeOptions = {
  /** The folder of config.toml, auth.json, skills and sessions. */
  readonly home: string;
  /** Where API keys are looked up, and what commands and MCP servers inherit. Nothing else reads the environment. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Absolute. */
  readonly cwd: string;
  /** A key for OpenAI, in place of the stored credentials. */
  readonly apiKey?: string | undefined;
  readonly profile?: string | undefined;
  /** `-c key=value` of the process. */
  readonly overrides?: readonly ConfigOverride[] | undefined;
  readonly typed?: ThreadConfig | undefined;
  readonly sessionSource?: SessionSource | undefined;
  readonly originator?: string | undefined;
  readonly logger?: SkeinLogger | undefined;
  readonly clock?: Clock | undefined;
};

export type OpenedHome = {
  readonly home: string;
  /** For `ThreadManager.create`; to be extended as one likes. */
  readonly options: ThreadManagerOptions;
  readonly configFile: ConfigFile;
  /** The layers as they were read; {@link reload} reads them anew, with a request's own on top. */
  readonly loaded: LoadedConfig;
  /** Whether the scripted client answers threads that name no provider: there was neither a provider nor a key. */
  readonly isScripted: boolean;
  /** The settings of one request: config.toml read again, under the request's `config` and its typed parameters. */
  reload(request?: { config?: unknown; typed?: ThreadConfig; profile?: string }): Promise<LoadedConfig>;
  /** Closes the connections to model providers. The manager is the caller's to shut down first. */
  close(): Promise<void>;
};

/**
 * Opens a home. The folder need not exist; nothing is written.
 *
 * @throws InvalidRequestError for a config.toml that is wrong, with file, line and key
 */
export async function openHome(options: HomeOptions): Promise<OpenedHome> {
  const { home, env, cwd, apiKey, clock, logger } = options;
  const configFile = createConfigFile(home);
  const { overrides, typed, profile } = options;
  const loaded = await loadConfig(configFile, { cwd, overrides, typed, profile });
  const auth = apiKey === undefined ? fileAuthManager({ home, ...given({ logger }) }) : memoryAuthManager({ apiKey });
  const isOpenAi = Boolean(auth.apiKey() || env.OPENAI_API_KEY?.trim() || loaded.openaiBaseUrl);
  const providerId = loaded.config.modelProvider ?? (isOpenAi ? OPENAI_PROVIDER : SCRIPTED);
  const clients = new ProviderClients({ ...options, providerId, known: loaded, auth });
  const skills = createSkillsManager({ home });
  const docs = createProjectDocs({ fallbackNames: loaded.projectDocFallbackNames, clock });
  return {
    home,
    configFile,
    loaded,
    isScripted: providerId === SCRIPTED,
    options: {
      home,
      model: clients,
      config: loaded.config,
      environment: env,
      auth,
      models: createModelsManager({ home, clock, logger }),
      skills,
      instructions: projectInstructions({ home, skills, docs }),
      ...given({ sessionSource: options.sessionSource, originator: options.originator, logger, clock }),
    },
    reload: async (request = {}) => {
      const fresh = await loadConfig(configFile, {
        cwd,
        overrides,
        request: request.config,
        typed: { ...typed, ...request.typed },
        profile: request.profile ?? profile,
      });
      clients.know(fresh);
      return fresh;
    },
    close: () => clients.close(),
  };
}

/** The fields that are set. */
const given = <T extends object>(fields: T): { [K in keyof T]?: NonNullable<T[K]> } =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: NonNullable<T[K]>;
  };

type KnownProviders = Pick<LoadedConfig, "providers" | "openaiBaseUrl">;

type ProviderParts = Pick<HomeOptions, "env" | "originator" | "clock"> & {
  readonly providerId: string;
  readonly known: KnownProviders;
  readonly auth: AuthManager;
};

/** One client for each provider that threads name, made at its first use and kept with its connections. */
class ProviderClients implements ModelSource {
  readonly providerId: string;
  readonly #parts: ProviderParts;
  #known: KnownProviders;
  readonly #clients = new Map<string, ModelClient>();

  constructor(parts: ProviderParts) {
    this.providerId = parts.providerId;
    this.#parts = parts;
    this.#known = parts.known;
  }

  /**
   * config.toml was read again: providers that it or the request names now can be used, as long as threads may have them;
   * those in use stay as they are.
   */
  know({ providers, openaiBaseUrl }: KnownProviders): void {
    this.#known = { providers: new Map([...this.#known.providers, ...providers]), openaiBaseUrl };
  }

  clientFor({ modelProvider }: ResolvedThreadConfig): ModelClient {
    const known = this.#clients.get(modelProvider);
    if (known !== undefined) return known;
    const client = this.#make(modelProvider);
    this.#clients.set(modelProvider, client);
    return client;
  }

  #make(id: string): ModelClient {
    if (id === SCRIPTED) return scriptedClient();
    const provider = this.#known.providers.get(id);
    if (provider?.baseUrl === undefined) {
      const problem = provider === undefined ? "not found" : "has no base_url";
      throw new InvalidRequestError(`Model provider \`${id}\` ${problem}`);
    }
    const { env, auth, originator, clock } = this.#parts;
    const elsewhere = id === OPENAI_PROVIDER ? (this.#known.openaiBaseUrl ?? env.OPENAI_BASE_URL?.trim()) : undefined;
    const baseUrl = elsewhere || provider.baseUrl;
    const fallback = provider.requiresOpenaiAuth ? env.OPENAI_API_KEY?.trim() || undefined : undefined;
    const endpoint = {
      providerId: id,
      baseUrl,
      apiKey: () => accessTo(provider, { env, auth }).apiKey ?? fallback,
      headers: accessTo(provider, { env, auth }).headers,
      queryParams: provider.queryParams,
      idleTimeoutMs: provider.streamIdleTimeoutMs,
      requestMaxRetries: provider.requestMaxRetries,
      originator,
      clock,
    };
    return provider.wireApi === "chat" ? chatClient(endpoint) : responsesClient(endpoint);
  }

  async close(): Promise<void> {
    await Promise.all([...this.#clients.values()].map((client) => client.close?.()));
    this.#clients.clear();
  }
}
