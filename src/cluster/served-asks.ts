/** What a worker asks an MCP server of a thread's for a client, in no turn; whom the server asks meanwhile are those who follow the thread. */
import { randomUUID } from "node:crypto";
import type { Elicitation, ElicitationAnswer } from "../protocol/elicitation.ts";
import { INITIAL_SUBMISSION_ID } from "../protocol/ids.ts";
import { asksForServers } from "../protocol/policy.ts";
import type { ServerAnswer, ServerAsk } from "../protocol/server-ask.ts";
import type { LiveThread } from "../thread/live-thread.ts";
import type { McpPool } from "../turn/tools/mcp/mcp-pool.ts";
import { McpRefusal } from "../turn/tools/mcp/mcp-server.ts";
import { askServer } from "../turn/tools/mcp/server-ask.ts";
import { encode } from "./wire.ts";

export async function serve(
  pool: McpPool,
  thread: LiveThread,
  ask: ServerAsk,
  signal: AbortSignal,
): Promise<ServerAnswer> {
  const asked = {
    threadId: thread.id,
    askUser: (asked: Elicitation, within: AbortSignal) => askUser(thread, ask.server, asked, within),
  };
  try {
    const answer = await askServer(pool, thread.config.mcpServers, ask, { signal, asked });
    const served = { answer };
    encode(served); // what is too large for the engine is refused here
    return served;
  } catch (error) {
    if (!(error instanceof McpRefusal)) throw error;
    return refusedBy(error);
  }
}

export const refusedBy = ({ rpcCode, message }: McpRefusal): ServerAnswer => ({ refused: { rpcCode, message } });

async function askUser(
  { incarnation, config }: LiveThread,
  server_name: string,
  request: Elicitation,
  signal: AbortSignal,
): Promise<ElicitationAnswer> {
  if (!asksForServers(config.approvalPolicy)) return { action: "decline" };
  const id = randomUUID();
  const { message } = request;
  const said = { server_name, id, call_id: id, turn_id: null, message, request };
  const msg = { type: "elicitation_request", ...said } as const;
  const answer = incarnation.questions.ofServers.ask({ turn: INITIAL_SUBMISSION_ID, callId: id, msg }, signal);
  incarnation.publish(INITIAL_SUBMISSION_ID, msg);
  return answer;
}
