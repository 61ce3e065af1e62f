/** thread/queue/*: input that waits for the turns before it. */
import * as z from "zod";
import { newItemId, type ThreadId } from "../../protocol/ids.ts";
import type { QueuedSubmission } from "../memos/thread-memos.ts";
import { type MethodTable, method } from "../method.ts";
import { loose, optionalCount, optionalText, text } from "../params.ts";
import { INTERNAL_ERROR, invalidRequest, RpcError } from "../rpc-error.ts";
import type { ServerContext } from "../server-context.ts";
import { threadOf } from "../thread-ops.ts";
import { inputFromV2, inputToV2, type V2Input, v2InputSchema } from "./input.ts";
import { turnInProgress } from "./map-events.ts";
import { passedOver } from "./passed-over.ts";
import { readThreadId, sourceById } from "./thread-source.ts";
import { findStored } from "./thread-view.ts";
import { checkContent } from "./turns.ts";

const threadSchema = z.object({ threadId: text });
const input = z.array(v2InputSchema);
const addSchema = threadSchema.extend({
  input,
  clientUserMessageId: text,
  ...passedOver.queued,
});
const listSchema = threadSchema.extend({ cursor: optionalText, limit: optionalCount });
const updateSchema = threadSchema.extend({ queuedSubmissionId: text, input, ...passedOver.queued });
const reorderSchema = threadSchema.extend({ queuedSubmissionIds: z.array(text) });
const deleteSchema = threadSchema.extend({ queuedSubmissionId: text });
const startSchema = threadSchema.extend({ queuedSubmissionId: optionalText });

export const queueMethods = (server: ServerContext): MethodTable => ({
  "thread/queue/add": method({
    params: loose(addSchema),
    experimental: true,
    handle: async (params) => {
      const threadId = await threadWithQueue(server, params.threadId);
      const { clientUserMessageId, responsesapiClientMetadata = null } = params;
      const input = userInput(params.input);
      const submission = { id: newItemId(), input, clientUserMessageId, responsesapiClientMetadata };
      await server.queues.add(threadId, submission);
      return { queuedSubmission: shown(submission) };
    },
  }),
  "thread/queue/list": method({
    params: loose(listSchema),
    experimental: true,
    handle: async ({ threadId, cursor, limit }) => {
      const queue = await server.queues.list(await threadWithQueue(server, threadId));
      const from = cursor == null ? 0 : readOffset(cursor);
      const to = limit == null ? queue.length : from + Math.max(1, limit);
      return { data: queue.slice(from, to).map(shown), nextCursor: to < queue.length ? String(to) : null };
    },
  }),
  "thread/queue/update": method({
    params: loose(updateSchema),
    experimental: true,
    handle: async (params) => {
      const threadId = await threadWithQueue(server, params.threadId);
      const changed = await server.queues.update(threadId, params.queuedSubmissionId, userInput(params.input));
      return { queuedSubmission: shown(changed) };
    },
  }),
  "thread/queue/reorder": method({
    params: loose(reorderSchema),
    experimental: true,
    handle: async (params) => {
      await server.queues.reorder(await threadWithQueue(server, params.threadId), params.queuedSubmissionIds);
      return {};
    },
  }),
  "thread/queue/delete": method({
    params: loose(deleteSchema),
    experimental: true,
    handle: async (params) => {
      const threadId = await threadWithQueue(server, params.threadId);
      return { deleted: await server.queues.delete(threadId, params.queuedSubmissionId) };
    },
  }),
  "thread/queue/start": method({
    params: loose(startSchema),
    experimental: true,
    handle: async (params, call) => {
      const threadId = await threadWithQueue(server, params.threadId);
      const thread = await threadOf(server, threadId, call.signal);
      call.finally(server.hub.feedOf(threadId).hold(call.connection));
      const turnId = await server.queues.start(thread, params.queuedSubmissionId ?? undefined);
      return { turn: turnInProgress(turnId, null) };
    },
  }),
});

/** @throws RpcError for input that no queue takes */
function userInput(given: readonly V2Input[]) {
  if (given.length === 0) throw invalidRequest("only user input can be added to the user-message queue");
  checkContent(given);
  return given.map(inputFromV2);
}

const shown = (submission: QueuedSubmission) => ({ ...submission, input: submission.input.map(inputToV2) });

function readOffset(cursor: string): number {
  if (!/^\d+$/.test(cursor)) throw invalidRequest("invalid queue pagination cursor: invalid digit found in string");
  return Number(cursor);
}

/** @throws RpcError for one that there is not, or that is archived, or stored nowhere */
async function threadWithQueue(server: ServerContext, given: string): Promise<ThreadId> {
  const threadId = readThreadId(given);
  if (server.views.ephemeral.has(threadId)) {
    throw invalidRequest(`ephemeral thread does not support queued submissions: ${threadId}`);
  }
  if ((await findStored(server.manager, threadId)) === undefined) {
    const why = `failed to read thread: invalid thread-store request: no rollout found for thread id ${threadId}`;
    throw new RpcError(INTERNAL_ERROR, why, { code: "rollout_not_found" });
  }
  await sourceById(server, threadId);
  return threadId;
}
