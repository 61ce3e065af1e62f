/** MCP servers for clients: which there are and what they offer, their tools and resources without a turn, and new settings for threads that live. */
import * as z from "zod";
import type { Elicitation, ElicitationAnswer } from "../../protocol/elicitation.ts";
import type { McpServerConfig, McpServers } from "../../protocol/mcp-servers.ts";
import { asksForServers } from "../../protocol/policy.ts";
import type { ServerAsk } from "../../protocol/server-ask.ts";
import { isJsonObject } from "../../protocol/unknown-kind.ts";
import type { Asked } from "../../turn/tools/mcp/elicitation.ts";
import { McpRefusal, type McpServer } from "../../turn/tools/mcp/mcp-server.ts";
import { askServer } from "../../turn/tools/mcp/server-ask.ts";
import { type Call, type MethodTable, method } from "../method.ts";
import { optionalCount, optionalText, text } from "../params.ts";
import { invalidRequest, RpcError, textOfError } from "../rpc-error.ts";
import type { ServedThread } from "../served-threads.ts";
import type { ServerContext } from "../server-context.ts";
import { threadOf } from "../thread-ops.ts";
import { pageOf } from "./offset-page.ts";
import { readThreadId } from "./thread-source.ts";

const listSchema = z.object({
  cursor: optionalText,
  limit: optionalCount,
  detail: z.enum(["full", "toolsAndAuthOnly"]).nullish(),
  threadId: optionalText,
  serverName: optionalText,
  environmentId: optionalText,
});
const meta = z.record(z.string(), z.unknown()).nullish();
const callSchema = z.object({
  threadId: text,
  server: text,
  environmentId: optionalText,
  tool: text,
  arguments: z.unknown().optional(),
  _meta: z.unknown().optional(),
});
const readSchema = z.object({
  _meta: meta,
  threadId: optionalText,
  originCallId: optionalText,
  server: text,
  environmentId: optionalText,
  uri: text,
  connectorId: optionalText,
  target: z.looseObject({ connectorId: text }).nullish(),
});

export const mcpMethods = (server: ServerContext): MethodTable => ({
  "mcpServerStatus/list": method({ params: listSchema, handle: (params, call) => list(server, params, call) }),
  "mcpServer/tool/call": method({ params: callSchema, handle: (params, call) => callTool(server, params, call) }),
  "mcpServer/resource/read": method({
    params: readSchema,
    handle: async ({ threadId, server: name, uri, _meta }, { signal }) => {
      const thread = threadId == null ? undefined : await threadOf(server, readThreadId(threadId), signal);
      const answer = await askOf(server, thread, { server: name, uri, meta: _meta ?? undefined }, signal);
      return { contents: answer.contents, originCallId: null };
    },
  }),
  "config/mcpServer/reload": method({ params: z.object({}), alone: true, handle: () => reload(server) }),
});

/** The servers of a thread, or those that a new one would have. */
async function tableOf({ configs, manager }: ServerContext, thread: ServedThread | undefined): Promise<McpServers> {
  if (thread !== undefined) return thread.config.mcpServers;
  return (await configs.load()).config.mcpServers ?? manager.config.mcpServers;
}

async function list(server: ServerContext, params: z.infer<typeof listSchema>, { signal }: Call) {
  const { threadId, serverName, environmentId } = params;
  if (environmentId != null && (serverName == null || threadId == null)) {
    throw invalidRequest("environmentId requires serverName and threadId");
  }
  const thread = threadId == null ? undefined : await threadOf(server, readThreadId(threadId), signal);
  const table = Object.entries(await tableOf(server, thread)).toSorted(([a], [b]) => (a < b ? -1 : 1));
  const asked = serverName == null ? table : table.filter(([name]) => name === serverName);
  const { data, nextCursor } = pageOf(asked, params, "MCP servers");
  const lease = server.mcp.acquire(Object.fromEntries(data));
  try {
    const about = { full: params.detail !== "toolsAndAuthOnly", isInThread: thread !== undefined, signal };
    const found = new Map(lease.servers.map((each) => [each.name, each]));
    const shown = data.map(([name, config]) => statusOf(name, config, { ...about, server: found.get(name) }));
    return { data: await Promise.all(shown), nextCursor };
  } finally {
    lease.release();
  }
}

type About = { server: McpServer | undefined; full: boolean; isInThread: boolean; signal: AbortSignal };

/** `runtimeStatus` is of a thread's own connection alone. */
async function statusOf(name: string, config: McpServerConfig, { server, full, isInThread, signal }: About) {
  const { url, bearer_token_env_var } = config;
  const shown = {
    ...{ name, environmentId: null, runtimeStatus: isInThread ? "disabled" : null, pluginId: null },
    httpOrigin: url === undefined ? null : originOf(url),
    ...{ serverInfo: null, serverCapabilities: null, toolListMeta: null, tools: {}, toolsError: null },
    ...{ resources: [], resourceTemplates: [] },
    authStatus: bearer_token_env_var === undefined ? "unsupported" : "bearerToken",
  };
  if (server === undefined) return shown;
  try {
    const { info, capabilities, tools, resources, resourceTemplates } = await server.inventory({ full, signal });
    const none = { title: null, description: null, icons: null, websiteUrl: null };
    return {
      ...shown,
      runtimeStatus: isInThread ? "connected" : null,
      serverInfo: info === undefined ? null : { ...none, ...info },
      serverCapabilities: capabilities ?? null,
      tools: Object.fromEntries(tools.map((tool) => [tool.name, tool])),
      ...{ resources, resourceTemplates },
    };
  } catch (error) {
    signal.throwIfAborted();
    return { ...shown, runtimeStatus: isInThread ? "failed" : null, toolsError: textOfError(error) };
  }
}

/** Without credentials, path and query. */
const originOf = (url: string): string | null => (URL.canParse(url) ? new URL(url).origin : null);

/** Of the worker that has the thread, or of this process. */
async function askOf(server: ServerContext, thread: ServedThread | undefined, ask: ServerAsk, signal: AbortSignal) {
  if (thread?.askServer !== undefined) {
    const served = await thread.askServer(ask, { signal });
    if ("answer" in served) return served.answer;
    throw new RpcError(served.refused.rpcCode, served.refused.message, ASKED_FOR);
  }
  const asked = thread === undefined ? undefined : askedOf(server, thread, ask.server);
  try {
    return await askServer(server.mcp, await tableOf(server, thread), ask, { signal, asked });
  } catch (error) {
    if (error instanceof McpRefusal) throw new RpcError(error.rpcCode, error.message, { ...ASKED_FOR, cause: error });
    throw error;
  }
}

const ASKED_FOR = { code: "invalid_request" } as const;

async function callTool(server: ServerContext, params: z.infer<typeof callSchema>, { signal }: Call) {
  const { server: name, tool, arguments: args, _meta } = params;
  const thread = await threadOf(server, readThreadId(params.threadId), signal);
  const meta = isJsonObject(_meta) ? _meta : undefined;
  return askOf(server, thread, { server: name, tool, arguments: args, meta }, signal);
}

/** What the server asks meanwhile is asked of the thread's clients, in no turn. */
const askedOf = ({ hub, requests }: ServerContext, thread: ServedThread, serverName: string): Asked => ({
  threadId: thread.id,
  askUser: async (asked: Elicitation, signal: AbortSignal): Promise<ElicitationAnswer> => {
    if (!asksForServers(thread.config.approvalPolicy)) return { action: "decline" };
    return requests.elicit(hub.feedOf(thread.id), { serverName, asked, signal });
  },
});

/** Threads that live connect to what config.toml says now with their next turn. */
async function reload(server: ServerContext): Promise<object> {
  const table = await tableOf(server, undefined);
  const mcp_servers = Object.fromEntries(Object.entries(table).map(([name, config]) => [name, { ...config }]));
  for (const threadId of await server.manager.listThreadIds()) {
    const thread = server.manager.loadedThread(threadId);
    const config = { mcp_servers, mcp_oauth_credentials_store_mode: "auto" };
    // One that ends meanwhile needs none.
    await thread?.submit({ type: "refresh_mcp_servers", config }).catch(() => undefined);
  }
  return {};
}
