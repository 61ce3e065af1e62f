/** newConversation, resumeConversation, forkConversation (SPEC 10). */
import type * as z from "zod";
import type { EventMsg } from "../../protocol/event.ts";
import type { ThreadId } from "../../protocol/ids.ts";
import { eventMsgsOf } from "../../protocol/initial-history.ts";
import { isPersistedBy087 } from "../../protocol/persistence.ts";
import type { RolloutItem } from "../../protocol/rollout.ts";
import type { NewThread } from "../../thread/thread.ts";
import { readHistory } from "../given-items.ts";
import { type Call, type MethodTable, method } from "../method.ts";
import { invalidRequest, withContext } from "../rpc-error.ts";
import type { ServedThread } from "../served-threads.ts";
import type { ServerContext } from "../server-context.ts";
import { findStored } from "../v2/thread-view.ts";
import { loading } from "./load-failure.ts";
import { noMcpServers } from "./map-events.ts";
import { forkSchema, overridesSchema, resumeSchema, settingsOf } from "./schemas.ts";

const FAILURE = "error deriving config";

export const conversationMethods = (server: ServerContext): MethodTable => ({
  newConversation: method({ params: overridesSchema, handle: (params, call) => start(server, params, call) }),
  resumeConversation: method({ params: resumeSchema, handle: (params, call) => resume(server, params, call) }),
  forkConversation: method({ params: forkSchema, handle: (params, call) => fork(server, params, call) }),
});

/** A client that speaks v1 hears only of what it listens to; its conversations wait for their first listener. */
function welcome({ hub }: ServerContext, { connection }: Call, { threadId, thread }: NewThread<ServedThread>): void {
  connection.versions.add("v1");
  const feed = hub.feedOf(threadId);
  if (feed.subscriptions.size > 0) return;
  const hasServers = Object.keys(thread.config.mcpServers).length > 0;
  feed.keepFor(connection, hasServers ? [] : [noMcpServers(threadId)]);
}

const optionsOf = (call: Call) => {
  const originator = call.connection.client?.name;
  const options = { initialMessages: "none", source: "vscode", signal: call.signal } as const;
  return originator === undefined ? options : { ...options, originator };
};

async function start(server: ServerContext, params: z.infer<typeof overridesSchema>, call: Call) {
  const config = await server.configs.forStart(settingsOf(params), FAILURE);
  const started = await withContext("error creating conversation", () =>
    server.manager.startThread(config, { ...optionsOf(call), historyMode: "legacy" }),
  );
  welcome(server, call, started);
  const { threadId, thread } = started;
  const { model, reasoningEffort } = thread.config;
  return { conversationId: threadId, model, reasoningEffort, rolloutPath: thread.rolloutPath ?? "" };
}

async function resume(server: ServerContext, params: z.infer<typeof resumeSchema>, call: Call) {
  const { manager } = server;
  const config = await server.configs.forExisting(settingsOf(params.overrides), FAILURE);
  const { path, conversationId: id, history } = params;
  const resumed = await withContext("error resuming conversation", () => {
    if (path != null) return loading({ path }, () => manager.resumeThreadFromRollout(config, path, optionsOf(call)));
    if (id != null) return byId(server, id, () => manager.resumeThread(id, config, optionsOf(call)));
    if (history == null || history.length === 0) {
      throw invalidRequest("either path, conversation id or non empty history must be provided");
    }
    const items = readHistory(history);
    return manager.resumeThreadWithHistory(config, { type: "forked", items }, optionsOf(call));
  });
  return configured(server, resumed, call);
}

async function fork(server: ServerContext, params: z.infer<typeof forkSchema>, call: Call) {
  const { manager } = server;
  const config = await server.configs.forExisting(settingsOf(params.overrides), FAILURE);
  const { path, conversationId: id } = params;
  const forked = await withContext("error forking conversation", () => {
    if (path != null) {
      return loading({ path }, () => manager.forkThread({ from: { rolloutPath: path }, config }, optionsOf(call)));
    }
    if (id == null) throw invalidRequest("either path or conversation id must be provided");
    return byId(server, id, () => manager.forkThread({ from: id, config }, optionsOf(call)));
  });
  return configured(server, forked, call);
}

/** `sessionConfigured` first, then the answer. */
async function configured(server: ServerContext, made: NewThread<ServedThread>, call: Call) {
  const { threadId, thread } = made;
  const initialMessages = await messagesOf(server, threadId, call.signal);
  const { model, reasoningEffort } = thread.config;
  const rolloutPath = thread.rolloutPath ?? "";
  welcome(server, call, made);
  const params = {
    sessionId: threadId,
    model,
    reasoningEffort,
    historyLogId: 0,
    historyEntryCount: 0,
    initialMessages,
    rolloutPath,
  };
  call.connection.tell({ method: "sessionConfigured", params });
  return { conversationId: threadId, model, initialMessages, rolloutPath };
}

/** The stored events of the kinds that 0.87 stores, in order. */
async function messagesOf({ manager }: ServerContext, threadId: ThreadId, signal: AbortSignal): Promise<EventMsg[]> {
  const items: RolloutItem[] = [];
  for await (const page of manager.store.load(threadId, { signal })) items.push(...page);
  const events = eventMsgsOf({ type: "forked", items }, manager.config) ?? [];
  return events.filter(isPersistedBy087);
}

async function byId<T>({ manager, views }: ServerContext, id: ThreadId, work: () => Promise<T>): Promise<T> {
  const stored = views.ephemeral.has(id) ? undefined : await findStored(manager, id);
  if (stored === undefined || stored.archived) {
    throw invalidRequest(`no rollout found for conversation id ${id}`, { code: "rollout_not_found" });
  }
  return loading({ path: stored.rolloutPath ?? id, id }, work);
}
