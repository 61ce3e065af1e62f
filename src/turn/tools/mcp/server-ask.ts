/** What clients ask of a thread's MCP servers, in no turn: over the connection that the thread's turns use, where there is one. */
import type { CallToolResult, ReadResourceResult } from "@modelcontextprotocol/client";
import { textOfThrown } from "../../../kernel/thrown.ts";
import type { McpServers } from "../../../protocol/mcp-servers.ts";
import type { ServerAsk, ToolAsk } from "../../../protocol/server-ask.ts";
import { isJsonObject } from "../../../protocol/unknown-kind.ts";
import type { Asked } from "./elicitation.ts";
import type { McpPool } from "./mcp-pool.ts";
import { McpRefusal, type McpServer } from "./mcp-server.ts";

type How = { readonly signal: AbortSignal; readonly asked?: Asked | undefined };

/** JSON-RPC's "internal error". */
const FAILED = -32_603;

/** @throws McpRefusal for all that went wrong; or the signal's reason */
export async function askServer(
  pool: McpPool,
  table: McpServers,
  ask: ServerAsk,
  { signal, asked }: How,
): Promise<CallToolResult | ReadResourceResult> {
  if ("tool" in ask) checkCall(ask);
  const { server: name } = ask;
  const config = Object.hasOwn(table, name) ? table[name] : undefined;
  const lease = pool.acquire(config === undefined ? {} : { [name]: config });
  try {
    const [server] = lease.servers;
    if (server === undefined) throw new McpRefusal(FAILED, `unknown MCP server '${name}'`);
    await server.start().catch((cause: unknown) => {
      throw new McpRefusal(FAILED, `failed to get client: ${textOfThrown(cause)}`, { cause });
    });
    if ("tool" in ask) return await callTool(server, ask, { signal, asked });
    return await server.readResource(ask.uri, { signal, meta: ask.meta });
  } finally {
    lease.release();
  }
}

/** A call that came to nothing, and why. */
export const failedCall = ({ server, tool }: ToolAsk, why: string, options?: ErrorOptions): McpRefusal =>
  new McpRefusal(FAILED, `tool call failed for \`${server}/${tool}\`: ${why}`, options);

function checkCall(ask: ToolAsk): void {
  const { arguments: args = null } = ask;
  if (args === null || isJsonObject(args)) return;
  throw failedCall(ask, `MCP tool arguments must be a JSON object, got ${JSON.stringify(args)}`);
}

async function callTool(server: McpServer, ask: ToolAsk, { signal, asked }: How): Promise<CallToolResult> {
  const { tool, arguments: args, meta } = ask;
  if (!server.offers(tool)) {
    throw failedCall(ask, `tool \`${tool}\` is disabled for MCP server \`${server.name}\``);
  }
  try {
    return await server.call(tool, isJsonObject(args) ? args : undefined, { signal, meta, asked });
  } catch (cause) {
    signal.throwIfAborted();
    if (cause instanceof McpRefusal) throw cause;
    throw failedCall(ask, textOfThrown(cause), { cause });
  }
}
