/** modelProvider/*: which providers config.toml names, and which of them is asked by default. */
import * as z from "zod";
import { isTable, valueAt } from "../../services/config-table.ts";
import { type MethodTable, method } from "../method.ts";
import { text } from "../params.ts";
import { invalidRequest } from "../rpc-error.ts";
import type { ServerContext } from "../server-context.ts";
import { providerToV2 } from "./provider-view.ts";
import { providerWriteSchema, writeProvider } from "./provider-write.ts";
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
  "modelProvider/config/write": method({
    params: providerWriteSchema,
    alone: true,
    handle: async ({ settings }) => {
      const id = await writeProvider(server, settings);
      const { data } = await listProviders(server);
      return { provider: data.find((each) => each.id === id) };
    },
  }),
});

async function listProviders({ configs, manager }: ServerContext) {
  const { providers, config } = await configs.load();
  const table = (await configs.file?.read())?.table ?? {};
  const data = [...providers.values()]
    .toSorted((a, b) => (a.id < b.id ? -1 : 1))
    .map((info) => providerToV2(info, isTable(valueAt(table, ["model_providers", info.id]))));
  const defaultProviderId = config.modelProvider ?? manager.config.modelProvider;
  return { data, defaultProviderId, canChangeDefault: configs.file !== undefined };
}

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
