/**
 * A manager's options from a home folder: its config.toml, credentials, skills and instructions, and the model providers
 * that the config names. What the CLI and the app-server run with; an embedder may use it as well.
 */
import { type Clock, systemClock } from "../kernel/clock.ts";
import type { SkeinLogger } from "../kernel/log.ts";
import { type ChatClientOptions, chatClient } from "../model/chat-client.ts";
import { ClientPool } from "../model/client-pool.ts";
import type { EndpointOptions } from "../model/endpoint-options.ts";
import type { ModelClient } from "../model/model-client.ts";
import { type ResponsesClientOptions, responsesClient } from "../model/responses-client.ts";
import { scriptedClient } from "../model/scripted-client.ts";
import { InvalidRequestError } from "../protocol/errors.ts";
import { privateValues } from "../protocol/secrets.ts";
import type { SessionSource } from "../protocol/session-source.ts";
import { shownAs } from "../protocol/shown-as.ts";
import type { ResolvedThreadConfig, ThreadConfig } from "../protocol/thread-config.ts";
import { type AuthManager, fileAuthManager, memoryAuthManager } from "../services/auth-manager.ts";
import { type ConfigFile, createConfigFile, profileFile } from "../services/config-file.ts";
import { type LoadedConfig, layerConfig } from "../services/config-layers.ts";
import type { ConfigOverride } from "../services/config-overrides.ts";
import { OPENAI_PROVIDER, SCRIPTED } from "../services/model-catalog.ts";
import { createModelsManager } from "../services/models-manager.ts";
import { createProjectDocs } from "../services/project-docs.ts";
import { projectInstructions } from "../services/project-instructions.ts";
import { accessTo } from "../services/provider-access.ts";
import { ProviderBook } from "../services/provider-book.ts";
import type { ProviderInfo, WireApi } from "../services/provider-info.ts";
import { skillRulesOf } from "../services/skill-rules.ts";
import { createSkillsManager } from "../services/skills-manager.ts";
import { refuseUnknownNames } from "../services/strict-config.ts";
import type { ModelSource, ThreadManagerOptions } from "./options.ts";

/** A wire API without a client does not compile. */
const CLIENTS: Readonly<Record<WireApi, (options: ChatClientOptions & ResponsesClientOptions) => ModelClient>> = {
  responses: responsesClient,
  chat: chatClient,
};

/** Where `openHome` looks, and what counts over config.toml. */
export type HomeOptions = {
  /** The folder of config.toml, auth.json, skills and sessions. */
  readonly home: string;
  /** Where API keys are looked up, and what commands and MCP servers inherit. Nothing else reads the environment. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Absolute. */
  readonly cwd: string;
  /** A key for OpenAI, in place of the stored credentials. */
  readonly apiKey?: string | undefined;
  /** A profile: `NAME.config.toml` of the home, else the table of that name in config.toml. */
  readonly profile?: string | undefined;
  /** `ignored`: config.toml is not read; what is signed in, and the profile that is named, count as ever. Default `read`. */
  readonly userConfig?: "read" | "ignored" | undefined;
  /** `refused`: a name at the top of a file or of `-c`, or of a feature, that nobody knows is an error. Default `kept`. */
  readonly unknownSettings?: "kept" | "refused" | undefined;
  /** `-c key=value` of the process. */
  readonly overrides?: readonly ConfigOverride[] | undefined;
  readonly typed?: ThreadConfig | undefined;
  readonly sessionSource?: SessionSource | undefined;
  readonly originator?: string | undefined;
  readonly logger?: SkeinLogger | undefined;
  readonly clock?: Clock | undefined;
};

/** What `openHome` found in a home: options for a manager, and the config.toml behind them. */
export type OpenedHome = {
  readonly home: string;
  /** For `ThreadManager.create`; to be extended as one likes. */
  readonly options: ThreadManagerOptions;
  readonly configFile: ConfigFile;
  /** The layers as they were read; {@link reload} reads them anew, with a request's own on top. */
  readonly loaded: LoadedConfig;
  /** Whether the scripted client answers threads that name no provider: there was neither a provider nor a key. */
  readonly isScripted: boolean;
  /**
   * The settings of one request: config.toml read again, under the request's `config` and its typed parameters. Threads
   * that are made with its `config` reach model providers as it says, and no others do. Without a request's `config` or
   * profile, what is read also counts from now on for threads whose settings came from elsewhere.
   */
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
  const ofProfile = profile === undefined ? undefined : profileFile(home, profile);
  const filesNow = async () => {
    const files = {
      file: options.userConfig === "ignored" ? undefined : await configFile.read(),
      profileFile: await ofProfile?.read(),
    };
    if (options.unknownSettings === "refused") refuseUnknownNames(files, overrides ?? []);
    return files;
  };
  const loaded = layerConfig({ ...(await filesNow()), cwd, overrides, typed, profile });
  const book = new ProviderBook(loaded);
  const auth = apiKey === undefined ? fileAuthManager({ home, ...given({ logger }) }) : memoryAuthManager({ apiKey });
  const isOpenAi = Boolean(auth.apiKey() || env.OPENAI_API_KEY?.trim() || loaded.openaiBaseUrl);
  const providerId = loaded.config.modelProvider ?? (isOpenAi ? OPENAI_PROVIDER : SCRIPTED);
  const models = new ProviderClients({ ...options, providerId, book, auth });
  const skills = createSkillsManager({
    ...{ home, userFolder: env.HOME },
    rules: async () => skillRulesOf((await configFile.read()).table),
  });
  const docs = createProjectDocs({ clock });
  const managerOptions: ThreadManagerOptions = {
    home,
    model: models,
    config: book.guarding(loaded.config),
    environment: env,
    auth,
    models: createModelsManager({ home, clock, logger }),
    skills,
    instructions: projectInstructions({ home, skills, docs }),
    ...given({ sessionSource: options.sessionSource, originator: options.originator, logger, clock }),
  };
  const opened: OpenedHome = {
    home,
    configFile,
    loaded: shownAs(loaded, () => ({ providers: book })),
    isScripted: providerId === SCRIPTED,
    options: shownAs(managerOptions, () => ({ home, modelProvider: providerId })),
    reload: async (request = {}) => {
      const fresh = layerConfig({
        ...(await filesNow()),
        cwd,
        overrides,
        request: request.config,
        typed: { ...typed, ...request.typed },
        profile,
        typedProfile: request.profile,
      });
      const its = new ProviderBook(fresh);
      if (request.config === undefined && request.profile === undefined) models.know(its);
      return withBook(fresh, its);
    },
    close: () => models.close(),
  };
  return shownAs(opened, () => ({ home, modelProvider: providerId, isScripted: opened.isScripted }));
}

const withBook = (loaded: LoadedConfig, book: ProviderBook): LoadedConfig =>
  shownAs(
    {
      ...loaded,
      config: book.within(loaded.config),
      get origins() {
        return loaded.origins;
      },
    },
    () => ({ providers: book }),
  );

/** The fields that are set. */
const given = <T extends object>(fields: T): { [K in keyof T]?: NonNullable<T[K]> } =>
  Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: NonNullable<T[K]>;
  };

type ProviderParts = Pick<HomeOptions, "env" | "originator" | "clock" | "logger"> & {
  readonly providerId: string;
  readonly book: ProviderBook;
  readonly auth: AuthManager;
};

/** The clients of the providers that threads name, as each thread's own settings say. */
class ProviderClients implements ModelSource {
  readonly providerId: string;
  readonly #parts: ProviderParts;
  readonly #pool: ClientPool;
  /** For threads whose settings bring no providers, or not the one that they name: what config.toml last said. */
  #book: ProviderBook;

  constructor(parts: ProviderParts) {
    this.providerId = parts.providerId;
    this.#parts = parts;
    this.#book = parts.book;
    this.#pool = new ClientPool(parts.clock ?? systemClock);
  }

  know(book: ProviderBook): void {
    this.#book = book;
  }

  /** @throws InvalidRequestError for a provider that is not known, has no address, or whose key is missing */
  clientFor(config: ResolvedThreadConfig): ModelClient {
    const { modelProvider: id } = config;
    if (id === SCRIPTED) return this.#pool.clientFor(id, scriptedClient);
    const { env } = this.#parts;
    const provider = ProviderBook.of(config)?.find(id, env) ?? this.#book.find(id, env);
    if (provider?.baseUrl === undefined) {
      const problem = provider === undefined ? "not found" : "has no base_url";
      throw new InvalidRequestError(`Model provider \`${id}\` ${problem}`);
    }
    const endpoint = this.#endpointOf(provider, provider.baseUrl);
    // Whatever the client is made of, or its key is found by, is in here: what differs anywhere is another client.
    const key = JSON.stringify([
      endpoint,
      provider.wireApi,
      provider.envKey,
      provider.bearerToken,
      provider.requiresOpenaiAuth,
    ]);
    return this.#pool.clientFor(key, () => this.#make(provider, endpoint));
  }

  #endpointOf(provider: ProviderInfo, baseUrl: string): EndpointOptions & { readonly providerId: string } {
    const { headers } = accessTo(provider, this.#parts);
    const { queryParams } = provider;
    return {
      providerId: provider.id,
      baseUrl,
      headers,
      queryParams,
      secrets: [...privateValues(headers), ...privateValues(queryParams)],
      idleTimeoutMs: provider.streamIdleTimeoutMs,
      requestMaxRetries: provider.requestMaxRetries,
    };
  }

  #make(provider: ProviderInfo, endpoint: EndpointOptions & { readonly providerId: string }): ModelClient {
    const { env, auth, originator, clock, logger } = this.#parts;
    const fallback = () => (provider.requiresOpenaiAuth ? env.OPENAI_API_KEY?.trim() || undefined : undefined);
    const apiKey = () => accessTo(provider, { env, auth }).apiKey ?? fallback();
    const options = { ...endpoint, apiKey, originator, clock, logger };
    return CLIENTS[provider.wireApi](options);
  }

  close(): Promise<void> {
    return this.#pool.close();
  }
}
