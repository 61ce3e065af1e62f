import { rm } from "node:fs/promises";
import * as z from "zod";
import type { WarningLog } from "../kernel/log.ts";
import { StoreIoError } from "../protocol/errors.ts";
import { readTextSync } from "./bounded-read.ts";
import { ioCode, ioText, isMissing } from "./io-failure.ts";
import { replaceFile } from "./replace-file.ts";

/** The contents of auth.json (SPEC 17). Fields of other versions are kept. */
export type AuthRecord = {
  OPENAI_API_KEY?: string | null | undefined;
  tokens?: AuthTokens | null | undefined;
  last_refresh?: string | null | undefined;
  [field: string]: unknown;
};

type AuthTokens = {
  id_token: string;
  access_token: string;
  refresh_token: string;
  account_id?: string | null | undefined;
  [field: string]: unknown;
};

/** Where credentials are kept. */
export interface AuthStorage {
  /** Undefined when there are none, or none that can be read. */
  load(): AuthRecord | undefined;
  save(record: AuthRecord): Promise<void>;
  remove(): Promise<void>;
}

const MAX_AUTH_BYTES = 1024 * 1024;

const recordSchema: z.ZodType<AuthRecord> = z.looseObject({
  OPENAI_API_KEY: z.string().nullish(),
  tokens: z
    .looseObject({
      id_token: z.string(),
      access_token: z.string(),
      refresh_token: z.string(),
      account_id: z.string().nullish(),
    })
    .nullish(),
  last_refresh: z.string().nullish(),
});

/**
 * Keeps credentials in a file that only its owner can read. What cannot be read counts as not signed in. Neither the log
 * nor an error ever gets a parser's message or the text of the file: both quote the secret.
 */
export class AuthFile implements AuthStorage {
  readonly #path: string;
  readonly #log: WarningLog;

  constructor(path: string, log: WarningLog) {
    this.#path = path;
    this.#log = log;
  }

  /** Synchronous, so that `status()` can be: a file of a few lines, read once and not before somebody asks. */
  load(): AuthRecord | undefined {
    const text = this.#read();
    if (text === undefined) return undefined;
    const record = recordSchema.safeParse(parsedOrUndefined(text));
    if (record.success) return record.data;
    this.#log.warn({ path: this.#path }, "auth.json is malformed; counts as not signed in");
    return undefined;
  }

  async save(record: AuthRecord): Promise<void> {
    await replaceFile(this.#path, JSON.stringify(record, null, 2), { secret: true });
  }

  async remove(): Promise<void> {
    try {
      await rm(this.#path, { force: true });
    } catch (error) {
      throw new StoreIoError(`failed to remove ${this.#path}: ${ioText(error)}`, { cause: error });
    }
  }

  #read(): string | undefined {
    try {
      return readTextSync(this.#path, MAX_AUTH_BYTES);
    } catch (error) {
      if (!isMissing(error)) {
        this.#log.warn({ path: this.#path, code: ioCode(error) }, "auth.json cannot be read; counts as not signed in");
      }
      return undefined;
    }
  }
}

/** Keeps credentials in this process only. */
export class AuthMemory implements AuthStorage {
  #record: AuthRecord | undefined;

  constructor(record?: AuthRecord) {
    this.#record = record;
  }

  load(): AuthRecord | undefined {
    return this.#record;
  }

  async save(record: AuthRecord): Promise<void> {
    this.#record = record;
  }

  async remove(): Promise<void> {
    this.#record = undefined;
  }
}

function parsedOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
