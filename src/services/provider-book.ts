import type { ResolvedThreadConfig, ThreadConfig } from "../protocol/thread-config.ts";
import type { LoadedConfig } from "./config-layers.ts";
import { OPENAI_PROVIDER } from "./model-catalog.ts";
import type { ProviderInfo } from "./provider-info.ts";

/** Where a thread's settings keep it, in `extra`. */
const PLACE = "skein.modelProviders";

/**
 * The model providers as one request's layers name them. It goes with the settings of the threads that the request makes,
 * to their agents and over their reloads, so that one name may mean something else to another thread. It holds keys, and
 * shows nothing but names.
 */
export class ProviderBook {
  readonly #providers: ReadonlyMap<string, ProviderInfo>;
  readonly #openaiBaseUrl: string | undefined;

  constructor({ providers, openaiBaseUrl }: Pick<LoadedConfig, "providers" | "openaiBaseUrl">) {
    this.#providers = providers;
    this.#openaiBaseUrl = openaiBaseUrl;
  }

  /** The one that a thread has its own providers from; undefined: its settings came from nowhere near a config.toml. */
  static of({ extra }: ResolvedThreadConfig): ProviderBook | undefined {
    const book = extra[PLACE];
    return book instanceof ProviderBook ? book : undefined;
  }

  /** @param env where OPENAI_BASE_URL may stand, which counts less than the layers */
  find(id: string, env: Readonly<Record<string, string | undefined>>): ProviderInfo | undefined {
    const provider = this.#providers.get(id);
    if (provider === undefined || id !== OPENAI_PROVIDER) return provider;
    const elsewhere = this.#openaiBaseUrl ?? env.OPENAI_BASE_URL?.trim();
    return elsewhere ? { ...provider, baseUrl: elsewhere } : provider;
  }

  /** The settings with this book in them. */
  within(config: ThreadConfig): ThreadConfig {
    return { ...this.guarding(config), extra: { ...config.extra, [PLACE]: this } };
  }

  /** The settings under which commands do not get the variables that the providers take keys and headers from. */
  guarding(config: ThreadConfig): ThreadConfig {
    const names = [...this.#providers.values()].flatMap((provider) => [
      ...(provider.envKey === undefined ? [] : [provider.envKey]),
      ...Object.values(provider.envHttpHeaders),
    ]);
    if (names.length === 0) return config;
    const policy = config.shellEnvironmentPolicy;
    return { ...config, shellEnvironmentPolicy: { ...policy, secrets: [...(policy?.secrets ?? []), ...names] } };
  }

  toJSON(): readonly string[] {
    return [...this.#providers.keys()];
  }
}
