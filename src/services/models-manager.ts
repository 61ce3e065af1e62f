/**
 * Which models a user may choose (SPEC 16).
 *
 * - Listing never fails: without a network, a cache or a readable answer, the built-in models are the answer.
 * - At most one fetch runs at a time, for at most FETCH_LIMIT_MS, also against a fetcher that ignores its signal.
 * - A list is fresh for FRESH_MS; after a failure the next try waits as long as RETRY_AFTER_MS.
 */
import { join } from "node:path";
import { type Clock, elapsedBy, systemClock } from "../kernel/clock.ts";
import { silentLog, type WarningLog } from "../kernel/log.ts";
import type { ModelPreset } from "../model/model-preset.ts";
import { DeadlineExceededError } from "../protocol/errors.ts";
import type { AuthMethod } from "./auth-manager.ts";
import {
  BUILT_IN_MODELS,
  builtInWindow,
  mergeModels,
  OPENAI_PROVIDER,
  SCRIPTED,
  SCRIPTED_MODEL,
  USUAL_WINDOW,
  withOneDefault,
} from "./model-catalog.ts";
import { type FetchedModels, type FetchModels, type ModelList, parseModelList } from "./model-fetch.ts";
import { ModelsCache } from "./models-cache.ts";

export const FRESH_MS = 300_000;
export const FETCH_LIMIT_MS = 5_000;
export const RETRY_AFTER_MS = 60_000;

/** `offline` takes what is known; `ifStale` fetches what is too old or unknown; `online` always fetches. */
export type ModelRefresh = "offline" | "ifStale" | "online";

/** For whom models are asked for. */
export type ModelQuery = {
  /** Whose models; OpenAI's when absent. */
  readonly provider?: string | undefined;
  readonly authMethod?: AuthMethod | null | undefined;
};

/** Knows the models on offer: from the provider while it answers, from the cache, or the built-in list. */
export interface ModelsManager {
  /** The models in the order in which they are offered, exactly one of them the default. Never rejects. */
  listModels(
    query?: ModelQuery & { readonly includeHidden?: boolean | undefined; readonly refresh?: ModelRefresh | undefined },
  ): Promise<ModelPreset[]>;
  /** The model of a thread whose config names none, by what is known now. */
  defaultModel(query?: ModelQuery): string;
  /**
   * How many tokens of the model's window a thread may fill, a usual one where nobody knows it; null when there is no bound.
   * What one provider has said of its models says nothing of another's of the same name.
   */
  contextWindow(model: string, provider?: string): number | null;
  /** Whether the model's window is known and not guessed. */
  knows(model: string, provider?: string): boolean;
  /** Takes note of a response's `X-Models-Etag`: the same one renews the list, another one makes it stale. */
  noteEtag(etag: string): void;
}

/** A provider that can be asked for its models. */
export type RemoteModels = {
  readonly provider: string;
  readonly fetch: FetchModels;
  /**
   * What its list depends on beside its name, such as its address and the account: a list that was kept for another one is
   * not used. Only its hash is stored.
   */
  readonly identity?: string | undefined;
};

/** Where models are asked for and cached. */
export type ModelsManagerOptions = {
  /** Where to ask for models, and of which provider they are. Without it there are the built-in ones. */
  readonly remote?: RemoteModels | undefined;
  /** The folder of models_cache.json; without it nothing is kept on disk. */
  readonly home?: string | undefined;
  readonly clock?: Clock | undefined;
  readonly logger?: WarningLog | undefined;
};

/** Does no IO before somebody lists. */
export const createModelsManager = (options: ModelsManagerOptions = {}): ModelsManager => new Models(options);

/** The share of a window that Codex counts on. */
const USABLE_SHARE = 0.95;

type Known = ModelList & { readonly etag: string | undefined; readonly fetchedAtMs: number };

class Models implements ModelsManager {
  readonly #provider: string;
  readonly #fetch: FetchModels | undefined;
  readonly #cache: ModelsCache | undefined;
  readonly #clock: Clock;
  readonly #log: WarningLog;
  #known: Known | undefined;
  #cacheLoad: Promise<void> | undefined;
  #fetching: Promise<void> | undefined;
  #failedAtMs: number | undefined;

  constructor(options: ModelsManagerOptions) {
    this.#provider = options.remote?.provider ?? OPENAI_PROVIDER;
    this.#fetch = options.remote?.fetch;
    this.#clock = options.clock ?? systemClock;
    this.#log = options.logger ?? silentLog;
    if (options.home !== undefined && this.#fetch !== undefined) {
      const path = join(options.home, "models_cache.json");
      this.#cache = new ModelsCache({
        path,
        provider: this.#provider,
        identity: options.remote?.identity,
        log: this.#log,
      });
    }
  }

  async listModels(
    query: ModelQuery & { includeHidden?: boolean | undefined; refresh?: ModelRefresh | undefined } = {},
  ): Promise<ModelPreset[]> {
    if (this.#isRemote(query.provider)) await this.#refresh(query.refresh ?? "ifStale");
    const models = this.#models(query);
    return query.includeHidden === true ? models : models.filter((model) => model.hidden !== true);
  }

  defaultModel(query: ModelQuery = {}): string {
    const models = this.#models(query);
    const automatic = models.find((model) => model.model === "codex-auto-balanced" && model.hidden !== true);
    if (query.authMethod === "chatgpt" && automatic !== undefined) return automatic.model;
    const preferred = BUILT_IN_MODELS.find((model) => model.isDefault);
    const isOpenAi = (query.provider ?? OPENAI_PROVIDER) === OPENAI_PROVIDER;
    if (isOpenAi && preferred !== undefined) return preferred.model;
    return (models.find((model) => model.isDefault) ?? preferred ?? SCRIPTED_MODEL).model;
  }

  contextWindow(model: string, provider = this.#provider): number | null {
    if (model === SCRIPTED) return null;
    return Math.floor((this.#knownWindow(model, provider) ?? USUAL_WINDOW) * USABLE_SHARE);
  }

  knows(model: string, provider = this.#provider): boolean {
    return model === SCRIPTED || this.#knownWindow(model, provider) !== undefined;
  }

  #knownWindow(model: string, provider: string): number | undefined {
    const remote = this.#isRemote(provider) ? this.#known?.models : undefined;
    const fetched = remote?.find(({ preset }) => preset.model === model);
    return fetched?.contextWindow ?? builtInWindow(model);
  }

  noteEtag(etag: string): void {
    if (this.#known === undefined) return;
    const fetchedAtMs = etag === this.#known.etag ? this.#clock.now() : Number.NEGATIVE_INFINITY;
    this.#known = { ...this.#known, fetchedAtMs };
  }

  #isRemote(provider: string | undefined): boolean {
    return this.#fetch !== undefined && (provider ?? OPENAI_PROVIDER) === this.#provider;
  }

  #models(query: ModelQuery): ModelPreset[] {
    if (query.provider === SCRIPTED) {
      return withOneDefault([SCRIPTED_MODEL, ...BUILT_IN_MODELS.map((model) => ({ ...model, hidden: true }))]);
    }
    const remote = this.#isRemote(query.provider) ? (this.#known?.models ?? []) : [];
    const isForeign = remote.length > 0 && this.#provider !== OPENAI_PROVIDER;
    const models = isForeign
      ? withOneDefault(remote.map(({ preset }) => preset))
      : mergeModels(remote, query.authMethod ?? null);
    return [...models, { ...SCRIPTED_MODEL, hidden: true }];
  }

  async #refresh(strategy: ModelRefresh): Promise<void> {
    this.#cacheLoad ??= this.#loadCache();
    await this.#cacheLoad;
    if (strategy === "offline" || (strategy === "ifStale" && !this.#isDue())) return;
    this.#fetching ??= this.#fetchNow().finally(() => {
      this.#fetching = undefined;
    });
    await this.#fetching;
  }

  #isDue(): boolean {
    if (this.#failedAtMs !== undefined && elapsedBy(this.#clock) < this.#failedAtMs + RETRY_AFTER_MS) return false;
    if (this.#known === undefined) return true;
    const age = this.#clock.now() - this.#known.fetchedAtMs;
    return age < 0 || age >= FRESH_MS;
  }

  async #loadCache(): Promise<void> {
    const cached = await this.#cache?.load();
    if (cached === undefined) return;
    try {
      const list = parseModelList({ models: cached.models });
      this.#known = { ...list, etag: cached.etag, fetchedAtMs: cached.fetchedAtMs };
    } catch (error) {
      this.#log.warn({ err: error }, "models cache holds no list of models");
    }
  }

  async #fetchNow(): Promise<void> {
    try {
      const fetched = await this.#fetchInTime();
      this.#failedAtMs = undefined;
      const fetchedAtMs = this.#clock.now();
      if (!fetched.notModified) {
        this.#known = { ...parseModelList(fetched.body), etag: fetched.etag, fetchedAtMs };
      } else if (this.#known !== undefined) this.#known = { ...this.#known, fetchedAtMs };
      else return;
      await this.#cache?.save({ fetchedAtMs, etag: this.#known.etag, models: this.#known.raw });
    } catch (error) {
      this.#failedAtMs = elapsedBy(this.#clock);
      this.#log.warn(
        { err: error, provider: this.#provider },
        "models could not be fetched; going on with those known",
      );
    }
  }

  async #fetchInTime(): Promise<FetchedModels> {
    const fetch = this.#fetch;
    if (fetch === undefined) return { notModified: true };
    const controller = new AbortController();
    let timer: unknown;
    const late = new Promise<never>((_, reject) => {
      timer = this.#clock.background(() => {
        const error = new DeadlineExceededError(`fetching the models of ${this.#provider}`, FETCH_LIMIT_MS);
        reject(error);
        controller.abort(error);
      }, FETCH_LIMIT_MS);
    });
    try {
      return await Promise.race([fetch({ etag: this.#known?.etag, signal: controller.signal }), late]);
    } finally {
      this.#clock.clearTimeout(timer);
    }
  }
}
