/**
 * What a worker registers with the engine.
 *
 * `Thread`, keyed by thread id: exclusive handlers for what changes a thread, one at a time over all workers; shared ones for what
 * only looks. `ThreadControl`, keyed alike: hands messages to the invocation that runs a thread, as signals that it numbers, and says
 * whether they were taken. `ThreadTimers`, keyed alike: ops that are given later. `ThreadTree`, keyed by root: how large its tree is. `ThreadBonds`, keyed by thread: with whom it ends. `StoredThreads`: lists. Steps are few, since those of an invocation in flight must not change.
 */
import type { Context, ObjectContext, ObjectSharedContext, RetryPolicy } from "@restatedev/restate-sdk";
import type { BudgetUse } from "../protocol/budget.ts";
import { definedFields } from "../protocol/defined-fields.ts";
import type { ErrorJson } from "../protocol/errors.ts";
import { SkeinError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import { parseThreadId } from "../protocol/ids.ts";
import type { ThreadMessage } from "../protocol/message.ts";
import type { StoredTimer } from "../protocol/schedule.ts";
import type { ThreadPage, ThreadQuery } from "../store/thread-store.ts";
import type { Attendance } from "./attendance.ts";
import { bondHandlers } from "./bond-handlers.ts";
import { jsonSerde, type RestateSdk } from "./restate-sdk.ts";
import { timerHandlers } from "./timer-handlers.ts";
import { type AdmitRequest, type LeaveRequest, type TreeLimits, treeHandlers } from "./tree-handlers.ts";
import {
  type Asked,
  BONDS,
  type CheckRequest,
  CONTROL,
  checkVersion,
  type DeliverRequest,
  type Delivery,
  type Facts,
  type HistoryPage,
  type HistoryRequest,
  type Look,
  type Message,
  type OpenRequest,
  PROTOCOL_VERSION,
  STORED,
  type StartRequest,
  THREAD,
  TIMERS,
  type TimerRequest,
  TREE,
  type TurnAnswer,
  type TurnRequest,
} from "./wire.ts";
import { toWire } from "./wire-error.ts";

/** What a worker does; every method may be called again for what an earlier one has begun. */
export interface WorkerActions {
  start(threadId: ThreadId, request: StartRequest): Promise<Facts>;
  open(threadId: ThreadId, request: OpenRequest): Promise<Facts>;
  exists(threadId: ThreadId): Promise<boolean>;
  /** @param signal fires when the attempt is over: the thread is let go of */
  attend(threadId: ThreadId, invocation: string, signal: AbortSignal): Promise<Attendance>;
  leave(attendance: Attendance): void;
  setState(threadId: ThreadId, state: "removed" | "closed"): Promise<boolean>;
  remove(threadId: ThreadId): Promise<void>;
  look(threadId: ThreadId): Promise<Look>;
  history(threadId: ThreadId, request: HistoryRequest): Promise<HistoryPage>;
  budgetOf(threadId: ThreadId): Promise<BudgetUse | undefined>;
  /** @throws MessageRefusedError for what the thread does not take */
  check(threadId: ThreadId, message: ThreadMessage): Promise<void>;
  readonly treeLimits: TreeLimits;
  /** Whether the thread was removed or closed. */
  hasLeft(threadId: ThreadId): Promise<boolean>;
  /** Who has started the thread, who has started that one, and so on. */
  above(threadId: ThreadId): Promise<readonly ThreadId[]>;
  /** The timers that a process outside the engine, or a tool of a worker, has set. */
  timersOf(threadId: ThreadId): Promise<readonly StoredTimer[]>;
  /** The engine has them now. */
  dropTimers(threadId: ThreadId): Promise<void>;
  list(query: ThreadQuery | undefined): Promise<ThreadPage>;
  lineage(threadId: ThreadId, direction: "ancestors" | "descendants"): Promise<readonly ThreadId[]>;
}

type Told<T> = { readonly value: T } | { readonly error: ErrorJson };

/** A signal to a running invocation: the message, and where the sender waits for its answer. */
type Signalled = { readonly message: Message; readonly ack: string };

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

/** Another worker, or this one later, may do what these say. */
const isPassing = (error: unknown): boolean =>
  !(error instanceof SkeinError) || error.code === "store_io" || error.code === "manager_closed";

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
  const checked = <R extends Asked>(ctx: { key: string }, request: R): ThreadId => {
    try {
      checkVersion(request ?? {});
      return parseThreadId(ctx.key);
    } catch (error) {
      throw fail(toWire(error));
    }
  };
  /** A step of an exclusive handler, done once. */
  const step = async <T>(ctx: Context, name: string, work: () => Promise<T>): Promise<T> =>
    answerOf(await ctx.run(name, () => told(work)));
  const look = async <T>(work: () => Promise<T>): Promise<T> => answerOf(await told(work));

  /** From now on the engine keeps them. One that it was given already it has. */
  const keep = async (ctx: ObjectContext, threadId: ThreadId, timers: readonly StoredTimer[]): Promise<void> => {
    if (timers.length === 0) return;
    // Nobody waits for them here: what fires just now may wait for this invocation.
    for (const timer of timers) {
      const parameter: TimerRequest = { protocol: PROTOCOL_VERSION, timer };
      ctx.genericSend({
        service: TIMERS,
        method: "set",
        key: threadId,
        parameter,
        inputSerde: jsonSerde<TimerRequest>(),
      });
    }
    await step(ctx, "timers-kept", () => worker.dropTimers(threadId));
  };

  const turn = async (ctx: ObjectContext, request: TurnRequest): Promise<TurnAnswer> => {
    const threadId = checked(ctx, request);
    const { id: invocation, attemptCompletedSignal } = ctx.request();
    const attendance = await worker.attend(threadId, invocation, attemptCompletedSignal);
    try {
      const work = ctx.run("turn", () => told(() => attendance.attend(request.message)));
      for (let n = 0; ; n += 1) {
        const next = await RestatePromise.race([
          work.map((answer, failure) => ({ answer, failure })),
          ctx.signal<Signalled>(signalName(n)).map((signalled) => ({ signalled })),
        ]);
        if (!("signalled" in next)) {
          if (next.failure !== undefined) throw next.failure;
          const { timers = [], ...answer } = answerOf(next.answer as Told<TurnAnswer>);
          await keep(ctx, threadId, timers);
          return answer;
        }
        if (next.signalled === undefined) continue;
        const { message, ack } = next.signalled;
        let isTaken = false;
        const taking = ctx.run(`take-${n}`, () => {
          isTaken = true;
          return attendance.take(message);
        });
        // A step begins only when it is waited for, and this one waits for what the other one loads: after a replay that has not begun.
        await RestatePromise.race([taking, work.map(() => undefined)]);
        const delivery = await taking;
        // An earlier worker has taken it.
        if (!isTaken && delivery.taken) attendance.takeAgain(message);
        ctx.resolveAwakeable(ack, delivery);
      }
    } finally {
      worker.leave(attendance);
    }
  };

  const deliver = async (ctx: ObjectContext, request: DeliverRequest): Promise<Delivery> => {
    checked(ctx, request);
    const { message } = request;
    const sent = await ctx.get<{ invocation: string; next: number }>("sent");
    const n = sent?.invocation === request.invocation ? sent.next : 0;
    const running = ctx.invocation(sdk.InvocationIdParser.fromString(request.invocation));
    const ack = ctx.awakeable<Delivery>();
    ctx.set("sent", { invocation: request.invocation, next: n + 1 });
    running.signal<Signalled>(signalName(n)).resolve({ message, ack: ack.id });
    return RestatePromise.race([ack.promise, running.attach().map((): Delivery => ({ taken: false }))]);
  };

  /** The top of the thread's tree: itself, where nobody is above it. */
  const rootOf = async (ctx: ObjectContext, threadId: ThreadId): Promise<ThreadId> =>
    (await above(ctx, threadId)).at(-1) ?? threadId;
  const above = (ctx: ObjectContext, threadId: ThreadId) => step(ctx, "above", () => worker.above(threadId));
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
  const { admit, leave } = treeHandlers({ limits: worker.treeLimits, checked, fail });

  const { setTimer, fireTimer, cancelTimer } = timerHandlers(sdk, {
    checked,
    look: (ctx, threadId) => step(ctx, "look", () => worker.look(threadId)),
    fail,
  });

  const { bind, unbind, ended, lose } = bondHandlers(sdk, {
    checked,
    look: (ctx, threadId) => step(ctx, "look", () => worker.look(threadId)),
  });
  const tellEnd = (ctx: ObjectContext, threadId: ThreadId): void => {
    const parameter: Asked = { protocol: PROTOCOL_VERSION };
    ctx.genericSend({ service: BONDS, method: "ended", key: threadId, parameter, inputSerde: jsonSerde<Asked>() });
  };

  const { exclusive, shared } = sdk.handlers.object;
  const changing = { journalRetention: 0, idempotencyRetention: REMEMBERED_MS, retryPolicy: PATIENT };
  const running = { ...changing, inactivityTimeout: MAX_RUN_MS, abortTimeout: DAY_MS };
  const looking = { journalRetention: 0, retryPolicy: BRISK };

  const thread = sdk.object({
    name: THREAD,
    handlers: {
      start: exclusive(running, async (ctx: ObjectContext, request: StartRequest): Promise<Facts> => {
        const threadId = checked(ctx, request);
        if (request.isNamed && (await step(ctx, "exists", () => worker.exists(threadId))))
          throw fail({
            name: "DuplicateThreadError",
            code: "duplicate_thread",
            message: `thread ${threadId} exists already; resume it or choose another id`,
            retryable: false,
            threadId,
          });
        const { parentThreadId, agent: { maxDepth, maxThreads } = {} } = request.options;
        if (parentThreadId === undefined) return step(ctx, "start", () => worker.start(threadId, request));
        const root = await join(ctx, {
          ...{ threadId, parent: parentThreadId, allowed: definedFields({ maxDepth, maxThreads }) },
        });
        try {
          return await step(ctx, "start", () => worker.start(threadId, request));
        } catch (error) {
          if (error instanceof TerminalError) leaveTree(ctx, threadId, root);
          throw error;
        }
      }),
      open: exclusive(running, async (ctx: ObjectContext, request: OpenRequest): Promise<Facts> => {
        const threadId = checked(ctx, request);
        // One that was removed or closed has left its tree.
        const isBack = await step(ctx, "left", () => worker.hasLeft(threadId));
        const [parent] = isBack ? await above(ctx, threadId) : [];
        if (parent !== undefined) await join(ctx, { threadId, parent, allowed: null });
        const facts = await step(ctx, "open", () => worker.open(threadId, request));
        await keep(ctx, threadId, await step(ctx, "timers", () => worker.timersOf(threadId)));
        return facts;
      }),
      turn: exclusive(running, turn),
      remove: exclusive(changing, async (ctx: ObjectContext, request: Asked): Promise<boolean> => {
        const threadId = checked(ctx, request);
        const isDone = await step(ctx, "remove", () => worker.setState(threadId, "removed"));
        if (isDone) leaveTree(ctx, threadId, await rootOf(ctx, threadId));
        return isDone;
      }),
      close: exclusive(changing, async (ctx: ObjectContext, request: Asked): Promise<boolean> => {
        const threadId = checked(ctx, request);
        const isDone = await step(ctx, "close", () => worker.setState(threadId, "closed"));
        if (isDone) leaveTree(ctx, threadId, await rootOf(ctx, threadId));
        if (isDone) tellEnd(ctx, threadId);
        return isDone;
      }),
      delete: exclusive(changing, async (ctx: ObjectContext, request: Asked): Promise<void> => {
        const threadId = checked(ctx, request);
        await step(ctx, "delete", () => worker.remove(threadId));
        tellEnd(ctx, threadId);
      }),
      look: shared(looking, (ctx: ObjectSharedContext, request: Asked): Promise<Look> => {
        const threadId = checked(ctx, request);
        return look(() => worker.look(threadId));
      }),
      history: shared(looking, (ctx: ObjectSharedContext, request: HistoryRequest): Promise<HistoryPage> => {
        const threadId = checked(ctx, request);
        return look(() => worker.history(threadId, request));
      }),
      budget: shared(looking, (ctx: ObjectSharedContext, request: Asked) => {
        const threadId = checked(ctx, request);
        return look(async () => ({ budget: await worker.budgetOf(threadId) }));
      }),
      check: shared(looking, (ctx: ObjectSharedContext, request: CheckRequest) => {
        const threadId = checked(ctx, request);
        return look(() => worker.check(threadId, request.message));
      }),
      lineage: shared(
        looking,
        (ctx: ObjectSharedContext, request: Asked & { direction: "ancestors" | "descendants" }) => {
          const threadId = checked(ctx, request);
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
        checked({ key: "00000000-0000-7000-8000-000000000000" }, request);
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
      bind: exclusive(changing, bind),
      unbind: exclusive(changing, unbind),
      ended: exclusive(changing, ended),
      lose: exclusive(changing, lose),
    },
  });
  const tree = sdk.object({
    name: TREE,
    handlers: { admit: exclusive(changing, admit), leave: exclusive(changing, leave) },
  });
  return [thread, control, timers, bonds, tree, stored];
}

const signalName = (n: number): string => `message-${n}`;
