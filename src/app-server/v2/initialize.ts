import { arch, hostname, platform, release } from "node:os";
import * as z from "zod";
import { CODEX_VERSION, VERSION } from "../../version.ts";
import type { ClientInfo } from "../client.ts";
import { type Call, type MethodTable, method } from "../method.ts";
import { optionalFlag, optionalText, optionalTexts, text } from "../params.ts";
import { invalidRequest } from "../rpc-error.ts";
import type { ServerContext } from "../server-context.ts";

const schema = z.object({
  clientInfo: z.object({ name: text, title: optionalText, version: text }),
  capabilities: z.object({ experimentalApi: optionalFlag, optOutNotificationMethods: optionalTexts }).nullish(),
});

type Host = Pick<ServerContext, "home" | "installationId">;

export const initializeMethods = (server: Host): MethodTable => ({
  initialize: method({ params: schema, isFirst: true, handle: (params, call) => initialize(server, params, call) }),
});

function initialize({ home, installationId }: Host, { clientInfo, capabilities }: z.infer<typeof schema>, call: Call) {
  const { connection } = call;
  if (connection.client !== undefined) throw invalidRequest("Already initialized");
  if (!isHeaderValue(clientInfo.name)) {
    throw invalidRequest(`Invalid clientInfo.name: '${clientInfo.name}'. Must be a valid HTTP header value.`);
  }
  const client = { ...clientInfo, title: clientInfo.title ?? null };
  const optOut = new Set(capabilities?.optOutNotificationMethods ?? []);
  connection.introduce({ client, experimentalApi: capabilities?.experimentalApi ?? false, optOut });
  call.afterAnswer(() =>
    connection.tell({
      method: "remoteControl/status/changed",
      params: remoteControlOff({ installationId }),
    }),
  );
  return {
    userAgent: userAgentOf(client),
    codexHome: home,
    platformFamily: platform() === "win32" ? "windows" : "unix",
    platformOs: platform() === "darwin" ? "macos" : platform(),
  };
}

/** Nobody controls this server from afar. */
export const remoteControlOff = ({ installationId }: Pick<ServerContext, "installationId">) => ({
  ...{ status: "disabled", serverName: hostname(), installationId, environmentId: null },
});

const isHeaderValue = (name: string): boolean => /^[\t\x20-\x7e]*$/.test(name);

/** `name/version (os; arch) terminal (name; version)`: clients read Codex's version out of it. */
export const userAgentOf = ({ name, version }: ClientInfo): string =>
  `${name}/${CODEX_VERSION} (${platform()} ${release()}; ${arch()}) skein/${VERSION} (${name}; ${version})`;
