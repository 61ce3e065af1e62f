/** Listeners, messages and turns of v1 (SPEC 10), and its account methods. */
import { randomUUID } from "node:crypto";
import * as z from "zod";
import { raceAbort } from "../../kernel/cancellation.ts";
import type { EventMsg } from "../../protocol/event.ts";
import type { ThreadId } from "../../protocol/ids.ts";
import type { Op } from "../../protocol/op.ts";
import { type Call, type MethodTable, method } from "../method.ts";
import { optionalText, text } from "../params.ts";
import { invalidRequest } from "../rpc-error.ts";
import type { ServedThread } from "../served-threads.ts";
import type { ServerContext } from "../server-context.ts";
import { threadOf } from "../thread-ops.ts";
import { userAgentOf } from "../v2/initialize.ts";
import { idSchema, inputOf, listenerSchema, messageSchema, subscriptionSchema, turnSchema } from "./schemas.ts";

export const listenerMethods = (server: ServerContext): MethodTable => ({
  addConversationListener: method({
    params: listenerSchema,
    handle: (params, call) => addListener(server, params, call),
  }),
  removeConversationListener: method({
    params: subscriptionSchema,
    handle: ({ subscriptionId }, call) => removeListener(server, subscriptionId, call),
  }),
  sendUserMessage: method({
    params: messageSchema,
    handle: ({ conversationId, items }, call) =>
      send(server, conversationId, { type: "user_input", items: items.map(inputOf) }, call),
  }),
  sendUserTurn: method({ params: turnSchema, handle: (params, call) => sendTurn(server, params, call) }),
  interruptConversation: method({
    params: idSchema,
    handle: ({ conversationId }, call) => interrupt(server, conversationId, call),
  }),
  userInfo: method({
    params: z.object({}),
    handle: () => {
      const account = server.manager.authManager.account();
      return { allegedUserEmail: account?.type === "chatgpt" ? account.email : null };
    },
  }),
  getUserAgent: method({
    params: z.object({}),
    handle: (_, { connection }) => ({
      userAgent: userAgentOf(connection.client ?? { name: "", title: null, version: "" }),
    }),
  }),
  loginApiKey: method({
    params: z.object({ apiKey: text }),
    alone: true,
    handle: async ({ apiKey }, call) => {
      await server.manager.authManager.loginWithApiKey(apiKey);
      call.afterAnswer(() => call.connection.tell({ method: "authStatusChange", params: { authMethod: "apikey" } }));
      return {};
    },
  }),
  logoutChatGpt: method({
    params: z.object({}),
    alone: true,
    handle: async (_, call) => {
      await server.manager.authManager.logout();
      call.afterAnswer(() => call.connection.tell({ method: "authStatusChange", params: { authMethod: null } }));
      return {};
    },
  }),
  setDefaultModel: method({
    params: z.object({ model: optionalText, reasoningEffort: optionalText }),
    alone: true,
    handle: async ({ model, reasoningEffort }) => {
      const { file } = server.configs;
      if (file === undefined) throw invalidRequest("this server has no config.toml to write");
      await file.write(["model"], model ?? null);
      await file.write(["model_reasoning_effort"], reasoningEffort ?? null);
      return {};
    },
  }),
});

/** Several listeners of one client are served by one stream: each sees every event, and none comes twice. */
async function addListener(server: ServerContext, params: z.infer<typeof listenerSchema>, call: Call) {
  const { hub } = server;
  const { connection } = call;
  const thread = await threadOf(server, params.conversationId, call.signal);
  const subscriptionId = randomUUID();
  const feed = hub.feedOf(thread.id);
  connection.versions.add("v1");
  const subscription = feed.subscribe(connection);
  subscription.listeners.set(subscriptionId, { rawItems: params.experimentalRawEvents === true });
  call.finally(feed.hold(connection));
  call.afterAnswer(() => {
    feed.flushBacklog(connection);
    hub.replayRequests(connection, thread.id);
  });
  return { subscriptionId };
}

function removeListener({ hub }: ServerContext, subscriptionId: string, { connection }: Call): object {
  for (const { feed, subscription } of hub.subscriptionsOf(connection)) {
    if (!subscription.listeners.delete(subscriptionId)) continue;
    hub.release(feed, subscription);
    return {};
  }
  throw invalidRequest(`subscription not found: ${subscriptionId}`);
}

const conversationNotFound = (id: string) =>
  invalidRequest(`conversation not found: ${id}`, { code: "thread_not_found" });

const conversationOf = (server: ServerContext, id: ThreadId, { signal }: Call): Promise<ServedThread> =>
  threadOf(server, id, signal, conversationNotFound);

/** Answered as soon as the thread has it; under the thread's own submission ids, as 0.87's events bear them. */
async function send(server: ServerContext, id: ThreadId, op: Op, call: Call): Promise<object> {
  const thread = await conversationOf(server, id, call);
  call.finally(server.hub.feedOf(id).hold(call.connection));
  await thread.submit(op, { signal: call.signal });
  return {};
}

function sendTurn(server: ServerContext, params: z.infer<typeof turnSchema>, call: Call): Promise<object> {
  const { conversationId, items, cwd, approvalPolicy, sandboxPolicy, model, effort, summary, outputSchema } = params;
  const op: Op = {
    type: "user_turn",
    items: items.map(inputOf),
    cwd,
    approval_policy: approvalPolicy,
    sandbox_policy: sandboxPolicy,
    model,
    ...(effort == null ? {} : { effort }),
    summary,
    ...(outputSchema == null ? {} : { final_output_json_schema: outputSchema }),
  };
  return send(server, conversationId, op, call);
}

/** Answered when the turn has been aborted; with no turn running, at once by an error. */
async function interrupt(server: ServerContext, id: ThreadId, call: Call): Promise<{ abortReason: string }> {
  const thread = await conversationOf(server, id, call);
  if (thread.activeTurn === undefined) throw invalidRequest("no active turn to interrupt", { code: "no_active_turn" });
  const ended = Promise.withResolvers<string>();
  const stop = server.hub.feedOf(id).watch((event) => {
    if (event?.msg.type === "turn_aborted") ended.resolve(event.msg.reason);
    // A life that has been lost takes its turn along, without a word of it.
    else if (event === undefined || isTurnless(event.msg)) ended.resolve("interrupted");
  });
  try {
    thread.submit({ type: "interrupt" }, { signal: call.signal }).catch(ended.reject);
    return { abortReason: await raceAbort(ended.promise, call.signal) };
  } finally {
    stop();
  }
}

const isTurnless = (msg: EventMsg): boolean =>
  msg.type === "task_complete" || (msg.type === "session_configured" && msg.resumed_turn_id === undefined);
