/**
 * Who the user is to the model API.
 *
 * - Credentials are loaded once. A later change of the file is seen after `reload`, `loginWithApiKey` or `logout` only.
 * - No secret leaves but by `apiKey` and `accessToken`: inspection, JSON, logs and errors show the method alone.
 * - Changes happen one after another, and are announced after they are stored.
 */
import { join } from "node:path";
import { inspect } from "node:util";
import { Mutex } from "async-mutex";
import { type Observable, Subject } from "rxjs";
import { silentLog, type WarningLog } from "../kernel/log.ts";
import { InvalidRequestError } from "../protocol/errors.ts";
import { isJsonObject } from "../protocol/unknown-kind.ts";
import { AuthFile, AuthMemory, type AuthRecord, type AuthStorage } from "./auth-file.ts";

/** How a user can be signed in. */
export type AuthMethod = "apikey" | "chatgpt";
/** How the user is signed in; null when nobody is. */
export type AuthStatus = { readonly authMethod: AuthMethod | null };
/** Whose credentials these are, as far as they say. */
export type Account =
  | { readonly type: "apiKey" }
  | {
      readonly type: "chatgpt";
      readonly email: string | null;
      readonly planType: string | null;
      readonly accountId: string | null;
    };

/** How the user is signed in at model providers, and the credentials for it. */
export interface AuthManager {
  /** How the user is signed in. A stored API key counts before stored tokens. */
  status(): AuthStatus;
  /** The stored API key, if that is how the user is signed in. */
  apiKey(): string | undefined;
  /** The stored ChatGPT access token, if that is how the user is signed in. */
  accessToken(): string | undefined;
  /** Whose account it is, as far as the stored credentials say; null when nobody is signed in. */
  account(): Account | null;
  /**
   * Stores the key in place of whatever credentials there were.
   *
   * @throws InvalidRequestError when the text cannot be a key; StoreIoError when it cannot be stored.
   */
  loginWithApiKey(key: string): Promise<void>;
  /**
   * Forgets and removes all credentials.
   *
   * @throws StoreIoError when they cannot be removed.
   */
  logout(): Promise<void>;
  /** Loads the stored credentials again. */
  reload(): Promise<AuthStatus>;
  /** Each new status; a login with another key counts as new, a reload that finds the same credentials does not. */
  readonly changes$: Observable<AuthStatus>;
}

/** Where `fileAuthManager` keeps credentials. */
export type FileAuthOptions = {
  /** The folder of auth.json. */
  readonly home: string;
  readonly logger?: WarningLog;
};

/** Credentials in `<home>/auth.json` (SPEC 17). Nothing is read before somebody asks. */
export const fileAuthManager = (options: FileAuthOptions): AuthManager =>
  new StoredAuth(new AuthFile(join(options.home, "auth.json"), options.logger ?? silentLog));

/** Credentials that live and die with this process. */
export const memoryAuthManager = (options: { readonly apiKey?: string | undefined } = {}): AuthManager =>
  new StoredAuth(new AuthMemory(options.apiKey === undefined ? undefined : { OPENAI_API_KEY: options.apiKey }));

/** What an HTTP header can carry. */
const KEY = /^[\x21-\x7e]+$/;

class StoredAuth implements AuthManager {
  readonly #storage: AuthStorage;
  readonly #changes = new Subject<AuthStatus>();
  readonly #changing = new Mutex();
  #loaded: { readonly record: AuthRecord | undefined } | undefined;
  readonly changes$: Observable<AuthStatus> = this.#changes.asObservable();

  constructor(storage: AuthStorage) {
    this.#storage = storage;
  }

  status(): AuthStatus {
    return { authMethod: methodOf(this.#record()) };
  }

  apiKey(): string | undefined {
    return this.#record()?.OPENAI_API_KEY || undefined;
  }

  accessToken(): string | undefined {
    const record = this.#record();
    return methodOf(record) === "chatgpt" ? record?.tokens?.access_token : undefined;
  }

  account(): Account | null {
    const record = this.#record();
    const method = methodOf(record);
    if (method === null) return null;
    if (method === "apikey") return { type: "apiKey" };
    const accountId = record?.tokens?.account_id ?? null;
    return { type: "chatgpt", ...identityOf(record?.tokens?.id_token), accountId };
  }

  async loginWithApiKey(key: string): Promise<void> {
    const trimmed = key.trim();
    if (trimmed === "") throw new InvalidRequestError("the API key is empty");
    if (!KEY.test(trimmed)) throw new InvalidRequestError("the API key holds characters that no HTTP header can carry");
    await this.#changing.runExclusive(async () => {
      const record = withApiKey(this.#storage.load() ?? {}, trimmed);
      await this.#storage.save(record);
      this.#become(record);
    });
  }

  async logout(): Promise<void> {
    await this.#changing.runExclusive(async () => {
      await this.#storage.remove();
      this.#become(undefined);
    });
  }

  async reload(): Promise<AuthStatus> {
    await this.#changing.runExclusive(() => {
      const record = this.#storage.load();
      if (this.#loaded === undefined) this.#loaded = { record };
      else this.#become(record);
    });
    return this.status();
  }

  toJSON(): AuthStatus {
    return this.status();
  }

  [inspect.custom](): string {
    return `AuthManager { authMethod: ${this.status().authMethod} }`;
  }

  #record(): AuthRecord | undefined {
    this.#loaded ??= { record: this.#storage.load() };
    return this.#loaded.record;
  }

  #become(record: AuthRecord | undefined): void {
    const before = this.#loaded;
    this.#loaded = { record };
    const same = before !== undefined && JSON.stringify(before.record) === JSON.stringify(record);
    if (!same) this.#changes.next(this.status());
  }
}

function methodOf(record: AuthRecord | undefined): AuthMethod | null {
  if (record?.OPENAI_API_KEY) return "apikey";
  return record?.tokens ? "chatgpt" : null;
}

/** The fields of other versions stay, but none that says how the user was signed in before. */
function withApiKey(before: AuthRecord, key: string): AuthRecord {
  const { OPENAI_API_KEY: _key, tokens: _tokens, last_refresh: _refresh, ...others } = before;
  if (Object.hasOwn(others, "auth_mode")) others.auth_mode = "apikey";
  return { OPENAI_API_KEY: key, ...others };
}

/** Reads the claims of an id token. Its signature is the server's business: nothing here is granted by them. */
function identityOf(idToken: string | undefined): { email: string | null; planType: string | null } {
  const claims = claimsOf(idToken);
  const auth = claims["https://api.openai.com/auth"];
  const plan = isJsonObject(auth) ? auth.chatgpt_plan_type : undefined;
  return {
    email: typeof claims.email === "string" ? claims.email : null,
    planType: typeof plan === "string" ? plan : null,
  };
}

function claimsOf(idToken: string | undefined): Record<string, unknown> {
  try {
    const claims: unknown = JSON.parse(Buffer.from(idToken?.split(".")[1] ?? "", "base64url").toString());
    return isJsonObject(claims) ? claims : {};
  } catch {
    return {};
  }
}
