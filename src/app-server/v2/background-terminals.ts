/** Commands that run beside a thread's agent: those that its agent left in the background, and the user's own. */
import * as z from "zod";
import { newTurnId } from "../../protocol/ids.ts";
import type { TerminalView } from "../../turn/tools/exec/background-terminals.ts";
import { type Call, type MethodTable, method } from "../method.ts";
import { optionalText, text } from "../params.ts";
import { INVALID_PARAMS, invalidRequest, RpcError } from "../rpc-error.ts";
import type { ServerContext } from "../server-context.ts";
import { liveThreadOf, threadOf } from "../thread-ops.ts";
import { readThreadId } from "./thread-source.ts";

const threadSchema = z.object({ threadId: text });
const listSchema = z.object({ threadId: text, cursor: optionalText, limit: z.int().min(0).max(0xffffffff).nullish() });
const terminateSchema = z.object({ threadId: text, processId: text });
const shellSchema = z.object({ threadId: text, command: text, timeoutMs: z.int().nullish() });

export const terminalMethods = (server: ServerContext): MethodTable => ({
  "thread/backgroundTerminals/list": method({
    params: listSchema,
    experimental: true,
    handle: async (params, call) => page((await terminalsOf(server, params, call))?.list() ?? [], params),
  }),
  "thread/backgroundTerminals/clean": method({
    params: threadSchema,
    experimental: true,
    handle: async (params, call) => {
      const terminals = await terminalsOf(server, params, call);
      call.afterAnswer(() => void terminals?.clean());
      return {};
    },
  }),
  "thread/backgroundTerminals/terminate": method({
    params: terminateSchema,
    experimental: true,
    handle: async (params, call) => {
      const terminals = await terminalsOf(server, params, call);
      const id = numberIn(params.processId, "background terminal process id");
      return { terminated: terminals?.terminate(String(id)) ?? false };
    },
  }),
  "thread/shellCommand": method({ params: shellSchema, handle: (params, call) => runCommand(server, params, call) }),
});

/** undefined: the thread is not in memory, where it would be if any command of it ran, and is not loaded to be looked at. */
const terminalsOf = async (server: ServerContext, { threadId }: { threadId: string }, { signal }: Call) =>
  (await liveThreadOf(server, readThreadId(threadId), signal))?.terminals;

/** In the order of their ids; the cursor is the last one's. */
function page(all: readonly TerminalView[], { cursor, limit }: z.infer<typeof listSchema>) {
  const after = cursor == null ? 0 : numberIn(cursor, "cursor");
  const sorted = all.toSorted((a, b) => Number(a.processId) - Number(b.processId));
  const rest = sorted.filter(({ processId }) => Number(processId) > after);
  const shown = rest.slice(0, limit == null ? undefined : Math.max(1, limit));
  return {
    data: shown.map(({ callId, processId, command, cwd }) => ({
      ...{ itemId: callId, processId, command, cwd },
      ...{ osPid: null, cpuPercent: null, rssKb: null },
    })),
    nextCursor: shown.length < rest.length ? (shown.at(-1)?.processId ?? null) : null,
  };
}

function numberIn(given: string, what: string): number {
  if (/^\d+$/.test(given)) return Number(given);
  throw invalidRequest(`invalid ${what}: invalid digit found in string`);
}

/** Answered at once; the turn that the command gets, or its item in the running one, follows. */
async function runCommand(
  server: ServerContext,
  { threadId, command, timeoutMs }: z.infer<typeof shellSchema>,
  call: Call,
): Promise<object> {
  const id = readThreadId(threadId);
  if (timeoutMs != null && timeoutMs < 0) {
    throw new RpcError(INVALID_PARAMS, `thread/shellCommand timeoutMs must be non-negative, got ${timeoutMs}`);
  }
  if (command.trim() === "") throw invalidRequest("command must not be empty");
  const thread = await threadOf(server, id, call.signal);
  call.finally(server.hub.feedOf(thread.id).hold(call.connection));
  const limit = timeoutMs == null ? {} : { timeout_ms: timeoutMs };
  const op = { type: "run_user_shell_command" as const, command, ...limit };
  await thread.submitWithId({ id: newTurnId(), isNew: true, op }, { signal: call.signal });
  return {};
}
