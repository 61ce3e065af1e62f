import * as z from "zod";
import type { WarningLog } from "../kernel/log.ts";
import { readText } from "./bounded-read.ts";
import { versionOf } from "./config-table.ts";
import { ioCode, isMissing } from "./io-failure.ts";
import { OPENAI_PROVIDER } from "./model-catalog.ts";
import { replaceFile } from "./replace-file.ts";

/** A fetched list as it came, and when. */
export type CachedModels = {
  readonly fetchedAtMs: number;
  readonly etag: string | undefined;
  readonly models: readonly unknown[];
};

const MAX_CACHE_BYTES = 16 * 1024 * 1024;

const fileSchema = z.looseObject({
  fetched_at: z.iso.datetime({ offset: true }),
  etag: z.string().nullish(),
  models: z.array(z.unknown()),
  provider: z.string().optional(),
  identity: z.string().optional(),
});

/**
 * models_cache.json in Codex's form: `{fetched_at, etag, models}`. The list of another provider than OpenAI says whose
 * it is, and one that depends on more than the provider's name holds a hash of that. A file that cannot be read or written is logged and does without.
 */
export class ModelsCache {
  readonly #path: string;
  readonly #provider: string;
  readonly #identity: string | undefined;
  readonly #log: WarningLog;

  constructor(options: { path: string; provider: string; identity?: string | undefined; log: WarningLog }) {
    this.#identity = options.identity === undefined ? undefined : versionOf({ identity: options.identity });
    this.#path = options.path;
    this.#provider = options.provider;
    this.#log = options.log;
  }

  async load(): Promise<CachedModels | undefined> {
    try {
      const file = fileSchema.parse(JSON.parse(await readText(this.#path, MAX_CACHE_BYTES)));
      if ((file.provider ?? OPENAI_PROVIDER) !== this.#provider || file.identity !== this.#identity) return undefined;
      return { fetchedAtMs: Date.parse(file.fetched_at), etag: file.etag ?? undefined, models: file.models };
    } catch (error) {
      if (!isMissing(error)) this.#log.warn({ path: this.#path, code: ioCode(error) }, "models cache is not readable");
      return undefined;
    }
  }

  async save(cached: CachedModels): Promise<void> {
    const file = {
      fetched_at: new Date(cached.fetchedAtMs).toISOString(),
      ...(cached.etag !== undefined && { etag: cached.etag }),
      ...(this.#provider !== OPENAI_PROVIDER && { provider: this.#provider }),
      ...(this.#identity !== undefined && { identity: this.#identity }),
      models: cached.models,
    };
    try {
      await replaceFile(this.#path, JSON.stringify(file, null, 2));
    } catch (error) {
      this.#log.warn({ path: this.#path, err: error }, "models cache is not writable");
    }
  }
}
