/**
 * What a worker registers with the engine.
 *
 * `Thread`, keyed by thread id: exclusive handlers for what changes a thread, one at a time over all workers; shared ones for what
 * only looks. `ThreadControl`, keyed alike: hands messages to the invocation that runs a thread, as signals that it numbers, and says
 * whether they were taken. `ThreadTimers`, keyed alike: ops that are given later. `ThreadTree`, keyed by root: how large its tree is. `ThreadBonds`, keyed by thread: with whom it
 * ends, and who watches its end. `ThreadTopics`, keyed by root: who listens. `ThreadRequests`: wait for replies. `StoredThreads`: lists. Steps are few, since those of an invocation in flight must not change.
 */
import type { Context, ObjectContext, ObjectSharedContext, RetryPolicy } from "@restatedev/restate-sdk";
import { definedFields } from "../protocol/defined-fields.ts";
import type { ErrorJson } from "../protocol/errors.ts";
import { DeadlineExceededError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import { parseThreadId } from "../protocol/ids.ts";
import { parseWith } from "../protocol/validation.ts";
import type { ThreadQuery } from "../store/thread-store.ts";
import { bondHandlers } from "./bond-handlers.ts";
import { FIELDS, type Fields } from "./request-fields.ts";
import { jsonSerde, type RestateSdk } from "./restate-sdk.ts";
import { timerHandlers } from "./timer-handlers.ts";
import { topicHandlers } from "./topic-handlers.ts";
import { type AdmitRequest, type LeaveRequest, treeHandlers } from "./tree-handlers.ts";
import { type Told, turnHandlers } from "./turn-handlers.ts";
import {
  type Asked,
  type AskRequest,
  BONDS,
  type CheckRequest,
  CONTROL,
  checkVersion,
  type Facts,
  type HistoryPage,
  type HistoryRequest,
  type Look,
  type OpenRequest,
  type OtherRequest,
  PROTOCOL_VERSION,
  REQUESTS,
  type Replied,
  STORED,
  type StartRequest,
  THREAD,
  TIMERS,
  TOPICS,
  type TopicRequest,
  TREE,
} from "./wire.ts";
import { isPassing, toWire } from "./wire-error.ts";
import type { WorkerActions } from "./worker-actions.ts";

const DAY_MS = 24 * 60 * 60 * 1000;
/** A submission that is sent twice within it is answered by the engine; after it, by the history. */
const REMEMBERED_MS = 10 * 60 * 1000;
/** About ten minutes: then what a worker can't do is told to its caller, and the thread is free again. */
const PATIENT: RetryPolicy = {
  initialInterval: 50,
  exponentiationFactor: 2,
  maxInterval: 2_000,
  maxAttempts: 300,
  onMaxAttempts: "kill",
};
/** Who only looks is told soon. */
const BRISK: RetryPolicy = {
  initialInterval: 50,
  exponentiationFactor: 2,
  maxInterval: 1_000,
  maxAttempts: 8,
  onMaxAttempts: "kill",
};
/** A timer waits for as long as no worker can be asked. */
const ENDLESS: RetryPolicy = { initialInterval: 50, exponentiationFactor: 2, maxInterval: 30_000 };
const MAX_RUN_MS = 30 * DAY_MS;

export function servicesOf(sdk: RestateSdk, worker: WorkerActions) {
  const { TerminalError, RestatePromise } = sdk;
  const fail = (json: ErrorJson) =>
    new TerminalError(json.message, { errorCode: 500, metadata: { skein: JSON.stringify(json) } });

  /** Work whose typed failure is an answer; any other has the attempt tried again. */
  const told = async <T>(work: () => Promise<T>): Promise<Told<T>> => {
    try {
      return { value: await work() };
    } catch (error) {
      if (isPassing(error)) throw error;
      return { error: toWire(error) };
    }
  };
  const answerOf = <T>(answer: Told<T>): T => {
    if ("error" in answer) throw fail(answer.error);
    return answer.value;
  };
  const checkRequest = (request: Asked, fields: Fields): void => {
    try {
      checkVersion(request ?? {});
      parseWith<unknown>(fields, request, "request");
    } catch (error) {
      throw fail(toWire(error));
    }
  };
  const checked = (ctx: { key: string }, request: Asked, fields: Fields): ThreadId => {
    checkRequest(request, fields);
    try {
      return parseThreadId(ctx.key);
    } catch (error) {
      throw fail(toWire(error));
    }
  };
  /** A step of an exclusive handler, done once. */
  const step = async <T>(ctx: Context, name: string, work: () => Promise<T>): Promise<T> =>
    answerOf(await ctx.run(name, () => told(work)));
  const look = async <T>(work: () => Promise<T>): Promise<T> => answerOf(await told(work));

  const { turn, deliver, keep } = turnHandlers(sdk, worker, { checked, told, answerOf, step });

  /** The top of the thread's tree: itself, where nobody is above it. */
  const rootOf = async (ctx: ObjectSharedContext, threadId: ThreadId): Promise<ThreadId> =>
    (await above(ctx, threadId)).at(-1) ?? threadId;
  const above = (ctx: ObjectSharedContext, threadId: ThreadId) => step(ctx, "above", () => worker.above(threadId));
  /** @returns the root of the tree that the thread is one of now. @throws what of the tree is full */
  const join = async (
    ctx: ObjectContext,
    { threadId, parent, allowed }: { threadId: ThreadId; parent: ThreadId; allowed: AdmitRequest["allowed"] },
  ): Promise<ThreadId> => {
    const ancestors = await above(ctx, parent);
    const root = ancestors.at(-1) ?? parent;
    const depth = ancestors.length + 1;
    const parameter: AdmitRequest = { protocol: PROTOCOL_VERSION, threadId, parent, depth, allowed };
    await ctx.genericCall<AdmitRequest, boolean>({
      ...{ service: TREE, method: "admit", key: root, parameter },
      ...{ inputSerde: jsonSerde<AdmitRequest>(), outputSerde: jsonSerde<boolean>() },
    });
    return root;
  };
  const leaveTree = (ctx: ObjectContext, threadId: ThreadId, root: ThreadId): void => {
    if (root === threadId) return;
    const parameter: LeaveRequest = { protocol: PROTOCOL_VERSION, threadId };
    ctx.genericSend({ service: TREE, method: "leave", key: root, parameter, inputSerde: jsonSerde<LeaveRequest>() });
  };
  /** Counts the thread in its tree before it is there; not any more where it is refused. */
  const joining = async <T>(
    ctx: ObjectContext,
    place: { threadId: ThreadId; parent: ThreadId; allowed: AdmitRequest["allowed"] },
    work: () => Promise<T>,
  ): Promise<T> => {
    const root = await join(ctx, place);
    try {
      return await work();
    } catch (error) {
      if (error instanceof TerminalError) leaveTree(ctx, place.threadId, root);
      throw error;
    }
  };
  const leaveTopics = (ctx: ObjectContext, other: ThreadId, root: ThreadId): void => {
    const parameter: OtherRequest = { protocol: PROTOCOL_VERSION, other };
    ctx.genericSend({ service: TOPICS, method: "forget", key: root, parameter, inputSerde: jsonSerde<OtherRequest>() });
  };
  /** It was removed, closed or deleted. */
  const goOut = (ctx: ObjectContext, threadId: ThreadId, root: ThreadId): void => {
    leaveTree(ctx, threadId, root);
    leaveTopics(ctx, threadId, root);
  };
  const { admit, leave, recheck } = treeHandlers(sdk, {
    ...{ limits: worker.treeLimits, checked, fail },
    look: (ctx, threadId) => step(ctx, "look", () => worker.look(threadId)),
  });

  const { setTimer, fireTimer, cancelTimer } = timerHandlers(sdk, {
    checked,
    look: (ctx, threadId) => step(ctx, "look", () => worker.look(threadId)),
    fail,
  });

  const { watches, ...bonding } = bondHandlers(sdk, {
    checked,
    look: (ctx, threadId) => step(ctx, "look", () => worker.look(threadId)),
    fail,
  });
  const tellEnd = (ctx: ObjectContext, threadId: ThreadId): void => {
    const parameter: Asked = { protocol: PROTOCOL_VERSION };
    ctx.genericSend({ service: BONDS, method: "ended", key: threadId, parameter, inputSerde: jsonSerde<Asked>() });
  };

  const topics = topicHandlers({
    checked,
    look: (ctx, threadId) => step(ctx, "look", () => worker.look(threadId)),
    fail,
  });
  /** Asks the root of the thread's tree about its topics. */
  const ofTree = async <A>(ctx: ObjectSharedContext, method: string, request: TopicRequest): Promise<A> => {
    const other = checked(ctx, request, method === "listeners" ? FIELDS.topic : FIELDS.subscribe);
    const key = await rootOf(ctx, other);
    const parameter = { ...request, other };
    return ctx.genericCall<TopicRequest, A>({
      ...{ service: TOPICS, method, key, parameter },
      ...{ inputSerde: jsonSerde<TopicRequest>(), outputSerde: jsonSerde<A>() },
    });
  };

  /** Waits for a reply, which whoever answers sends to this invocation. */
  const ask = async (ctx: Context, request: AskRequest): Promise<Replied> => {
    checkRequest(request, FIELDS.ask);
    const late = toWire(new DeadlineExceededError("the reply of a thread", request.deadlineMs));
    return RestatePromise.race([
      ctx.signal<Replied>("reply"),
      ctx.sleep(request.deadlineMs).map((): Replied => ({ error: late })),
    ]);
  };

  const { exclusive, shared } = sdk.handlers.object;
  const changing = { journalRetention: 0, idempotencyRetention: REMEMBERED_MS, retryPolicy: PATIENT };
  const running = { ...changing, inactivityTimeout: MAX_RUN_MS, abortTimeout: DAY_MS };
  const looking = { journalRetention: 0, retryPolicy: BRISK };

  const thread = sdk.object({
    name: THREAD,
    handlers: {
      start: exclusive(running, async (ctx: ObjectContext, request: StartRequest): Promise<Facts> => {
        const threadId = checked(ctx, request, FIELDS.start);
        if (request.isNamed && (await step(ctx, "exists", () => worker.exists(threadId))))
          throw fail({
            name: "DuplicateThreadError",
            code: "duplicate_thread",
            message: `thread ${threadId} exists already; resume it or choose another id`,
            retryable: false,
            threadId,
          });
        const { parentThreadId, agent: { maxDepth, maxThreads } = {} } = request.options;
        const start = () => step(ctx, "start", () => worker.start(threadId, request));
        if (parentThreadId === undefined) return start();
        const allowed = definedFields({ maxDepth, maxThreads });
        return joining(ctx, { threadId, parent: parentThreadId, allowed }, start);
      }),
      open: exclusive(running, async (ctx: ObjectContext, request: OpenRequest): Promise<Facts> => {
        const threadId = checked(ctx, request, FIELDS.open);
        // One that was removed or closed has left its tree.
        const isBack = await step(ctx, "left", () => worker.hasLeft(threadId));
        const [parent] = isBack ? await above(ctx, threadId) : [];
        const open = () => step(ctx, "open", () => worker.open(threadId, request));
        const facts =
          parent === undefined ? await open() : await joining(ctx, { threadId, parent, allowed: null }, open);
        await keep(ctx, threadId, await step(ctx, "timers", () => worker.timersOf(threadId)));
        return facts;
      }),
      turn: exclusive(running, turn),
      remove: exclusive(changing, async (ctx: ObjectContext, request: Asked): Promise<boolean> => {
        const threadId = checked(ctx, request, FIELDS.none);
        const { id: invocation } = ctx.request();
        const isDone = await step(ctx, "remove", () => worker.setState(threadId, "removed", invocation));
        goOut(ctx, threadId, await rootOf(ctx, threadId));
        return isDone;
      }),
      close: exclusive(changing, async (ctx: ObjectContext, request: Asked): Promise<boolean> => {
        const threadId = checked(ctx, request, FIELDS.none);
        const { id: invocation } = ctx.request();
        const isDone = await step(ctx, "close", () => worker.setState(threadId, "closed", invocation));
        goOut(ctx, threadId, await rootOf(ctx, threadId));
        tellEnd(ctx, threadId);
        return isDone;
      }),
      delete: exclusive(changing, async (ctx: ObjectContext, request: Asked): Promise<void> => {
        const threadId = checked(ctx, request, FIELDS.none);
        // It is there: what finds nothing after that has been begun by a worker that died before it said so.
        const root = await rootOf(ctx, threadId);
        await step(ctx, "delete", () => worker.remove(threadId));
        goOut(ctx, threadId, root);
        tellEnd(ctx, threadId);
      }),
      look: shared(looking, (ctx: ObjectSharedContext, request: Asked): Promise<Look> => {
        const threadId = checked(ctx, request, FIELDS.none);
        return look(() => worker.look(threadId));
      }),
      history: shared(looking, (ctx: ObjectSharedContext, request: HistoryRequest): Promise<HistoryPage> => {
        const threadId = checked(ctx, request, FIELDS.history);
        return look(() => worker.history(threadId, request));
      }),
      budget: shared(looking, (ctx: ObjectSharedContext, request: Asked) => {
        const threadId = checked(ctx, request, FIELDS.none);
        return look(async () => ({ budget: await worker.budgetOf(threadId) }));
      }),
      check: shared(looking, (ctx: ObjectSharedContext, request: CheckRequest) => {
        const threadId = checked(ctx, request, FIELDS.check);
        return look(() => worker.check(threadId, request.message));
      }),
      subscribe: shared(changing, (ctx: ObjectSharedContext, request: TopicRequest) =>
        ofTree<void>(ctx, "listen", request),
      ),
      unsubscribe: shared(changing, (ctx: ObjectSharedContext, request: TopicRequest) =>
        ofTree<void>(ctx, "ignore", request),
      ),
      listeners: shared(looking, (ctx: ObjectSharedContext, request: TopicRequest) =>
        ofTree<readonly ThreadId[]>(ctx, "listeners", request),
      ),
      lineage: shared(
        looking,
        (ctx: ObjectSharedContext, request: Asked & { direction: "ancestors" | "descendants" }) => {
          const threadId = checked(ctx, request, FIELDS.lineage);
          return look(() => worker.lineage(threadId, request.direction));
        },
      ),
    },
  });
  const control = sdk.object({ name: CONTROL, handlers: { deliver: exclusive(running, deliver) } });
  const stored = sdk.service({
    name: STORED,
    handlers: {
      list: sdk.handlers.handler(looking, async (_: Context, request: Asked & { query?: ThreadQuery }) => {
        checkRequest(request, FIELDS.none);
        return look(() => worker.list(request.query));
      }),
    },
  });
  const timers = sdk.object({
    name: TIMERS,
    handlers: {
      set: exclusive(changing, setTimer),
      fire: exclusive({ ...changing, retryPolicy: ENDLESS }, fireTimer),
      cancel: exclusive(changing, cancelTimer),
    },
  });
  const bonds = sdk.object({
    name: BONDS,
    handlers: {
      bind: exclusive(changing, bonding.bind),
      bound: exclusive(changing, bonding.bound),
      unbind: exclusive(changing, bonding.unbind),
      unbound: exclusive(changing, bonding.unbound),
      ended: exclusive(changing, bonding.ended),
      lose: exclusive(changing, bonding.lose),
      watch: exclusive(changing, bonding.watch),
      watched: exclusive(changing, bonding.watched),
      down: exclusive(changing, bonding.down),
      unwatch: exclusive(changing, bonding.unwatch),
      unwatched: exclusive(changing, bonding.unwatched),
      watches: shared(looking, watches),
    },
  });
  const tree = sdk.object({
    name: TREE,
    handlers: {
      admit: exclusive(changing, admit),
      leave: exclusive(changing, leave),
      recheck: exclusive({ ...changing, retryPolicy: ENDLESS }, recheck),
    },
  });
  const topic = sdk.object({
    name: TOPICS,
    handlers: {
      listen: exclusive(changing, topics.listen),
      ignore: exclusive(changing, topics.ignore),
      forget: exclusive(changing, topics.forget),
      listeners: shared(looking, topics.listeners),
    },
  });
  const requests = sdk.service({ name: REQUESTS, handlers: { ask: sdk.handlers.handler(running, ask) } });
  return [thread, control, timers, bonds, tree, topic, requests, stored];
}
