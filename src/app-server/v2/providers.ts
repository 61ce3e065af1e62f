/** modelProvider/*: which providers config.toml names, and which of them is asked by default. */
import * as z from "zod";
import type { ProviderInfo } from "../../services/provider-info.ts";
import { type MethodTable, method } from "../method.ts";
import { text } from "../params.ts";
import { invalidRequest } from "../rpc-error.ts";
import type { ServerContext } from "../server-context.ts";
import { refusedWrite } from "./refused-write.ts";

const anySchema = z.object({});

export const providerMethods = (server: ServerContext): MethodTable => ({
  "modelProvider/list": method({ params: anySchema, handle: () => listProviders(server) }),
  // No tool of the house makes images or searches the web.
  "modelProvider/capabilities/read": method({
    params: anySchema,
    handle: () => ({ imageGeneration: false, webSearch: false }),
  }),
  "account/gatewayOAuth/read": method({ params: anySchema, handle: () => gatewayOf(server) }),
  "modelProvider/default/set": method({
    params: z.object({ providerId: text }),
    alone: true,
    handle: (params) => setDefault(server, params.providerId),
  }),
});

async function listProviders({ configs, manager }: ServerContext) {
  const { providers, config } = await configs.load();
  const data = [...providers].toSorted(([a], [b]) => (a < b ? -1 : 1)).map(([id, info]) => providerToV2(id, info));
  const defaultProviderId = config.modelProvider ?? manager.config.modelProvider;
  return { data, defaultProviderId, canChangeDefault: configs.file !== undefined };
}

const OPENAI = "openai";

const providerToV2 = (id: string, { name, baseUrl, requiresOpenaiAuth }: ProviderInfo) => ({
  id,
  name: name ?? id,
  canEdit: id !== OPENAI,
  baseUrl: id === OPENAI ? null : (baseUrl ?? null),
  settings: requiresOpenaiAuth ? { type: "openai" } : { type: "customGateway", auth: { mode: "none" } },
});

/** Keys alone open a provider, so no gateway asks for a sign-in. */
async function gatewayOf({ configs, manager }: ServerContext) {
  const { providers, config } = await configs.load();
  const providerId = config.modelProvider ?? manager.config.modelProvider;
  const providerName = providers.get(providerId)?.name ?? providerId;
  return { providerId, providerName, required: false, supportsDeviceAuth: false, status: null, error: null };
}

/** Threads that start from now on ask it. @throws RpcError for one that is not configured */
async function setDefault({ configs }: ServerContext, providerId: string) {
  const { file } = configs;
  if (file === undefined) throw invalidRequest("this server has no config.toml to write");
  if (!(await configs.load()).providers.has(providerId)) {
    throw refusedWrite(`Model provider \`${providerId}\` is not configured.`);
  }
  const { version, path } = await file.write(["model_provider"], providerId, {});
  return { status: "ok", version, filePath: path, overriddenMetadata: null };
}
