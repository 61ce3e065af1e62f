/**
 * The `skein/` methods: what a live view of a manager needs, and stock v2 does not tell. To look loads no thread, keeps
 * none in memory and puts none out; who looks is asked nothing, and sees the questions of all.
 */
import * as z from "zod";
import { InvalidRequestError } from "../../protocol/errors.ts";
import type { ThreadId } from "../../protocol/ids.ts";
import type { ReviewDecision } from "../../protocol/policy.ts";
import { retainedEvents } from "../../thread/looked-at.ts";
import type { Thread } from "../../thread/thread.ts";
import { VERSION } from "../../version.ts";
import { type Call, type MethodTable, method } from "../method.ts";
import { optionalCount, optionalFlag, optionalText, optionalTexts, text } from "../params.ts";
import { invalidRequest, threadNotFound } from "../rpc-error.ts";
import type { ManagerContext } from "../server-context.ts";
import { readThreadId } from "../v2/thread-source.ts";
import { findStored } from "../v2/thread-view.ts";
import { WHY_NOT } from "./access.ts";
import { machineCharts } from "./machine-charts.ts";
import { MachineWatch, machinePlace } from "./machine-watch.ts";
import { METRICS_SECONDS } from "./meter.ts";
import { type Studio, studioOf } from "./studio.ts";
import { standingOf } from "./supervision.ts";
import { figuresOf, readEarlier } from "./told-by-lines.ts";
import { readSubtree, readTree, TREE_PAGE } from "./tree-read.ts";
import { TreeWatch } from "./tree-watch.ts";
import { Watches } from "./watches.ts";
import type { Decision, Span, StudioInfo, TurnFigures } from "./wire.ts";

const EVENTS_PAGE = 1_000;
const MOST_SPANS = 5_000;
const LINES_PAGE = 1_000;
const DEFAULT_TREE_PAGE = 500;
const DEFAULT_EVERY_MS = 100;

const treeSchema = z.object({ cursor: optionalText, limit: optionalCount, root: optionalText, archived: optionalFlag });
const treeWatchSchema = z.object({
  since: z.object({ instanceId: text, seq: z.int().min(0) }).nullish(),
  everyMs: optionalCount,
});
const threadSchema = z.object({ threadId: text });
const threadWatchSchema = z.object({ threadId: text, deltas: optionalFlag });
const eventsSchema = z.object({
  threadId: text,
  after: z.object({ epoch: z.int().min(0), seq: z.int().min(-1) }).nullish(),
  limit: optionalCount,
  kinds: optionalTexts,
});
const rolloutSchema = z.object({ threadId: text, from: optionalCount, limit: optionalCount });
const machinesSchema = z.object({ etag: optionalText });
const answersSchema = z.object({
  answers: z
    .array(
      z.object({ threadId: text, callId: text, decision: z.enum(["accept", "acceptForSession", "decline", "cancel"]) }),
    )
    .max(1_000),
});
const metricsSchema = z.object({ since: z.number().nullish() });
const timelineSchema = z.object({
  root: optionalText,
  from: z.number().nullish(),
  to: z.number().nullish(),
  maxSpans: optionalCount,
  earlier: optionalFlag,
  forks: optionalFlag,
});
const rootSchema = z.object({ root: text });
const nothing = z.object({});

export function studioMethods(server: ManagerContext): MethodTable {
  const studio = studioOf(server);
  const watches = new Watches();
  const { manager, clock } = server;
  const bound = (given: number | null | undefined, fallback: number, most: number): number =>
    Math.min(most, Math.max(1, given ?? fallback));
  return {
    "skein/info/read": method({
      params: nothing,
      experimental: true,
      handle: (_, { connection }): StudioInfo => ({
        instanceId: studio.instanceId,
        version: VERSION,
        startedAt: studio.startedAt,
        features: ["tree", "approvals", "machines", "metrics", "timeline", "events", "rollout", "figures", "standing"],
        limits: { treePage: TREE_PAGE, eventsPage: EVENTS_PAGE, metricsSeconds: METRICS_SECONDS },
        access: connection.access,
      }),
    }),
    "skein/acting/begin": method({
      params: nothing,
      experimental: true,
      handle: (_, { connection }) => {
        if (!connection.beginActing()) throw invalidRequest(WHY_NOT.look);
        return {};
      },
    }),
    "skein/tree/read": method({
      params: treeSchema,
      experimental: true,
      handle: ({ cursor, limit, root, archived }) =>
        root == null
          ? readTree(studio, manager, {
              cursor: cursor ?? undefined,
              limit: bound(limit, DEFAULT_TREE_PAGE, TREE_PAGE),
              archived: archived ?? false,
            })
          : readSubtree(studio, manager, readThreadId(root)),
    }),
    "skein/tree/watch": method({
      params: treeWatchSchema,
      experimental: true,
      handle: ({ since, everyMs }, { connection }) => {
        const { instanceId } = studio;
        const { collector, release } = studio.use();
        const known = since?.instanceId === instanceId ? collector.changedSince(since.seq) : undefined;
        const watch = new TreeWatch({
          ...server,
          collector,
          connection,
          instanceId,
          everyMs: Math.min(10_000, Math.max(20, everyMs ?? DEFAULT_EVERY_MS)),
          changed: known ?? [],
        });
        watches.set(connection, "tree", () => {
          watch[Symbol.dispose]();
          release();
        });
        return { instanceId, seq: collector.seq, resumed: known !== undefined };
      },
    }),
    "skein/tree/unwatch": unwatching(watches, "tree"),
    "skein/thread/watch": method({
      params: threadWatchSchema,
      experimental: true,
      handle: (params, call) => watchThread(server, watches, params, call),
    }),
    "skein/thread/unwatch": method({
      params: threadSchema,
      experimental: true,
      handle: ({ threadId }, { connection }) => ({
        ended: watches.end(connection, `thread ${readThreadId(threadId)}`),
      }),
    }),
    "skein/thread/events/read": method({
      params: eventsSchema,
      experimental: true,
      handle: async ({ threadId: given, after, limit, kinds }) => {
        const { thread } = await knownThread(server, given);
        return readEvents(thread, { after, limit: bound(limit, 200, EVENTS_PAGE), kinds });
      },
    }),
    "skein/rollout/read": method({
      params: rolloutSchema,
      experimental: true,
      handle: async ({ threadId: given, from, limit }, call) => {
        const threadId = readThreadId(given);
        const start = from ?? 0;
        const end = start + bound(limit, LINES_PAGE, LINES_PAGE);
        const range = { from: { ordinal: start }, toOrdinal: end, signal: call.signal };
        const lines = [];
        for await (const page of manager.store.load(threadId, range)) lines.push(...page);
        return { lines, next: lines.length < end - start ? null : end };
      },
    }),
    "skein/thread/figures/read": method({
      params: threadSchema,
      experimental: true,
      handle: async ({ threadId: given }): Promise<{ turns: TurnFigures[] }> => {
        const { threadId } = await knownThread(server, given);
        return { turns: await figuresOf(studio, manager, threadId) };
      },
    }),
    "skein/thread/standing/read": method({
      params: threadSchema,
      experimental: true,
      handle: async ({ threadId: given }) => {
        const { threadId } = await knownThread(server, given);
        return standingOf(manager, threadId, clock.now());
      },
    }),
    "skein/machines/read": method({
      params: machinesSchema,
      experimental: true,
      handle: ({ etag }) => {
        const charts = machineCharts();
        return etag === charts.etag ? { etag, machines: null } : charts;
      },
    }),
    "skein/thread/machine/watch": method({
      params: threadSchema,
      experimental: true,
      handle: async ({ threadId: given }, { connection }) => {
        const { threadId } = await knownThread(server, given);
        const first = machinePlace(manager, threadId, clock.now());
        const watch = new MachineWatch({ manager, clock, threadId }, first, (params) =>
          connection.tell({ method: "skein/thread/machine/changed", params }),
        );
        watches.set(connection, `machine ${threadId}`, () => watch[Symbol.dispose]());
        return first;
      },
    }),
    "skein/thread/machine/unwatch": method({
      params: threadSchema,
      experimental: true,
      handle: ({ threadId }, { connection }) => ({
        ended: watches.end(connection, `machine ${readThreadId(threadId)}`),
      }),
    }),
    "skein/approvals/watch": method({
      params: nothing,
      experimental: true,
      handle: async (_, { connection }) => {
        const { collector, release } = studio.use();
        await collector.ready;
        const stop = collector.onQuestions((params) => connection.tell({ method: "skein/approvals/changed", params }));
        const lookAway = server.requests.oversee(connection);
        watches.set(connection, "approvals", () => {
          lookAway();
          stop();
          release();
        });
        return { opened: collector.questions.all, resolved: [] };
      },
    }),
    "skein/approvals/unwatch": unwatching(watches, "approvals"),
    "skein/approvals/answer": method({
      params: answersSchema,
      experimental: true,
      handle: async ({ answers }, { signal }) => ({
        answers: await Promise.all(answers.map((answer) => answerQuestion(server, studio, answer, signal))),
      }),
    }),
    "skein/capacity/read": method({ params: nothing, experimental: true, handle: () => manager.capacity() }),
    "skein/metrics/read": method({
      params: metricsSchema,
      experimental: true,
      handle: ({ since }) => ({ samples: studio.meter.since(since ?? 0) }),
    }),
    "skein/metrics/watch": method({
      params: nothing,
      experimental: true,
      handle: (_, { connection }) => {
        const { collector, release } = studio.use();
        const stop = collector.onSample((params) => connection.tell({ method: "skein/metrics", params }));
        watches.set(connection, "metrics", () => {
          stop();
          release();
        });
        return { samples: studio.meter.since(0) };
      },
    }),
    "skein/metrics/unwatch": unwatching(watches, "metrics"),
    "skein/timeline/read": method({
      params: timelineSchema,
      experimental: true,
      handle: async ({ root: given, from, to, maxSpans, earlier, forks }) => {
        const root = given == null ? undefined : readThreadId(given);
        const now = clock.now();
        const aboveOf = (id: ThreadId) =>
          manager.parentOf(id) ?? (forks === true ? studio.collector?.sourceOf(id) : undefined);
        const has = (id: string) => root === undefined || isUnder(id as ThreadId, root, aboveOf);
        const range = { from: from ?? 0, to: to ?? now, most: bound(maxSpans, MOST_SPANS, MOST_SPANS) };
        const spans: Span[] = studio.collector?.spans.within({ has, ...range }) ?? [];
        const before =
          earlier === true ? await readEarlier(studio, manager, { root, forks: forks ?? false, ...range }) : null;
        return { spans, now, earlier: before?.spans ?? null, unread: before?.unread ?? 0 };
      },
    }),
    "skein/subtree/interrupt": method({
      params: rootSchema,
      experimental: true,
      handle: ({ root }) => interruptSubtree(server, readThreadId(root)),
    }),
  };
}

const unwatching = (watches: Watches, name: string) =>
  method({
    params: nothing,
    experimental: true,
    handle: (_, { connection }) => ({ ended: watches.end(connection, name) }),
  });

/** A thread that is in memory or stored; it is not loaded. @throws RpcError */
async function knownThread(
  { manager }: ManagerContext,
  given: string,
): Promise<{ threadId: ThreadId; thread: Thread | undefined }> {
  const threadId = readThreadId(given);
  const thread = manager.loadedThread(threadId);
  if (thread === undefined && (await findStored(manager, threadId)) === undefined) throw threadNotFound(threadId);
  return { threadId, thread: manager.loadedThread(threadId) };
}

async function watchThread(
  server: ManagerContext,
  watches: Watches,
  { threadId: given, deltas }: z.infer<typeof threadWatchSchema>,
  call: Call,
): Promise<unknown> {
  const { hub } = server;
  const { connection } = call;
  const { threadId } = await knownThread(server, given);
  const name = `thread ${threadId}`;
  // Its end would end what follows.
  watches.end(connection, name);
  hub.lookOn(connection, threadId, { deltas: deltas ?? true });
  call.finally(hub.feedOf(threadId).hold(connection));
  watches.set(connection, name, () => void hub.lookAway(connection, threadId));
  const thread = server.manager.loadedThread(threadId);
  const events = thread === undefined ? undefined : retainedEvents(thread);
  return {
    epoch: thread?.epoch ?? null,
    first: events?.first ?? 0,
    next: events?.next ?? 0,
    status: studioOf(server).rows.statusOf(thread),
    activeTurn: thread?.activeTurn ?? null,
    usage: thread?.tokenUsage ?? null,
    rolloutPath: thread?.rolloutPath ?? null,
    machine: machinePlace(server.manager, threadId, server.clock.now()),
  };
}

function readEvents(
  thread: Thread | undefined,
  { after, limit, kinds }: { limit: number } & Pick<z.infer<typeof eventsSchema>, "after" | "kinds">,
): unknown {
  const log = thread === undefined ? undefined : retainedEvents(thread);
  if (thread === undefined || log === undefined) return { epoch: null, first: 0, next: 0, events: [], lagged: null };
  const { epoch } = thread;
  const { first, next } = log;
  const goesOn = after?.epoch === epoch;
  const wanted = goesOn ? after.seq + 1 : after == null ? Math.max(first, next - limit) : first;
  const start = Math.max(first, wanted);
  const chosen = kinds == null ? undefined : new Set(kinds);
  const events = [];
  let seq = start;
  for (; seq < next && events.length < limit; seq += 1) {
    const event = log.get(seq);
    if (event !== undefined && chosen?.has(event.msg.type) !== false) events.push(event);
  }
  const lagged = goesOn && wanted < first ? { from: wanted, to: first - 1 } : null;
  return { epoch, first, next, read: seq, events, lagged };
}

const DECISIONS: Readonly<Record<Decision, ReviewDecision>> = {
  accept: "approved",
  acceptForSession: "approved_for_session",
  decline: "denied",
  cancel: "abort",
};

type Answer = z.infer<typeof answersSchema>["answers"][number];

/** The first answer counts; who follows the thread is told that there was one. */
async function answerQuestion(
  { manager }: ManagerContext,
  studio: Studio,
  { threadId: given, callId, decision: said }: Answer,
  signal: AbortSignal,
): Promise<{ threadId: string; callId: string; outcome: "accepted" | "tooLate" }> {
  const threadId = readThreadId(given);
  const thread = manager.loadedThread(threadId);
  const asked = thread?.pendingApprovals.find((each) => each.callId === callId);
  if (thread === undefined || asked === undefined) return { threadId, callId, outcome: "tooLate" };
  const type = asked.msg.type === "exec_approval_request" ? "exec_approval" : "patch_approval";
  const decision = DECISIONS[said];
  try {
    await thread.submit({ type, id: callId, decision }, { signal });
  } catch (error) {
    // Somebody else was quicker.
    if (error instanceof InvalidRequestError) return { threadId, callId, outcome: "tooLate" };
    throw error;
  }
  studio.collector?.answered(threadId);
  return { threadId, callId, outcome: "accepted" };
}

/** What stands above a thread comes from its rollout too: a circle there ends the way. */
function isUnder(threadId: ThreadId, root: ThreadId, aboveOf: (threadId: ThreadId) => ThreadId | undefined): boolean {
  const passed = new Set<ThreadId>();
  for (let at: ThreadId | undefined = threadId; at !== undefined && !passed.has(at); at = aboveOf(at)) {
    if (at === root) return true;
    passed.add(at);
  }
  return false;
}

const ROUNDS = 5;

type Interrupted = { interrupted: ThreadId[]; idle: number; running?: ThreadId[] };

/**
 * Agents that are started meanwhile are interrupted too. `idle`: threads of the tree in memory that had nothing to do;
 * `running`: those whose turn goes on all the same.
 */
async function interruptSubtree({ manager }: ManagerContext, root: ThreadId): Promise<Interrupted> {
  const interrupted = new Set<ThreadId>();
  let idle = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const ids = (await manager.listThreadIds()).filter((id) => isUnder(id, root, (each) => manager.parentOf(each)));
    const working = ids.filter((id) => manager.loadedThread(id)?.activeTurn !== undefined);
    idle = ids.length - working.length;
    if (working.length === 0) break;
    for (const id of working) interrupted.add(id);
    await Promise.all(
      working.map((id) =>
        manager
          .loadedThread(id)
          ?.interrupt({ deadlineMs: 2_000 })
          .catch(() => undefined),
      ),
    );
  }
  const running = [...interrupted].filter((id) => manager.loadedThread(id)?.activeTurn !== undefined);
  return {
    interrupted: [...interrupted].filter((id) => !running.includes(id)),
    idle: Math.max(0, idle - interrupted.size + running.length),
    ...(running.length > 0 && { running }),
  };
}
