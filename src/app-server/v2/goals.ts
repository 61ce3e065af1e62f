/** thread/goal/*: what a thread works toward. */
import * as z from "zod";
import type { ThreadId } from "../../protocol/ids.ts";
import { shownGoal } from "../memos/goals.ts";
import { goalStatusSchema } from "../memos/thread-memos.ts";
import { type Call, type MethodTable, method } from "../method.ts";
import { loose, optionalText, text } from "../params.ts";
import { invalidRequest, threadNotFound } from "../rpc-error.ts";
import type { ServerContext } from "../server-context.ts";
import { readThreadId } from "./thread-source.ts";
import { findStored } from "./thread-view.ts";

const threadSchema = z.object({ threadId: text });
const clearSchema = threadSchema.extend({ origin: z.enum(["user", "automatic"]).nullish() });
const setSchema = clearSchema.extend({
  objective: optionalText,
  status: goalStatusSchema.nullish(),
  tokenBudget: z.int().nullish(),
});

export const goalMethods = (server: ServerContext): MethodTable => ({
  "thread/goal/get": method({
    params: threadSchema,
    handle: async (params) => {
      const threadId = await storedThread(server, params.threadId);
      const goal = await server.goals.read(threadId);
      return { goal: goal === null ? null : shownGoal(threadId, goal) };
    },
  }),
  "thread/goal/clear": method({
    params: loose(clearSchema),
    handle: async (params, call) => {
      const threadId = await storedThread(server, params.threadId);
      const cleared = await server.goals.clear(threadId);
      if (cleared) call.afterAnswer(() => server.goals.tell(threadId, null));
      return { cleared };
    },
  }),
  "thread/goal/set": method({ params: loose(setSchema), handle: (params, call) => set(server, params, call) }),
});

async function set(server: ServerContext, params: z.infer<typeof setSchema>, call: Call) {
  const threadId = await storedThread(server, params.threadId);
  if (!server.hasGoalTools) throw invalidRequest("goals are not supported by this server");
  const goal = await server.goals.set(threadId, {
    objective: params.objective ?? undefined,
    status: params.status ?? undefined,
    tokenBudget: params.tokenBudget,
  });
  call.afterAnswer(() => {
    server.goals.tell(threadId, goal);
    server.goals.goOn(threadId);
  });
  return { goal: shownGoal(threadId, goal) };
}

/** @throws RpcError for one that there is not, or that is archived, or stored nowhere */
async function storedThread({ manager, views }: ServerContext, given: string): Promise<ThreadId> {
  const threadId = readThreadId(given);
  if (views.ephemeral.has(threadId)) throw invalidRequest(`ephemeral thread does not support goals: ${threadId}`);
  const stored = await findStored(manager, threadId);
  if (stored === undefined || stored.archived) throw threadNotFound(threadId);
  return threadId;
}
