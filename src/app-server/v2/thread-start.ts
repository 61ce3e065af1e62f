/** thread/start, thread/resume and thread/fork. */
import * as z from "zod";
import { newThreadId, type ThreadId } from "../../protocol/ids.ts";
import type { ForkAnchor } from "../../protocol/initial-history.ts";
import type { ThreadConfig } from "../../protocol/thread-config.ts";
import type { NewThread } from "../../thread/thread.ts";
import { readHistory } from "../given-items.ts";
import type { ClientTool } from "../memos/thread-memos.ts";
import { type Call, type MethodTable, method } from "../method.ts";
import { loose, optionalCount, optionalFlag, optionalText, sortDirection, text } from "../params.ts";
import { invalidRequest, projectNotFound, withContext } from "../rpc-error.ts";
import type { ServedThread } from "../served-threads.ts";
import type { ServerContext } from "../server-context.ts";
import { attachmentsOfFork } from "./attachments.ts";
import { clientTools, dynamicToolsSchema, toolsOf } from "./dynamic-tools.ts";
import { overrideFields, SETTINGS_FAILURE, settingsOf } from "./overrides.ts";
import { endCursor, turnsPage, writeCursor } from "./pages.ts";
import { passedOver } from "./passed-over.ts";
import { sessionOf } from "./settings.ts";
import { collaborationModeOf } from "./thread-settings.ts";
import { guardSource, readThreadId, rolloutNamed, sourceById, sourceByPath } from "./thread-source.ts";
import { findStored, fullTurns, type History, modeOf } from "./thread-view.ts";
import { usageToV2 } from "./usage.ts";
import type { V2Session, V2Thread } from "./wire-types.ts";

const startSchema = z.object({
  ...overrideFields,
  ...passedOver.start,
  dynamicTools: dynamicToolsSchema,
  projectId: optionalText,
  historyMode: z.enum(["legacy", "paginated"]).nullish(),
  threadSource: optionalText,
  experimentalRawEvents: optionalFlag,
});
export const itemsView = z.enum(["notLoaded", "summary", "full"]).nullish();
const resumeSchema = z.object({
  ...overrideFields,
  ...passedOver.resume,
  threadId: text,
  history: z.array(z.unknown()).nullish(),
  path: optionalText,
  excludeTurns: optionalFlag,
  initialTurnsPage: z.object({ limit: optionalCount, sortDirection, itemsView }).nullish(),
});
const forkSchema = z.object({
  ...overrideFields,
  ...passedOver.fork,
  threadId: text,
  lastTurnId: optionalText,
  beforeTurnId: optionalText,
  path: optionalText,
  attachToSource: optionalFlag,
  threadSource: optionalText,
  excludeTurns: optionalFlag,
});

const START_EXPERIMENTAL = [
  ...["allowProviderModelFallback", "daybreakEnabled", "dynamicTools", "environments", "experimentalRawEvents"],
  ...["historyMode", "multiAgentMode", "permissions", "projectId", "runtimeWorkspaceRoots", "selectedCapabilityRoots"],
];
const RESUME_EXPERIMENTAL = ["history", "initialTurnsPage", "path", "permissions", "runtimeWorkspaceRoots"];
const FORK_EXPERIMENTAL = [
  ...["attachToSource", "beforeTurnId", "deferGoalContinuation", "path", "permissions", "runtimeWorkspaceRoots"],
];

const HYDRATION_NOTICE = {
  method: "deprecationNotice",
  params: {
    summary:
      "Full-history hydration is deprecated for paginated threads; use `excludeTurns: true`, then page with `thread/turns/list` and `thread/items/list`.",
    details: null,
  },
};

export const threadStartMethods = (server: ServerContext): MethodTable => ({
  "thread/start": method({
    params: loose(startSchema),
    experimental: START_EXPERIMENTAL,
    handle: (params, call) => start(server, params, call),
  }),
  "thread/resume": method({
    params: loose(resumeSchema),
    experimental: RESUME_EXPERIMENTAL,
    handle: (params, call) => resume(server, params, call),
  }),
  "thread/fork": method({
    params: loose(forkSchema),
    experimental: FORK_EXPERIMENTAL,
    handle: (params, call) => fork(server, params, call),
  }),
});

/** Members that nobody reads stay, so that experimental ones are seen. */

type ThreadAnswer = { thread: V2Thread } & V2Session;

/** Subscribes the caller; what the thread says waits for the answer and for what is told right after it. */
function attach({ hub }: ServerContext, call: Call, threadId: ThreadId): void {
  hub.follow(call.connection, threadId);
  call.finally(hub.feedOf(threadId).hold(call.connection));
}

async function start(server: ServerContext, params: z.infer<typeof startSchema>, call: Call): Promise<ThreadAnswer> {
  const { manager, clock, views, hub } = server;
  if (params.projectId != null) throw projectNotFound(params.projectId);
  const tools = clientTools(params.dynamicTools);
  const config = withTools(server, await server.configs.forStart(settingsOf(params), SETTINGS_FAILURE), tools);
  const originator = call.connection.client?.name ?? null;
  const historyMode = params.historyMode ?? "paginated";
  const options = { threadId: newThreadId(), source: "vscode", historyMode, signal: call.signal } as const;
  const { threadId, thread } = await withContext("error creating thread", () =>
    manager.startThread(config, originator === null ? options : { ...options, originator }),
  );
  if (tools.length > 0 && params.ephemeral !== true) await server.memos.change(threadId, () => ({ tools }));
  if (params.ephemeral === true)
    views.ephemeral.set(threadId, { preview: "", forkedFromId: null, createdAt: clock.now(), originator, historyMode });
  const subscription = hub.follow(call.connection, threadId);
  subscription.rawItems = params.experimentalRawEvents === true;
  call.finally(hub.feedOf(threadId).hold(call.connection));
  const view = views.ofNew(thread, { now: clock.now(), originator, source: "vscode", historyMode });
  const shown = { ...view, ephemeral: params.ephemeral === true, threadSource: params.threadSource ?? null };
  call.afterAnswer(() => hub.broadcast({ method: "thread/started", params: { thread: shown } }));
  return { thread: shown, ...sessionOf(thread.config) };
}

/** With the tools that a client has brought. @throws RpcError over a cluster, whose workers have no clients to ask */
function withTools(server: ServerContext, config: ThreadConfig, tools: readonly ClientTool[]): ThreadConfig {
  if (tools.length === 0) return config;
  if (!server.hasClientTools)
    throw invalidRequest("dynamicTools are not served over a cluster: a worker has no clients to ask");
  return { ...config, tools: [...(config.tools ?? server.manager.config.tools), ...toolsOf(server, tools)] };
}

/** Stock Codex's source for all threads of its app-server, and the client as the originator. */
function optionsOf({ connection, signal }: Call) {
  const originator = connection.client?.name;
  const options = { initialMessages: "none", source: "vscode", signal } as const;
  return originator === undefined ? options : { ...options, originator };
}

async function resume(server: ServerContext, params: z.infer<typeof resumeSchema>, call: Call): Promise<unknown> {
  const { hub, views } = server;
  if (params.history != null && params.history.length === 0) throw invalidRequest("history must not be empty");
  const config = await server.configs.forExisting(settingsOf(params), SETTINGS_FAILURE);
  const { resumed, wasLoaded, isPaginated } = await load(server, params, config, call);
  const { threadId, thread } = resumed;
  if (params.excludeTurns !== true && isPaginated) call.connection.tell(HYDRATION_NOTICE);
  hub.follow(call.connection, threadId);
  if (!wasLoaded) hub.feedOf(threadId).tell(statusTold(threadId, hub.statusOf(threadId)));
  call.finally(hub.feedOf(threadId).hold(call.connection));
  const history =
    params.excludeTurns === true && params.initialTurnsPage == null
      ? undefined
      : await views.history(threadId, call.signal);
  const view = await views.read(threadId);
  const goal = views.ephemeral.has(threadId) ? null : await server.goals.read(threadId);
  call.afterAnswer(() => {
    tellUsage(call, threadId, params.excludeTurns === true ? undefined : history);
    server.goals.tell(threadId, goal);
    hub.replayRequests(call.connection, threadId);
  });
  return {
    thread: { ...view, turns: params.excludeTurns === true || history === undefined ? [] : fullTurns(history) },
    ...sessionOf(thread.config),
    collaborationMode: collaborationModeOf(thread.config),
    initialTurnsPage:
      params.initialTurnsPage == null || history === undefined
        ? null
        : turnsPage(history.turns, { threadId, historyMode: view.historyMode, ...params.initialTurnsPage }),
    ...(isPaginated ? cursorsOf(threadId, view, history) : NO_CURSORS),
  };
}

/** Stock Codex gives none for a legacy thread. */
const NO_CURSORS = { turnsBackwardsCursor: null, itemsBackwardsCursor: null };

type Loaded = { resumed: NewThread<ServedThread>; wasLoaded: boolean; isPaginated: boolean };

/** The history first, then the path, then the id. */
async function load(
  server: ServerContext,
  { history, path: named, threadId: id }: z.infer<typeof resumeSchema>,
  config: ThreadConfig,
  call: Call,
): Promise<Loaded> {
  const { manager } = server;
  const options = optionsOf(call);
  if (history != null) {
    const items = readHistory(history);
    const resumed = await manager.resumeThreadWithHistory(config, { type: "forked", items }, options);
    return { resumed, wasLoaded: false, isPaginated: false };
  }
  const path = rolloutNamed(server, named);
  const header =
    path === undefined ? await sourceById(server, readThreadId(id, "session")) : await sourceByPath(server, path);
  const wasLoaded = manager.loadedThread(header.id) !== undefined;
  const { tools } = await server.memos.read(header.id);
  const own = withTools(server, config, tools);
  const resumed = await guardSource(path ?? header.id, () =>
    path === undefined
      ? manager.resumeThread(header.id, own, options)
      : manager.resumeThreadFromRollout(own, path, options),
  );
  return { resumed, wasLoaded, isPaginated: modeOf(header) === "paginated" };
}

const statusTold = (threadId: ThreadId, status: unknown) => ({
  method: "thread/status/changed",
  params: { threadId, status },
});

/** Where a client pages back from. Of a history that was not read, that is its end. */
export function cursorsOf(threadId: ThreadId, view: V2Thread, history: History | undefined) {
  const last = history?.turns.at(-1);
  const item = history?.turns.flatMap(({ items }) => items.slice(-1)).at(-1);
  if (history === undefined && view.preview !== "") {
    return {
      turnsBackwardsCursor: endCursor("turns", threadId),
      itemsBackwardsCursor: endCursor("itemsByCreatedAtOrdinal", threadId),
    };
  }
  return {
    turnsBackwardsCursor: last === undefined ? null : writeCursor("turns", threadId, last.ordinal, true),
    itemsBackwardsCursor:
      item === undefined ? null : writeCursor("itemsByCreatedAtOrdinal", threadId, item.ordinal, true),
  };
}

function tellUsage(call: Call, threadId: ThreadId, history: History | undefined): void {
  const last = history?.turns.findLast(({ usage }) => usage !== undefined);
  if (last?.usage === undefined) return;
  const params = { threadId, turnId: last.id, tokenUsage: usageToV2(last.usage) };
  call.connection.tell({ method: "thread/tokenUsage/updated", params });
}

async function fork(server: ServerContext, params: z.infer<typeof forkSchema>, call: Call): Promise<ThreadAnswer> {
  const { manager, views, hub, clock } = server;
  const at = anchorOf(params);
  const settings = settingsOf(params);
  const isEphemeral = params.ephemeral === true;
  if (params.attachToSource === true && isEphemeral) {
    throw invalidRequest("attachToSource cannot be combined with ephemeral or deferGoalContinuation");
  }
  const config = await server.configs.forExisting(settings, SETTINGS_FAILURE);
  const path = rolloutNamed(server, params.path);
  const source = path === undefined ? readThreadId(params.threadId, "session") : { rolloutPath: path };
  const header =
    typeof source === "string" ? await sourceById(server, source) : await sourceByPath(server, source.rolloutPath);
  const sourceId = header.id;
  const { tools, attachments } = await server.memos.read(sourceId);
  const hydrates = params.excludeTurns !== true && modeOf(header) === "paginated";
  if (isEphemeral && hydrates) throw invalidRequest("ephemeral paginated thread/fork requires `excludeTurns: true`");
  if (hydrates) call.connection.tell(HYDRATION_NOTICE);
  const { threadId, thread } = await guardSource(path ?? sourceId, () =>
    manager.forkThread({ from: source, at, config: withTools(server, config, tools) }, optionsOf(call)),
  );
  if (tools.length + attachments.length > 0 && !isEphemeral) {
    await server.memos.change(threadId, () => ({ tools, attachments: attachmentsOfFork(attachments, clock.now()) }));
  }
  if (!isEphemeral) await inheritName(server, { from: sourceId, to: threadId });
  if (isEphemeral) {
    const isBefore = typeof at === "object" && "beforeTurn" in at;
    const preview = isBefore ? "" : (await manager.store.get(sourceId)).preview;
    const originator = call.connection.client?.name ?? null;
    const facts = { createdAt: clock.now(), originator, historyMode: modeOf(header) };
    views.ephemeral.set(threadId, { preview, forkedFromId: sourceId, ...facts });
  }
  attach(server, call, threadId);
  const view = { ...(await views.read(threadId)), threadSource: params.threadSource ?? null };
  const history =
    params.excludeTurns === true
      ? undefined
      : isEphemeral
        ? historyUpTo(await views.history(source, call.signal), at)
        : await views.history(threadId, call.signal);
  call.afterAnswer(() => {
    tellUsage(call, threadId, history);
    hub.broadcast({ method: "thread/started", params: { thread: view } });
  });
  return { thread: history === undefined ? view : { ...view, turns: fullTurns(history) }, ...sessionOf(thread.config) };
}

/** As stock Codex: a fork bears its source's name until somebody names it. */
async function inheritName({ manager }: ServerContext, { from, to }: { from: ThreadId; to: ThreadId }): Promise<void> {
  const name = (await findStored(manager, from))?.name ?? null;
  if (name !== null) await manager.store.rename(to, name);
}

/** What a fork that is stored nowhere has of its source. */
function historyUpTo(history: History, at: ForkAnchor): History {
  if (typeof at !== "object" || "beforeUserMessage" in at) return history;
  const named = history.turns.findIndex(({ id }) => id === ("throughTurn" in at ? at.throughTurn : at.beforeTurn));
  return { turns: history.turns.slice(0, "throughTurn" in at ? named + 1 : named) };
}

function anchorOf({ lastTurnId, beforeTurnId }: z.infer<typeof forkSchema>): ForkAnchor {
  if (lastTurnId != null && beforeTurnId != null) {
    throw invalidRequest("`beforeTurnId` cannot be combined with `lastTurnId`");
  }
  if (lastTurnId != null) return { throughTurn: lastTurnId };
  return beforeTurnId == null ? "full" : { beforeTurn: beforeTurnId };
}
