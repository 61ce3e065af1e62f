/**
 * One incarnation of a thread.
 *
 *   configuring ──session.configure──▶ idle ◀──turn done── running ──┐ op.submit joins the turn (steer), interrupts it
 *        │                             │  │                  ▲       │ (interrupt), replaces it (another task kind), or
 *        │                             │  │                  │       │ waits for its end in the queue
 *        │ boot.failed                 │  └──starts a task───┘◀──────┘
 *        ▼                             ├──thread_rollback──▶ rollingBack ──done──▶ idle   (ops wait, in order)
 *     failed                           └──shutdown──▶ closing ──done──▶ closed
 *
 * - (T1) `session_configured` is emitted by the transition out of `configuring`, for new, resumed and forked threads alike,
 *   and every other emission is refused before it.
 * - (T3) Ops are handled in the order of arrival: at once, or deferred by `rollingBack` and replayed in order.
 * - (T4) `running` is left only by the end of the invoked turn, which ends exactly once; `interrupt` and `shutdown` are
 *   answered in every state.
 * - (T10) What a thread does is told by the tags of its state, {@link ThreadTag}, and by nothing else.
 *
 * The context is plain JSON and names only what every process can find: a persisted snapshot goes on wherever the
 * provided implementations know the life of this name, {@link lifeOf}.
 */
import { and, assign, emit, fromPromise, not, or, raise, sendTo, setup } from "xstate";
import type { EventMsg, SessionConfiguredEvent } from "../src/protocol/event.ts";
import type { SubmissionId, ThreadId, TurnId } from "../src/protocol/ids.ts";
import type { Op } from "../src/protocol/op.ts";
import type { RolloutItem } from "../src/protocol/rollout.ts";
import { notProvided } from "./not-provided.ts";
import { type Resumption, type TurnAbortReason, turnMachine } from "./turn.machine.ts";

/** What every thread logic is started with. */
export type ThreadInput = {
  threadId: ThreadId;
  /** Rises with every incarnation of the thread. */
  epoch: number;
};

/** The name of one incarnation, the same in every process. */
export const lifeOf = ({ threadId, epoch }: ThreadInput): string => `${threadId}/${epoch}`;

/**
 * `idle`: nothing is left to do, so that the thread may leave memory. `takesInput`: input joins the running turn.
 * `answering`: a listing that was asked for is still to be given. `closing`: it takes no more ops, and will end.
 */
export type ThreadTag = "idle" | "running" | "takesInput" | "answering" | "rollingBack" | "closing";

/** An op under its id. Where it starts a task, `turnId` is what that is to be called. */
export type Submission = { readonly id: SubmissionId; readonly op: Op; readonly turnId?: TurnId };

/** What every thread logic is sent. */
export type ThreadCommand =
  | { type: "session.configure"; msg: SessionConfiguredEvent }
  | ({ type: "op.submit" } & Submission);

/** What every thread logic emits: protocol events under their own names, and rollout items that are no event. */
export type ThreadEmitted =
  | { type: EventMsg["type"]; id: SubmissionId; msg: EventMsg; recorded?: true }
  | { type: "rollout_item"; item: RolloutItem };

/** What the runtime of one thread sends to the thread's own actor. */
export type ThreadSignal =
  | { type: "boot.failed"; reason: string }
  | { type: "event.publish"; id: SubmissionId; msg: EventMsg; recorded?: true }
  | { type: "rollout.record"; item: RolloutItem }
  /** The turn of this task has looked at its inbox for the last time (T5). */
  | { type: "turn.ending"; task: SubmissionId }
  /** What an earlier life has left undone: the task that ran, or was to begin, and those behind it. Their ops are held. */
  | { type: "tasks.takeUp"; task: Task; queue: Task[] };

/** What the thread tells itself: a task that waited in the queue has begun. */
export type TaskBegun = { type: "task.begun" };

/** From the child that makes the answer to a question. */
export type QuestionAnswered =
  | { type: "xstate.done.actor.answer"; output: EventMsg }
  | { type: "xstate.error.actor.answer"; error: unknown };

/** All that a thread's machine takes. */
export type ThreadMachineEvent = ThreadCommand | ThreadSignal | TaskBegun | QuestionAnswered;

/** What kind of turn a task is. */
export type TaskKind = "regular" | "compact" | "user_shell" | "review";

/** One task to run: a turn, named by the submission that asked for it. */
export type Task = {
  id: SubmissionId;
  kind: TaskKind;
  turnId?: TurnId;
  /** It is gone on with: an earlier life has left it open. */
  resumed?: Resumption;
  /** Why it ends as soon as it has begun: it was interrupted or replaced while it waited. Its input is kept all the same. */
  abort?: TurnAbortReason;
};

/** What a thread's machine remembers: ids and queues, never history or streams. */
export type ThreadContext = ThreadInput & {
  /** The running task. */
  task: Task | null;
  /** Tasks that came too late to join the running one, in order; never more than the mailbox holds ops. */
  queue: Task[];
  /** The submission that asked for the rollback that runs. */
  rollback: SubmissionId | null;
  /** Ops that wait for the end of a rollback, in order. */
  deferred: Submission[];
  /** Listings that were asked for, in order; the first one is being made. */
  questions: Submission[];
  /** The submission that asked for the shutdown, once asked. */
  closingFor: SubmissionId | null;
};

/** A map: an op may have any name, also one that every object has. */
const TASK_OF_OP: ReadonlyMap<string, TaskKind> = new Map([
  ["user_input", "regular"],
  ["user_turn", "regular"],
  ["compact", "compact"],
  ["review", "review"],
  ["run_user_shell_command", "user_shell"],
]);

/** The kind of task that an op asks for; undefined when it asks for none. */
export const taskKindOf = (op: { readonly type: string }): TaskKind | undefined => TASK_OF_OP.get(op.type);

const taskOf = ({ id, op, turnId }: Submission): Task => {
  const kind = taskKindOf(op) ?? "regular";
  return turnId === undefined ? { id, kind } : { id, kind, turnId };
};

const NO_INPUT: ReadonlySet<string> = new Set(["user_input", "user_turn"]);
/** Input without items is over at once (SPEC 4.8). */
export const isEmptyInput = (op: Op): boolean =>
  NO_INPUT.has(op.type) && "items" in op && Array.isArray(op.items) && op.items.length === 0;

/** Ops whose answer takes time. */
const QUESTIONS: ReadonlySet<string> = new Set(["list_skills", "list_mcp_tools", "list_models"]);

/** Ops that must not wait for anything: never deferred, and no place in the mailbox is needed for them. */
const URGENT: ReadonlySet<string> = new Set([
  "interrupt",
  "shutdown",
  "exec_approval",
  "patch_approval",
  "user_input_answer",
]);

export const isUrgent = (op: Op): boolean => URGENT.has(op.type);

/** What questions get to be answered in, once the thread is to end. */
const ANSWER_GRACE_MS = 100;

/** Which task runs. Entering `running` without one would be a mistake in this machine. */
function runningTask({ task }: ThreadContext): Task {
  if (task === null) throw new Error("the thread runs no task");
  return task;
}

/** Marks the tasks that are not marked yet. */
const aborted = (queue: readonly Task[], abort: TurnAbortReason): Task[] =>
  queue.map((task) => (task.abort === undefined ? { ...task, abort } : task));

type Submitted = Extract<ThreadMachineEvent, { type: "op.submit" }>;
const submitted = (event: { type: string }): Submitted => event as Submitted;

const submissionOf = (event: { type: string }): Submission => {
  const { id, op, turnId } = submitted(event);
  return turnId === undefined ? { id, op } : { id, op, turnId };
};

const SHUTTING_DOWN = "the thread is shutting down";

/** The event that tells the caller that the op is not carried out. */
export const refusal = (message: string): EventMsg => ({ type: "error", message, codex_error_info: "bad_request" });

type Picker = (scope: { context: ThreadContext; event: ThreadMachineEvent }) => SubmissionId;

const ownTask: Picker = ({ event }) => submitted(event).id;
const runningTaskId: Picker = ({ context }) => runningTask(context).id;
const lastTaskId: Picker = ({ context }) => (context.queue.at(-1) ?? runningTask(context)).id;

/** Which task the op is held for. */
const holdInput = (task: Picker) =>
  ({
    type: "holdInput",
    params: (scope: { context: ThreadContext; event: ThreadMachineEvent }) => ({ task: task(scope) }),
  }) as const;

const parts = setup({
  types: {
    context: {} as ThreadContext,
    events: {} as ThreadMachineEvent,
    input: {} as ThreadInput,
    emitted: {} as ThreadEmitted,
    tags: {} as ThreadTag,
  },
  actors: {
    runTurn: turnMachine,
    rollBack: fromPromise<void, { life: string } & Submission>(notProvided("rollBack")),
    /** Makes the answer to a question. */
    answer: fromPromise<EventMsg, { life: string } & Submission>(notProvided("answer")),
    close: fromPromise<void, { life: string; id: SubmissionId }>(notProvided("close")),
  },
  actions: {
    publishSessionConfigured: emit(({ event }) => {
      const { msg } = event as Extract<ThreadMachineEvent, { type: "session.configure" }>;
      return { type: "session_configured", id: "" as SubmissionId, msg };
    }),
    publish: emit(({ event }) => {
      const { id, msg, recorded } = event as Extract<ThreadMachineEvent, { type: "event.publish" }>;
      return recorded ? { type: msg.type, id, msg, recorded } : { type: msg.type, id, msg };
    }),
    record: emit(({ event }) => ({
      type: "rollout_item",
      item: (event as Extract<ThreadMachineEvent, { type: "rollout.record" }>).item,
    })),
    publishEmptyCompletion: emit(({ event }) => ({
      type: "task_complete",
      id: submitted(event).id,
      msg: { type: "task_complete", last_agent_message: null },
    })),
    publishShutdownComplete: emit(({ context }) => ({
      type: "shutdown_complete",
      id: context.closingFor ?? ("" as SubmissionId),
      msg: { type: "shutdown_complete" },
    })),
    /** Keeps the op in the thread's inbox, for the task that it starts or joins (T5). */
    holdInput: (_, _params: { task: SubmissionId }) => notProvided("holdInput")(),
    /** Carries out an op that needs no task: settings, approvals, items; unknown ones are refused with an event. */
    answerOp: notProvided("answerOp"),
    refuseOp: emit(({ event }) => {
      const msg = refusal(SHUTTING_DOWN);
      return { type: msg.type, id: submitted(event).id, msg };
    }),
    refuseRollback: notProvided("refuseRollback"),
    /** Runs a command of the user's beside the running turn. */
    runBeside: notProvided("runBeside"),
    beginRollback: assign({ rollback: ({ event }) => submitted(event).id }),
    deferOp: assign({ deferred: ({ context, event }) => [...context.deferred, submissionOf(event)] }),
    reportDefect: notProvided("reportDefect"),
    /** Gives a turn that broke by a defect the end that it owes (T4). */
    abandonTurn: notProvided("abandonTurn"),
    takeUpTasks: assign(({ event }) => {
      const { task, queue } = event as Extract<ThreadMachineEvent, { type: "tasks.takeUp" }>;
      return { task, queue };
    }),
    beginTask: assign({ task: ({ event }) => taskOf(submitted(event)) }),
    queueTask: assign({ queue: ({ context, event }) => [...context.queue, taskOf(submitted(event))] }),
    advanceTask: assign({
      task: ({ context }) => context.queue[0] ?? null,
      queue: ({ context }) => context.queue.slice(1),
    }),
    /** A turn that was aborted while it waited hears of it as soon as it has begun. */
    passOnAbort: raise({ type: "task.begun" }),
    abortTurn: sendTo("turn", ({ context }) => ({
      type: "turn.interrupt",
      reason: context.task?.abort ?? ("interrupted" satisfies TurnAbortReason),
    })),
    endTask: assign({ task: null }),
    beginClosing: assign({ closingFor: ({ context, event }) => context.closingFor ?? submitted(event).id }),
    interruptTurn: sendTo("turn", { type: "turn.interrupt", reason: "interrupted" satisfies TurnAbortReason }),
    interruptQueued: assign({ queue: ({ context }) => aborted(context.queue, "interrupted") }),
    replaceTurn: sendTo("turn", { type: "turn.interrupt", reason: "replaced" satisfies TurnAbortReason }),
    replaceQueued: assign({ queue: ({ context }) => aborted(context.queue, "replaced") }),
  },
  guards: {
    isShutdown: ({ event }) => submitted(event).op.type === "shutdown",
    isInterrupt: ({ event }) => submitted(event).op.type === "interrupt",
    isInjection: ({ event }) => submitted(event).op.type === "inject_items",
    isRollback: ({ event }) => submitted(event).op.type === "thread_rollback",
    isEmpty: ({ event }) => isEmptyInput(submitted(event).op),
    startsTask: ({ event }) => taskKindOf(submitted(event).op) !== undefined,
    isInput: ({ event }) => {
      const { op } = submitted(event);
      return taskKindOf(op) === "regular" && !isEmptyInput(op);
    },
    isRegularTask: ({ event }) => taskKindOf(submitted(event).op) === "regular",
    /** Of the tasks so far, the last one is a regular one too: input never replaces it. */
    followsRegularTask: ({ context }) => (context.queue.at(-1) ?? context.task)?.kind === "regular",
    /** Of the tasks so far, the last one is a command of the user's: what comes waits for its end, and never replaces it. */
    followsUserShell: ({ context }) => (context.queue.at(-1) ?? context.task)?.kind === "user_shell",
    isUserShell: ({ event }) => taskKindOf(submitted(event).op) === "user_shell",
    /** The last of the waiting tasks takes input until it begins. */
    queuedTakesInput: ({ context }) => {
      const last = context.queue.at(-1);
      return last !== undefined && last.abort === undefined;
    },
    /** Tasks wait to be interrupted; once is enough. */
    reachesDeferred: ({ context }) => {
      const last = context.deferred.at(-1);
      return last !== undefined && last.op.type !== "interrupt";
    },
    isOfTask: ({ context, event }) =>
      context.task?.id === (event as Extract<ThreadMachineEvent, { type: "turn.ending" }>).task,
    isUrgent: ({ event }) => isUrgent(submitted(event).op),
    isQuestion: ({ event }) => QUESTIONS.has(submitted(event).op.type),
    hasQuestions: ({ context }) => context.questions.length > 0,
    wasAborted: ({ context }) => context.task?.abort !== undefined,
    hasQueuedTask: ({ context }) => context.queue.length > 0,
    isClosing: ({ context }) => context.closingFor !== null,
  },
});

const withQuestions = parts.extend({
  actions: {
    /** In order, and within the same step: an observer never sees the thread idle in between. */
    replayDeferred: parts.enqueueActions(({ context, enqueue }) => {
      const { deferred, closingFor } = context;
      enqueue.assign({ rollback: null, deferred: [], closingFor: null });
      for (const submission of deferred) enqueue.raise({ type: "op.submit", ...submission });
      if (closingFor !== null) enqueue.raise({ type: "op.submit", id: closingFor, op: { type: "shutdown" } });
    }),
    ask: parts.enqueueActions(({ context, event, enqueue }) => {
      const question = submissionOf(event);
      enqueue.assign({ questions: [...context.questions, question] });
      if (context.questions.length > 0) return;
      enqueue.spawnChild("answer", { id: "answer", input: { life: lifeOf(context), ...question } });
    }),
    askNext: parts.enqueueActions(({ context, enqueue }) => {
      const [, next, ...later] = context.questions;
      enqueue.stopChild("answer");
      enqueue.assign({ questions: next === undefined ? [] : [next, ...later] });
      if (next === undefined) return;
      enqueue.spawnChild("answer", { id: "answer", input: { life: lifeOf(context), ...next } });
    }),
    publishAnswer: parts.enqueueActions(({ context, event, enqueue }) => {
      const { output: msg } = event as Extract<QuestionAnswered, { output: EventMsg }>;
      const [question] = context.questions;
      if (question !== undefined) enqueue.emit({ type: msg.type, id: question.id, msg });
    }),
    /** The answer can't be made. */
    refuseQuestion: parts.enqueueActions(({ context, event, enqueue }) => {
      const { error } = event as Extract<QuestionAnswered, { error: unknown }>;
      const msg = refusal(`not listed: ${error instanceof Error ? error.message : String(error)}`);
      const [question] = context.questions;
      if (question !== undefined) enqueue.emit({ type: msg.type, id: question.id, msg });
    }),
    /** The thread ends before they are answered. */
    refuseQuestions: parts.enqueueActions(({ context, enqueue }) => {
      if (context.questions.length === 0) return;
      const msg = refusal(SHUTTING_DOWN);
      for (const { id } of context.questions) enqueue.emit({ type: msg.type, id, msg });
      enqueue.stopChild("answer");
      enqueue.assign({ questions: [] });
    }),
  },
});

/**
 * The life of one thread: configuring, ready, running, closing, closed. Its actions and actors are named here and provided by
 * the runtime.
 */
export const threadMachine = withQuestions.createMachine({
  id: "thread",
  context: ({ input: { threadId, epoch } }) => ({
    threadId,
    epoch,
    task: null,
    queue: [],
    rollback: null,
    deferred: [],
    questions: [],
    closingFor: null,
  }),
  initial: "configuring",
  states: {
    configuring: {
      on: {
        "session.configure": { target: "open", actions: "publishSessionConfigured" },
        "boot.failed": "failed",
      },
    },
    open: {
      initial: "idle",
      on: {
        "event.publish": { actions: "publish" },
        "rollout.record": { actions: "record" },
        "xstate.done.actor.answer": { guard: "hasQuestions", actions: ["publishAnswer", "askNext"] },
        "xstate.error.actor.answer": { guard: "hasQuestions", actions: ["refuseQuestion", "askNext"] },
      },
      states: {
        idle: {
          initial: "ready",
          states: {
            ready: { tags: "idle", always: { guard: "hasQuestions", target: "answering" } },
            answering: { tags: "answering", always: { guard: not("hasQuestions"), target: "ready" } },
          },
          on: {
            "tasks.takeUp": { target: "running", actions: "takeUpTasks" },
            "op.submit": [
              { guard: "isShutdown", target: "closing", actions: "beginClosing" },
              { guard: "isEmpty", actions: ["answerOp", "publishEmptyCompletion"] },
              { guard: "startsTask", target: "running", actions: [holdInput(ownTask), "beginTask"] },
              { guard: "isRollback", target: "rollingBack", actions: "beginRollback" },
              { guard: "isQuestion", actions: "ask" },
              { actions: "answerOp" },
            ],
          },
        },
        running: {
          tags: "running",
          invoke: {
            id: "turn",
            src: "runTurn",
            input: ({ context }) => ({ life: lifeOf(context), task: runningTask(context) }),
            onDone: [
              { guard: "hasQueuedTask", target: "running", reenter: true, actions: ["advanceTask", "passOnAbort"] },
              { guard: "isClosing", target: "closing", actions: "endTask" },
              { target: "idle", actions: "endTask" },
            ],
            onError: [
              {
                guard: "hasQueuedTask",
                target: "running",
                reenter: true,
                actions: ["reportDefect", "abandonTurn", "advanceTask", "passOnAbort"],
              },
              { guard: "isClosing", target: "closing", actions: ["reportDefect", "abandonTurn", "endTask"] },
              { target: "idle", actions: ["reportDefect", "abandonTurn", "endTask"] },
            ],
          },
          initial: "takingInput",
          states: {
            takingInput: {
              tags: "takesInput",
              always: { guard: "isClosing", target: "closing" },
              on: {
                "turn.ending": { guard: "isOfTask", target: "ending" },
                "op.submit": [
                  {
                    guard: and(["isInput", "followsRegularTask", not("hasQueuedTask")]),
                    actions: holdInput(runningTaskId),
                  },
                  {
                    guard: and(["isInjection", "followsRegularTask", not("hasQueuedTask")]),
                    actions: holdInput(runningTaskId),
                  },
                  { guard: "isUserShell", actions: "runBeside" },
                ],
              },
            },
            /** From its last look at the inbox on, or once it is interrupted, a turn takes no more input. */
            ending: {},
            closing: { tags: "closing" },
          },
          on: {
            "task.begun": [
              { guard: and(["wasAborted", "isClosing"]), actions: "abortTurn" },
              { guard: "wasAborted", target: ".ending", actions: "abortTurn" },
            ],
            "op.submit": [
              {
                guard: "isShutdown",
                target: ".closing",
                actions: ["beginClosing", "interruptQueued", "interruptTurn"],
              },
              { guard: and(["isInterrupt", "isClosing"]) },
              { guard: "isInterrupt", target: ".ending", actions: ["interruptQueued", "interruptTurn"] },
              { guard: "isClosing", actions: "refuseOp" },
              { guard: "isEmpty", actions: ["answerOp", "publishEmptyCompletion"] },
              {
                guard: and(["isRegularTask", "followsRegularTask", "queuedTakesInput"]),
                actions: holdInput(lastTaskId),
              },
              { guard: and(["isRegularTask", "followsRegularTask"]), actions: [holdInput(ownTask), "queueTask"] },
              {
                guard: or(["isUserShell", and(["startsTask", "followsUserShell"])]),
                actions: [holdInput(ownTask), "queueTask"],
              },
              {
                guard: "startsTask",
                target: ".ending",
                actions: [holdInput(ownTask), "replaceQueued", "queueTask", "replaceTurn"],
              },
              { guard: "isRollback", actions: "refuseRollback" },
              { guard: "isQuestion", actions: "ask" },
              { actions: "answerOp" },
            ],
          },
        },
        rollingBack: {
          tags: "rollingBack",
          invoke: {
            id: "rollBack",
            src: "rollBack",
            input: ({ context, event }) => ({ life: lifeOf(context), ...submissionOf(event) }),
            onDone: { target: "idle", actions: "replayDeferred" },
            onError: { target: "idle", actions: ["reportDefect", "replayDeferred"] },
          },
          initial: "working",
          states: { working: {}, closing: { tags: "closing" } },
          on: {
            "op.submit": [
              { guard: and(["isShutdown", not("isClosing")]), target: ".closing", actions: "beginClosing" },
              { guard: "isShutdown" },
              { guard: and(["isInterrupt", "reachesDeferred"]), actions: ["answerOp", "deferOp"] },
              { guard: "isUrgent", actions: "answerOp" },
              { guard: "isClosing", actions: "refuseOp" },
              { actions: "deferOp" },
            ],
          },
        },
        closing: {
          tags: "closing",
          on: { "op.submit": [{ guard: "isShutdown" }, { guard: "isInterrupt" }, { actions: "refuseOp" }] },
          initial: "answering",
          states: {
            answering: {
              always: { guard: not("hasQuestions"), target: "storing" },
              after: { [ANSWER_GRACE_MS]: "storing" },
            },
            storing: {
              entry: "refuseQuestions",
              invoke: {
                id: "close",
                src: "close",
                input: ({ context }) => ({ life: lifeOf(context), id: context.closingFor ?? ("" as SubmissionId) }),
                onDone: { target: "#closed" },
                onError: { target: "#closed", actions: "reportDefect" },
              },
            },
          },
        },
      },
    },
    closed: { id: "closed", type: "final", entry: "publishShutdownComplete" },
    failed: { type: "final" },
  },
});
