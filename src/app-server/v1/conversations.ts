/** newConversation, resumeConversation, forkConversation; their lists, summaries and archive (SPEC 10). */
import { isAbsolute, join } from "node:path";
import * as z from "zod";
import { RolloutCorruptError, RolloutNotFoundError } from "../../protocol/errors.ts";
import type { EventMsg } from "../../protocol/event.ts";
import type { ThreadId } from "../../protocol/ids.ts";
import { eventMsgsOf } from "../../protocol/initial-history.ts";
import { isPersisted } from "../../protocol/persistence.ts";
import { type ResponseItem, responseItemSchema } from "../../protocol/response-item.ts";
import type { RolloutItem } from "../../protocol/rollout.ts";
import type { StoredThread } from "../../store/thread-store.ts";
import type { NewThread } from "../../thread/thread.ts";
import { type Call, type MethodTable, method } from "../method.ts";
import { text } from "../params.ts";
import { INTERNAL_ERROR, invalidRequest, RpcError, textOfError, withContext } from "../rpc-error.ts";
import type { ServerContext } from "../server-context.ts";
import { stopThread } from "../v2/thread-edit.ts";
import { findStored } from "../v2/thread-view.ts";
import {
  archiveSchema,
  conversationId,
  forkSchema,
  listSchema,
  overridesSchema,
  resumeSchema,
  settingsOf,
} from "./schemas.ts";

const FAILURE = "error deriving config";

export const conversationMethods = (server: ServerContext): MethodTable => ({
  newConversation: method({ params: overridesSchema, handle: (params, call) => start(server, params, call) }),
  resumeConversation: method({ params: resumeSchema, handle: (params, call) => resume(server, params, call) }),
  forkConversation: method({ params: forkSchema, handle: (params, call) => fork(server, params, call) }),
  listConversations: method({ params: listSchema, handle: (params) => list(server, params) }),
  getConversationSummary: method({ params: summarySchema, handle: (params) => summary(server, params) }),
  archiveConversation: method({ params: archiveSchema, handle: (params) => archive(server, params) }),
});

/** A client that speaks v1 hears only of what it listens to; its conversations wait for their first listener. */
function welcome({ hub }: ServerContext, { connection }: Call, threadId: ThreadId): void {
  connection.speaksV1 = true;
  const feed = hub.feedOf(threadId);
  if (feed.subscriptions.size === 0) feed.backlog ??= { owner: connection, told: [] };
}

const optionsOf = (call: Call) => {
  const originator = call.connection.client?.name;
  const options = { initialMessages: "none", source: "vscode", signal: call.signal } as const;
  return originator === undefined ? options : { ...options, originator };
};

async function start(server: ServerContext, params: z.infer<typeof overridesSchema>, call: Call) {
  const config = await server.configs.forStart(settingsOf(params), FAILURE);
  const { threadId, thread } = await withContext("error creating conversation", () =>
    server.manager.startThread(config, optionsOf(call)),
  );
  welcome(server, call, threadId);
  const { model, reasoningEffort } = thread.config;
  return { conversationId: threadId, model, reasoningEffort, rolloutPath: thread.rolloutPath ?? "" };
}

async function resume(server: ServerContext, params: z.infer<typeof resumeSchema>, call: Call) {
  const { manager } = server;
  const config = await server.configs.forExisting(settingsOf(params.overrides), FAILURE);
  const { path, conversationId: id, history } = params;
  const resumed = await withContext("error resuming conversation", () => {
    if (path != null)
      return loading(path, id ?? undefined, () => manager.resumeThreadFromRollout(config, path, optionsOf(call)));
    if (id != null) return byId(server, id, () => manager.resumeThread(id, config, optionsOf(call)));
    if (history == null || history.length === 0) {
      throw invalidRequest("either path, conversation id or non empty history must be provided");
    }
    const items = history.map((item) => ({ type: "response_item" as const, payload: readItem(item) }));
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
      return loading(path, undefined, () =>
        manager.forkThread({ from: { rolloutPath: path }, config }, optionsOf(call)),
      );
    }
    if (id == null) throw invalidRequest("either path or conversation id must be provided");
    return byId(server, id, () => manager.forkThread({ from: id, config }, optionsOf(call)));
  });
  return configured(server, forked, call);
}

/** `sessionConfigured` first, then the answer. */
async function configured(server: ServerContext, { threadId, thread }: NewThread, call: Call) {
  const initialMessages = await messagesOf(server, threadId, call.signal);
  const { model, reasoningEffort } = thread.config;
  const rolloutPath = thread.rolloutPath ?? "";
  welcome(server, call, threadId);
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
  return events.filter((msg) => isPersisted(msg, "legacy"));
}

async function byId<T>({ manager, views }: ServerContext, id: ThreadId, work: () => Promise<T>): Promise<T> {
  const stored = views.ephemeral.has(id) ? undefined : await findStored(manager, id);
  if (stored === undefined || stored.archived) {
    throw invalidRequest(`no rollout found for conversation id ${id}`, { code: "rollout_not_found" });
  }
  return loading(stored.rolloutPath ?? id, id, work);
}

async function loading<T>(path: string, id: ThreadId | undefined, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof RolloutNotFoundError || error instanceof RolloutCorruptError)) throw error;
    const of = id === undefined ? "" : ` for conversation ${id}`;
    const why = error instanceof RolloutNotFoundError ? "No such file or directory (os error 2)" : error.message;
    throw invalidRequest(`failed to load rollout \`${path}\`${of}: ${why}`, { code: error.code, cause: error });
  }
}

function readItem(item: unknown): ResponseItem {
  const read = responseItemSchema.safeParse(item);
  if (read.success) return read.data;
  throw invalidRequest(`Invalid request: history: ${read.error.issues[0]?.message ?? "no response item"}`);
}

const summaryOf = (stored: StoredThread, ownProvider: string) => ({
  conversationId: stored.threadId,
  path: stored.rolloutPath ?? "",
  preview: stored.preview,
  timestamp: new Date(stored.createdAt).toISOString(),
  modelProvider: stored.modelProvider ?? ownProvider,
  cwd: stored.cwd,
  cliVersion: stored.cliVersion,
  source: stored.source,
  gitInfo:
    stored.gitInfo === null
      ? null
      : { sha: stored.gitInfo.sha, branch: stored.gitInfo.branch, origin_url: stored.gitInfo.originUrl },
});

async function list({ manager }: ServerContext, { pageSize, cursor, modelProviders }: z.infer<typeof listSchema>) {
  const own = manager.config.modelProvider;
  const providers = modelProviders ?? [own];
  const { threads, nextCursor } = await manager.listThreads({
    ...(cursor == null ? {} : { cursor }),
    ...(pageSize == null ? {} : { limit: pageSize }),
    ...(providers.length === 0 ? {} : { modelProviders: providers }),
    sourceKinds: ["cli", "vscode"],
  });
  return { items: threads.map((thread) => summaryOf(thread, own)), nextCursor };
}

const summarySchema = z.union(
  [z.object({ rolloutPath: text }), z.object({ conversationId })],
  "data did not match any variant of untagged enum GetConversationSummaryParams",
);

async function summary({ manager, home }: ServerContext, params: z.infer<typeof summarySchema>) {
  const own = manager.config.modelProvider;
  if ("conversationId" in params) {
    const stored = await findStored(manager, params.conversationId);
    if (stored !== undefined) return { summary: summaryOf(stored, own) };
    throw invalidRequest(`no rollout found for conversation id ${params.conversationId}`, {
      code: "rollout_not_found",
    });
  }
  const path = isAbsolute(params.rolloutPath) ? params.rolloutPath : join(home, params.rolloutPath);
  try {
    const { id } = await manager.store.header({ rolloutPath: path });
    return { summary: summaryOf(await manager.store.get(id), own) };
  } catch (cause) {
    const why = cause instanceof RolloutNotFoundError ? "No such file or directory (os error 2)" : textOfError(cause);
    throw new RpcError(INTERNAL_ERROR, `failed to load conversation summary from ${path}: ${why}`, {
      code: "rollout_not_found",
      cause,
    });
  }
}

async function archive(server: ServerContext, { conversationId: id, rolloutPath }: z.infer<typeof archiveSchema>) {
  const stored = await findStored(server.manager, id);
  if (stored?.rolloutPath != null && stored.rolloutPath !== rolloutPath) {
    throw invalidRequest(
      rolloutPath.endsWith(`${id}.jsonl`)
        ? `rollout path \`${rolloutPath}\` must be in sessions directory`
        : `rollout path \`${rolloutPath}\` does not match thread id ${id}`,
    );
  }
  if (stored === undefined || stored.archived) {
    throw invalidRequest(`no rollout found for conversation id ${id}`, { code: "rollout_not_found" });
  }
  await stopThread(server, id);
  await server.manager.store.archive(id);
  return {};
}
