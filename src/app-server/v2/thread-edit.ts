/** What changes a stored thread: archive, unarchive, delete, name, revert, rollback; and unsubscribe. */
import * as z from "zod";
import { RolloutNotFoundError } from "../../protocol/errors.ts";
import { newTurnId, type ThreadId, toTurnId } from "../../protocol/ids.ts";
import type { ThreadGit } from "../../store/thread-store.ts";
import { type Call, type MethodTable, method } from "../method.ts";
import { optionalFlag, optionalText, text } from "../params.ts";
import { invalidRequest, noRollout } from "../rpc-error.ts";
import type { ServerContext } from "../server-context.ts";
import { threadOf } from "../thread-ops.ts";
import { agentsUnder } from "./agent-family.ts";
import { readThreadId } from "./thread-source.ts";
import { cursorsOf } from "./thread-start.ts";
import { findStored, fullTurns, modeOf } from "./thread-view.ts";

const idSchema = z.object({ threadId: text });
const nameSchema = z.object({ threadId: text, name: text });
const revertSchema = z.object({ threadId: text, beforeTurnId: text });
const rollbackSchema = z.object({ threadId: text, numTurns: z.int().min(0).max(0xffffffff) });
const gitField = optionalText;
const metadataSchema = z.object({
  threadId: text,
  gitInfo: z.object({ sha: gitField, branch: gitField, originUrl: gitField }).nullish(),
  projectId: optionalText,
  daybreakEnabled: optionalFlag,
});

/** What a thread gets to end in before its file is moved or removed. */
const STOP_DEADLINE_MS = 10_000;

export const threadEditMethods = (server: ServerContext): MethodTable => ({
  "thread/archive": method({ params: idSchema, handle: (params, call) => archive(server, params.threadId, call) }),
  "thread/unarchive": method({ params: idSchema, handle: (params, call) => unarchive(server, params.threadId, call) }),
  "thread/delete": method({ params: idSchema, handle: (params, call) => remove(server, params.threadId, call) }),
  "thread/unsubscribe": method({
    params: idSchema,
    handle: (params, call) => unsubscribe(server, params.threadId, call),
  }),
  "thread/name/set": method({ params: nameSchema, handle: (params, call) => setName(server, params, call) }),
  "thread/metadata/update": method({ params: metadataSchema, handle: (params) => updateMetadata(server, params) }),
  "thread/revert": method({ params: revertSchema, handle: (params, call) => revert(server, params, call) }),
  "thread/rollback": method({ params: rollbackSchema, handle: (params, call) => rollBack(server, params, call) }),
});

/** Ends a loaded thread and takes it out, so that its file can be moved. */
export async function stopThread({ manager, hub }: ServerContext, threadId: ThreadId): Promise<void> {
  const thread = manager.loadedThread(threadId);
  if (thread !== undefined) {
    const isTold = hub.find(threadId) !== undefined;
    await thread.shutdown({ deadlineMs: STOP_DEADLINE_MS });
    const params = { threadId, status: { type: "notLoaded" } };
    if (!isTold) hub.broadcast({ method: "thread/status/changed", params });
  }
  await manager.removeThread(threadId);
  const feed = hub.find(threadId);
  if (feed !== undefined) feed.tell(...feed.mapper.setStatus({ type: "notLoaded" }));
}

async function stored(server: ServerContext, threadId: ThreadId) {
  const found = server.views.ephemeral.has(threadId) ? undefined : await findStored(server.manager, threadId);
  if (found === undefined) throw noRollout(threadId);
  return found;
}

async function archive(server: ServerContext, given: string, call: Call): Promise<object> {
  const threadId = readThreadId(given);
  const { archived } = await stored(server, threadId);
  if (archived) throw noRollout(threadId);
  const { store } = server.manager;
  // Its agents go with it: they work for nobody else.
  const family = [threadId, ...(await agentsUnder(store, threadId, { archived: false }))];
  for (const id of family) await stopThread(server, id);
  for (const id of family) await store.archive(id);
  call.afterAnswer(() => {
    for (const id of family) server.hub.broadcast({ method: "thread/archived", params: { threadId: id } });
  });
  return {};
}

async function unarchive(server: ServerContext, given: string, call: Call): Promise<object> {
  const { manager, hub, views } = server;
  const threadId = readThreadId(given, "session");
  const found = await findStored(manager, threadId);
  if (found?.archived !== true) {
    throw manager.loadedThread(threadId) === undefined || views.ephemeral.has(threadId)
      ? invalidRequest(`no archived rollout found for thread id ${threadId}`, { code: "rollout_not_found" })
      : invalidRequest(`thread ${threadId} already has an active writer`, { code: "thread_busy" });
  }
  const family = [threadId, ...(await agentsUnder(manager.store, threadId, { archived: true }))];
  for (const id of family) await manager.store.unarchive(id);
  call.afterAnswer(() => {
    for (const id of family) hub.broadcast({ method: "thread/unarchived", params: { threadId: id } });
  });
  return { thread: await views.read(threadId) };
}

/** A thread that others were forked from may go as well: what they need of it stays (F3). */
async function remove(server: ServerContext, given: string, call: Call): Promise<object> {
  const threadId = readThreadId(given);
  await stored(server, threadId);
  const { store } = server.manager;
  const family = [threadId, ...(await agentsUnder(store, threadId, { archived: "either" }))];
  for (const id of family) await stopThread(server, id);
  // Those below before those above: a client that hears of a thread's end has heard of its agents'.
  family.reverse();
  for (const id of family) await store.delete(id);
  for (const id of family) await server.memos.forget(id);
  await server.sections.forget(family);
  call.afterAnswer(() => {
    for (const id of family) server.hub.broadcast({ method: "thread/deleted", params: { threadId: id } });
  });
  return {};
}

function unsubscribe({ manager, hub }: ServerContext, given: string, call: Call): { status: string } {
  const threadId = readThreadId(given);
  if (hub.unfollow(call.connection, threadId)) return { status: "unsubscribed" };
  return { status: manager.loadedThread(threadId) === undefined ? "notLoaded" : "notSubscribed" };
}

async function setName(server: ServerContext, params: z.infer<typeof nameSchema>, call: Call) {
  const threadId = readThreadId(params.threadId);
  const name = params.name.trim();
  if (name === "") throw invalidRequest("thread name must not be empty");
  refuseEphemeral(server, threadId);
  if ((await findStored(server.manager, threadId))?.archived === true) throw noRollout(threadId);
  await server.manager.store.rename(threadId, name).catch((error: unknown) => {
    throw error instanceof RolloutNotFoundError ? noRollout(threadId) : error;
  });
  call.afterAnswer(() =>
    server.hub.broadcast({ method: "thread/name/updated", params: { threadId, threadName: name } }),
  );
  return {};
}

function refuseEphemeral({ views }: ServerContext, threadId: ThreadId): void {
  if (!views.ephemeral.has(threadId)) return;
  throw invalidRequest(`ephemeral thread does not support metadata updates: ${threadId}`);
}

/** Noted beside the rollout, which stays as it is. */
async function updateMetadata(server: ServerContext, params: z.infer<typeof metadataSchema>) {
  const { gitInfo, projectId } = params;
  const threadId = readThreadId(params.threadId);
  if (gitInfo == null && projectId == null && params.daybreakEnabled == null) {
    throw invalidRequest("thread metadata update must include at least one field");
  }
  const changes = gitInfo == null ? undefined : gitChanges(gitInfo);
  refuseEphemeral(server, threadId);
  const { gitInfo: before } = await stored(server, threadId);
  if (projectId) throw invalidRequest(`project not found: ${projectId}`);
  if (changes !== undefined) {
    const after = { sha: null, branch: null, originUrl: null, ...before, ...changes };
    const isEmpty = Object.values(after).every((value) => value === null);
    await server.manager.store.setGitInfo(threadId, isEmpty ? null : after);
  }
  return { thread: await server.views.read(threadId) };
}

const GIT_FIELDS = ["sha", "branch", "originUrl"] as const;

/** What is absent stays, null clears. @throws RpcError */
function gitChanges(given: NonNullable<z.infer<typeof metadataSchema>["gitInfo"]>): Partial<ThreadGit> {
  const changes = GIT_FIELDS.flatMap((field): [string, string | null][] => {
    const value = given[field];
    if (value === undefined) return [];
    if (value?.trim() === "") throw invalidRequest(`gitInfo.${field} must not be empty`);
    return [[field, value]];
  });
  if (changes.length === 0) throw invalidRequest("gitInfo must include at least one field");
  return Object.fromEntries(changes);
}

/** By a rollback to that turn's start: a marker is appended, and nothing is lost. */
async function revert(server: ServerContext, params: z.infer<typeof revertSchema>, call: Call): Promise<unknown> {
  const { views, hub } = server;
  const threadId = readThreadId(params.threadId);
  const thread = await threadOf(server, threadId, call.signal);
  if (views.ephemeral.has(threadId)) throw invalidRequest("ephemeral threads do not support thread/revert");
  if (modeOf(await server.manager.store.header(threadId)) === "legacy") {
    throw invalidRequest("thread/revert only supports paginated threads");
  }
  const turnsFrom = async () => {
    const { turns } = await views.history(threadId, call.signal);
    const at = turns.findIndex(({ id }) => id === params.beforeTurnId);
    if (at === -1) throw invalidRequest(`turn not found: ${params.beforeTurnId}`, { code: "invalid_fork_point" });
    return turns.slice(at);
  };
  let gone = await turnsFrom();
  if (thread.activeTurn !== undefined) {
    // A turn that runs goes with the others, as in Codex.
    await thread.interrupt({ signal: call.signal });
    gone = await turnsFrom();
  }
  const messages = gone.flatMap(({ turn }) => turn.items.filter(({ type }) => type === "userMessage"));
  const beforeTurn = toTurnId(params.beforeTurnId);
  const isStored = (await server.manager.store.findTurn(threadId, beforeTurn)) !== undefined;
  const id = newTurnId();
  hub.feedOf(threadId).mapper.quiet.add(id);
  // A review of stock's is shown as one turn, under an id that its lines do not begin with.
  await thread.rollback(isStored ? { beforeTurn } : Math.max(1, messages.length), { id, signal: call.signal });
  const history = await views.history(threadId, call.signal);
  const view = await views.read(threadId);
  call.afterAnswer(() => hub.feedOf(threadId).tell({ method: "thread/reverted", params: { threadId } }));
  return { thread: view, ...cursorsOf(threadId, view, history) };
}

async function rollBack(server: ServerContext, params: z.infer<typeof rollbackSchema>, call: Call): Promise<unknown> {
  if (params.numTurns === 0) throw invalidRequest("numTurns must be >= 1");
  const threadId = readThreadId(params.threadId);
  const thread = await threadOf(server, threadId, call.signal);
  await thread.rollback(params.numTurns, { signal: call.signal });
  const history = await server.views.history(threadId, call.signal);
  return { thread: { ...(await server.views.read(threadId)), turns: fullTurns(history) } };
}
