/** modelProvider/config/write: a `[model_providers.ID]` of config.toml, made or changed field by field. */
import * as z from "zod";
import { isTable, valueAt } from "../../services/config-table.ts";
import { isBuiltInProvider, type ProviderInfo } from "../../services/provider-info.ts";
import { loose, optionalText, text } from "../params.ts";
import { invalidRequest } from "../rpc-error.ts";
import type { ServerContext } from "../server-context.ts";
import { plainUrl, signsInOtherwise } from "./provider-view.ts";
import { refusedWrite, throwRefusedWrite } from "./refused-write.ts";

const settingsSchema = z.object({
  type: z.enum(["customGateway", "bedrock", "gcp"]),
  providerId: optionalText,
  name: text.optional(),
  baseUrl: optionalText,
  envKey: optionalText,
});
export const providerWriteSchema = loose(z.object({ settings: settingsSchema }));

type Settings = z.infer<typeof settingsSchema>;

/** A field that is left out stays as it is, and null takes it away. Resolves with the provider's id. @throws RpcError */
export async function writeProvider({ configs }: ServerContext, settings: Settings): Promise<string> {
  const { file } = configs;
  if (file === undefined) throw invalidRequest("this server has no config.toml to write");
  if (settings.type !== "customGateway")
    throw refusedWrite("models of Bedrock and Google Cloud are not served by Skein");
  const fields = fieldsOf(settings);
  const { table, version } = await file.read();
  const { providers } = await configs.load();
  if (settings.providerId == null) {
    const id = newId(settings, providers);
    // Whoever has taken the id meanwhile keeps it.
    const whole = Object.fromEntries(fields.filter(([, value]) => value !== null));
    await file
      .write(["model_providers", id], { ...whole, wire_api: "responses" }, { expectedVersion: version })
      .catch(throwRefusedWrite);
    return id;
  }
  const id = settings.providerId;
  if (isBuiltInProvider(id)) throw refusedWrite("A custom provider or gateway cannot use a built-in provider ID.");
  const known = providers.get(id);
  if (known === undefined || !isTable(valueAt(table, ["model_providers", id]))) {
    throw refusedWrite("Unknown provider ID.", "configPathNotFound");
  }
  if (settings.envKey !== undefined && signsInOtherwise(known)) {
    throw refusedWrite("Authentication is configured externally. Omit envKey to preserve it.");
  }
  for (const [key, value] of fields) await file.write(["model_providers", id, key], value).catch(throwRefusedWrite);
  return id;
}

/** What is to be written, and null where it is to go. @throws RpcError */
function fieldsOf({ providerId, name, baseUrl, envKey }: Settings): [string, string | null][] {
  const title = name?.trim();
  if (title === "" || (title === undefined && providerId == null)) throw refusedWrite("Enter a provider name.");
  const url = baseUrl?.trim() ?? baseUrl;
  if (typeof url === "string" && plainUrl(url) === null) {
    throw refusedWrite("Enter an HTTP(S) base URL without credentials, a query, or a fragment.");
  }
  if (typeof envKey === "string" && !/^[A-Za-z_]\w*$/.test(envKey)) {
    throw refusedWrite("Invalid API key environment variable name.");
  }
  const named: [string, string | null | undefined][] = [
    ["name", title],
    ["base_url", url],
    ["env_key", envKey],
  ];
  return named.flatMap(([key, value]) => (value === undefined ? [] : [[key, value]]));
}

/** The name as an id, with a number where that is taken. @throws RpcError */
function newId({ name = "", baseUrl }: Settings, taken: ReadonlyMap<string, ProviderInfo>): string {
  if (baseUrl == null) throw refusedWrite("A base URL is required to create a custom provider.");
  const words = name.toLowerCase().match(/[a-z0-9]+/g) ?? ["custom"];
  const id = words.join("-");
  if (isBuiltInProvider(id)) {
    throw refusedWrite("This name is reserved for a built-in provider. Enter a different custom provider name.");
  }
  for (let number = 1; ; number++) {
    const numbered = number === 1 ? id : `${id}-${number}`;
    if (!taken.has(numbered)) return numbered;
  }
}
