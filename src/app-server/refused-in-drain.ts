import { invalidRequest, type RpcError } from "./rpc-error.ts";

/** What begins work, loads a thread or takes one away: stock 0.171's list, and what does the same in v1. */
const BEGINS: ReadonlySet<string> = new Set([
  ...["thread/start", "thread/resume", "thread/fork", "thread/archive", "thread/delete", "thread/settings/update"],
  ...["turn/start", "turn/steer", "review/start", "thread/compact/start", "thread/shellCommand", "thread/queue/start"],
  ...["newConversation", "resumeConversation", "forkConversation", "archiveConversation"],
  ...["sendUserMessage", "sendUserTurn"],
]);

/** A server that is to end when no turn runs would never end if clients could begin others. They come again, to the next one. */
export const refusedInDrain = (method: string): RpcError | undefined =>
  BEGINS.has(method)
    ? invalidRequest("Server is draining; retry after reconnecting", {
        code: "manager_closed",
        details: { reason: "serverShuttingDown" },
      })
    : undefined;
