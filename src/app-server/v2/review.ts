/** review/start: a review of the folder's changes, as a turn of the thread that asks for it. */
import * as z from "zod";
import { newTurnId } from "../../protocol/ids.ts";
import { emptyPartOf, type ReviewTarget, reviewLabel, reviewTargetSchema } from "../../turn/review/target.ts";
import { type Call, type MethodTable, method } from "../method.ts";
import { loose, text } from "../params.ts";
import { invalidRequest } from "../rpc-error.ts";
import type { ServerContext } from "../server-context.ts";
import { threadOf } from "../thread-ops.ts";
import { turnInProgress } from "./map-events.ts";
import { readThreadId } from "./thread-source.ts";
import type { V2Turn } from "./wire-types.ts";

const startSchema = z.object({
  threadId: text,
  target: reviewTargetSchema,
  delivery: z.enum(["inline"]).nullish(),
});

export const reviewMethods = (server: ServerContext): MethodTable => ({
  "review/start": method({ params: loose(startSchema), handle: (params, call) => start(server, params, call) }),
});

async function start(
  server: ServerContext,
  params: z.infer<typeof startSchema>,
  call: Call,
): Promise<{ turn: V2Turn; reviewThreadId: string }> {
  const target = checked(params.target);
  const thread = await threadOf(server, readThreadId(params.threadId), call.signal);
  call.finally(server.hub.feedOf(thread.id).hold(call.connection));
  const id = newTurnId();
  await thread.submitWithId({ id, op: { type: "review", review_request: { target } } }, { signal: call.signal });
  const content = [{ type: "text", text: reviewLabel(target), text_elements: [] }];
  const asked = { type: "userMessage", id, clientId: null, content, startedAtMs: null, completedAtMs: null };
  return { turn: { ...turnInProgress(id, null), rootTurnId: null, items: [asked] }, reviewThreadId: thread.id };
}

/** @throws RpcError */
function checked(target: ReviewTarget): ReviewTarget {
  const empty = emptyPartOf(target);
  if (empty !== undefined) throw invalidRequest(`${empty} must not be empty`);
  return target;
}
