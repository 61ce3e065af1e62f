/** A provider as clients are shown it: nothing of it that may be a secret. */
import { isBuiltInProvider, type ProviderInfo } from "../../services/provider-info.ts";

const OPENAI = "openai";

export const providerToV2 = (info: ProviderInfo, isInFile: boolean) => ({
  id: info.id,
  name: info.name ?? info.id,
  canEdit: isInFile && !isBuiltInProvider(info.id),
  baseUrl: info.id === OPENAI ? null : plainUrl(info.baseUrl),
  settings: info.requiresOpenaiAuth ? { type: "openai" } : { type: "customGateway", auth: authOf(info) },
});

function authOf(info: ProviderInfo) {
  const envKey = info.envKey ?? null;
  if (signsInOtherwise(info)) return { mode: "externallyConfigured", envKey };
  return envKey === null ? { mode: "none" } : { mode: "environmentVariable", envKey };
}

/** By a token or headers that the file gives. */
export const signsInOtherwise = ({ bearerToken, httpHeaders, envHttpHeaders }: ProviderInfo): boolean =>
  bearerToken !== undefined || Object.keys(httpHeaders).length > 0 || Object.keys(envHttpHeaders).length > 0;

/** The address as it is written; null for one that is none, or that holds more than a place: a password, a query. */
export function plainUrl(address: string | undefined): string | null {
  const url = address === undefined || !URL.canParse(address) ? undefined : new URL(address);
  if (address === undefined || url === undefined || !/^https?:$/.test(url.protocol)) return null;
  return url.username === "" && url.password === "" && !/[?#]/.test(address) ? address : null;
}
