/** listConversations, getConversationSummary and archiveConversation (SPEC 8, 10 and 11.6). */
import { realpath } from "node:fs/promises";
import { isAbsolute, join, sep } from "node:path";
import * as z from "zod";
import { InvalidRequestError, SkeinError } from "../../protocol/errors.ts";
import type { ThreadId } from "../../protocol/ids.ts";
import { ioText } from "../../services/io-failure.ts";
import type { StoredThread } from "../../store/thread-store.ts";
import { type MethodTable, method } from "../method.ts";
import { text } from "../params.ts";
import { INTERNAL_ERROR, invalidRequest, RpcError } from "../rpc-error.ts";
import type { ServerContext } from "../server-context.ts";
import { stopThread } from "../v2/thread-edit.ts";
import { pageOfSpoken, providersOf } from "../v2/thread-list.ts";
import { findStored } from "../v2/thread-view.ts";
import { summaryFailure } from "./load-failure.ts";
import { archiveSchema, conversationId, listSchema } from "./schemas.ts";

const summarySchema = z.union(
  [z.object({ rolloutPath: text }), z.object({ conversationId })],
  "data did not match any variant of untagged enum GetConversationSummaryParams",
);

export const storedConversationMethods = (server: ServerContext): MethodTable => ({
  listConversations: method({ params: listSchema, handle: (params) => list(server, params) }),
  getConversationSummary: method({ params: summarySchema, handle: (params) => summary(server, params) }),
  archiveConversation: method({ params: archiveSchema, handle: (params) => archive(server, params) }),
});

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
  const providers = providersOf(modelProviders, own);
  const query = {
    ...(pageSize == null ? {} : { limit: pageSize }),
    ...(providers.length === 0 ? {} : { modelProviders: providers }),
    sourceKinds: ["cli", "vscode"] as const,
  };
  const page = (from: { cursor?: string }) =>
    pageOfSpoken((wanted) => manager.listThreads(wanted), { ...query, ...from });
  const { threads, nextCursor } = await (cursor == null ? page({}) : page({ cursor }).catch(withoutCursor(page)));
  return { items: threads.map((thread) => summaryOf(thread, own)), nextCursor };
}

/** 0.87 begins anew where it cannot read a cursor. */
const withoutCursor =
  <T>(page: (from: object) => Promise<T>) =>
  (error: unknown): Promise<T> => {
    if (error instanceof InvalidRequestError) return page({});
    throw error;
  };

const noConversation = (id: ThreadId): RpcError =>
  invalidRequest(`no rollout found for conversation id ${id}`, { code: "rollout_not_found" });

async function summary({ manager, home }: ServerContext, params: z.infer<typeof summarySchema>) {
  const own = manager.config.modelProvider;
  if ("conversationId" in params) {
    const stored = await findStored(manager, params.conversationId);
    if (stored === undefined) throw noConversation(params.conversationId);
    return { summary: summaryOf(stored, own) };
  }
  const path = isAbsolute(params.rolloutPath) ? params.rolloutPath : join(home, params.rolloutPath);
  try {
    const { id } = await manager.store.header({ rolloutPath: path });
    return { summary: summaryOf(await manager.store.get(id), own) };
  } catch (cause) {
    const why = `failed to load conversation summary from ${path}: ${summaryFailure(cause, path)}`;
    const code = cause instanceof SkeinError ? cause.code : "rollout_not_found";
    throw new RpcError(INTERNAL_ERROR, why, { code, cause });
  }
}

async function archive(server: ServerContext, { conversationId: id, rolloutPath }: z.infer<typeof archiveSchema>) {
  const stored = await findStored(server.manager, id);
  if (stored?.rolloutPath !== null) await checkPlace(server.home, rolloutPath, id);
  if (stored === undefined || stored.archived) throw noConversation(id);
  await stopThread(server, id);
  await server.manager.store.archive(id);
  return {};
}

/** The file must be one of the home's sessions, and the conversation's own by its name. */
async function checkPlace(home: string, rolloutPath: string, id: ThreadId): Promise<void> {
  const sessions = await realpath(join(home, "sessions")).catch((cause: unknown) => {
    const why = `failed to archive thread: unable to resolve sessions directory: ${ioText(cause)}`;
    throw new RpcError(INTERNAL_ERROR, why, { code: "store_io", cause });
  });
  const file = await realpath(rolloutPath).catch(() => undefined);
  if (file?.startsWith(`${sessions}${sep}`) !== true) {
    throw invalidRequest(`rollout path \`${rolloutPath}\` must be in sessions directory`);
  }
  if (!file.endsWith(`${id}.jsonl`)) {
    throw invalidRequest(`rollout path \`${rolloutPath}\` does not match thread id ${id}`);
  }
}
