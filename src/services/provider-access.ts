import { InvalidRequestError } from "../protocol/errors.ts";
import type { AuthManager } from "./auth-manager.ts";
import type { ProviderInfo } from "./provider-info.ts";

/** What a request to a provider carries besides its body. Holds secrets: never to be logged. */
export type ProviderAccess = {
  /** Goes into `Authorization: Bearer`. */
  readonly apiKey: string | undefined;
  readonly headers: Readonly<Record<string, string>>;
};

/**
 * The key and the headers for a provider, as they are now: its `env_key`, else its own token, else, if it wants them, the
 * credentials of the AuthManager. Those never go to a provider that does not say so.
 *
 * @throws InvalidRequestError with Codex's text when the environment lacks the key.
 */
export function accessTo(
  provider: ProviderInfo,
  given: { readonly env: Readonly<Record<string, string | undefined>>; readonly auth?: AuthManager | undefined },
): ProviderAccess {
  const headers = new Map(Object.entries(provider.httpHeaders));
  for (const [header, variable] of Object.entries(provider.envHttpHeaders)) {
    const value = given.env[variable]?.trim();
    if (value) headers.set(header, value);
  }
  const own = keyFromEnv(provider, given.env) ?? provider.bearerToken;
  if (own !== undefined || !provider.requiresOpenaiAuth || given.auth === undefined) {
    return { apiKey: own, headers: Object.fromEntries(headers) };
  }
  const account = given.auth.account();
  if (account?.type === "chatgpt" && account.accountId !== null) headers.set("chatgpt-account-id", account.accountId);
  return { apiKey: given.auth.apiKey() ?? given.auth.accessToken(), headers: Object.fromEntries(headers) };
}

function keyFromEnv(provider: ProviderInfo, env: Readonly<Record<string, string | undefined>>): string | undefined {
  if (provider.envKey === undefined) return undefined;
  const key = env[provider.envKey]?.trim();
  if (key) return key;
  const hint = provider.envKeyInstructions === undefined ? "" : ` ${provider.envKeyInstructions}`;
  throw new InvalidRequestError(`Missing environment variable: \`${provider.envKey}\`.${hint}`);
}
