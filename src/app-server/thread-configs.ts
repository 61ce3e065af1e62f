/**
 * A request's settings for a thread, from all their layers (SPEC 9.5): the manager's own, config.toml, the `-c` flags of
 * the process, the request's `config` with its dotted keys, its typed params. The later one wins.
 *
 * Starting a thread reads config.toml anew. Resuming and forking do so only when the request gives a setting; without
 * one, the settings are those that the process began with. Nothing is ever taken from the thread that is resumed or forked.
 */
import { LRUCache } from "lru-cache";
import type { OpenedHome } from "../manager/home.ts";
import { InvalidRequestError } from "../protocol/errors.ts";
import { type PermissionProfile, profileNamed } from "../protocol/permission-profile.ts";
import type { ThreadConfig } from "../protocol/thread-config.ts";
import { type ConfigFile, type ConfigFileContents, createConfigFile } from "../services/config-file.ts";
import { type ConfigSources, type LoadedConfig, layerConfig } from "../services/config-layers.ts";
import type { ConfigOverride } from "../services/config-overrides.ts";
import { type ConfigTable, isTable } from "../services/config-table.ts";
import { invalidRequest, textOfError } from "./rpc-error.ts";
import type { ServedThreads } from "./served-threads.ts";

export type ThreadSettings = {
  /** Typed params. */
  readonly typed: ThreadConfig;
  /** The request's `config`: dotted keys, JSON values. */
  readonly config?: Record<string, unknown> | null | undefined;
  /** v1's. */
  readonly profile?: string | null | undefined;
};

export type ThreadConfigOptions = {
  readonly manager: ServedThreads;
  /** Where config.toml is, or the home that the manager was made from; undefined: there is none. */
  readonly home: string | OpenedHome | undefined;
  readonly overrides: readonly ConfigOverride[];
  readonly cwd: string;
};

export class ThreadConfigs {
  readonly file: ConfigFile | undefined;
  readonly #options: ThreadConfigOptions;
  readonly #atStart: Promise<ThreadConfig>;
  /** What requests for new threads came to, by their settings, as long as config.toml stays what it is. */
  readonly #starts = new LRUCache<string, ThreadConfig>({ max: 64 });
  #startsOf: ConfigFileContents | undefined;

  constructor(options: ThreadConfigOptions) {
    this.#options = options;
    const { home } = options;
    this.file = typeof home === "string" ? createConfigFile(home) : home?.configFile;
    this.#atStart = this.load().then(({ config }) => config);
    // A file that is broken at the start is reported by the first request that needs it.
    this.#atStart.catch(() => undefined);
  }

  /** All layers; `of` is the request's part. @throws InvalidRequestError, StoreIoError */
  async load(of: Partial<ThreadSettings> = {}): Promise<LoadedConfig> {
    const { manager, home, overrides, cwd } = this.#options;
    if (typeof home === "object") return home.reload(requestOf(of));
    const sources: ConfigSources = {
      cwd,
      overrides,
      defaults: manager.config,
      embeddedProviders: [manager.config.modelProvider],
      ...(of.typed === undefined ? {} : { typed: of.typed }),
      ...(of.config === undefined || of.config === null ? {} : { request: of.config }),
      ...(of.profile === undefined || of.profile === null ? {} : { typedProfile: of.profile }),
    };
    return layerConfig(this.file === undefined ? sources : { ...sources, file: await this.file.read() });
  }

  /** For a thread that starts. @param failure how the client's text for a wrong setting begins */
  async forStart(settings: ThreadSettings, failure: string): Promise<ThreadConfig> {
    return this.#guard(async () => withFlags(await this.#forStart(settings), settings.typed), failure);
  }

  /** Clients start threads with the same settings again and again: their layers are put together once. */
  async #forStart(settings: ThreadSettings): Promise<ThreadConfig> {
    const contents = await this.file?.read();
    if (contents !== this.#startsOf) this.#starts.clear();
    this.#startsOf = contents;
    const key = JSON.stringify(settings);
    const known = this.#starts.get(key);
    if (known !== undefined) return known;
    const { config, instructionsFile, profile } = await this.load(settings);
    // What another file says may change though config.toml does not.
    const isOfOneFile = instructionsFile === undefined && profile === undefined;
    if (contents === this.#startsOf && isOfOneFile) this.#starts.set(key, config);
    return config;
  }

  /** For a thread that is resumed or forked. */
  async forExisting(settings: ThreadSettings, failure: string): Promise<ThreadConfig> {
    const { ephemeral: _, ...given } = settings.typed;
    const isPlain = Object.values(given).every((value) => value === undefined) && !settings.config && !settings.profile;
    return this.#guard(
      async () => withFlags(isPlain ? await this.#atStart : (await this.load(settings)).config, settings.typed),
      failure,
    );
  }

  /** The profile that a request names. @param failure how the client's text for a wrong one begins */
  async profileNamed(name: string, failure: string): Promise<PermissionProfile> {
    return this.#guard(async () => profileNamed(name, Object.keys(await this.ownProfiles({}))), failure);
  }

  /** The permission profiles that the user has defined, by their names. */
  async ownProfiles(typed: ThreadConfig): Promise<ConfigTable> {
    const permissions = (await this.load({ typed })).raw.permissions;
    return isTable(permissions) ? permissions : {};
  }

  async #guard<T>(work: () => Promise<T>, failure: string): Promise<T> {
    try {
      return await work();
    } catch (error) {
      if (!(error instanceof InvalidRequestError)) throw error;
      throw invalidRequest(`${failure}: ${textOfError(error)}`, { cause: error });
    }
  }
}

const requestOf = ({ typed, config, profile }: Partial<ThreadSettings>) => ({
  ...(typed === undefined ? {} : { typed }),
  ...(config === undefined || config === null ? {} : { config }),
  ...(profile === undefined || profile === null ? {} : { profile }),
});

/** `ephemeral` is a matter of the request alone. */
const withFlags = (config: ThreadConfig, { ephemeral }: ThreadConfig): ThreadConfig => ({
  ...config,
  ephemeral: ephemeral ?? false,
});
