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
 * T1  `session_configured` is emitted by the transition out of `configuring`, for new, resumed and forked threads alike,
 *     and every other emission is refused before it.
 * T3  Ops are handled in the order of arrival: at once, or deferred by `rollingBack` and replayed in order.
 * T4  `running` is left only by the end of the invoked turn, which ends exactly once; `interrupt` and `shutdown` are
 *     answered in every state.
 *
 * The context is plain JSON. Whatever is live (model, store, history, tools) is found by the provided implementations
 * under the actor's own reference.
 */
import { and, assign, emit, fromPromise, not, or, raise, sendTo, setup } from "xstate";
import type { EventMsg, SessionConfiguredEvent } from "../src/protocol/event.ts";
import type { SubmissionId, ThreadId } from "../src/protocol/ids.ts";
import type { Op } from "../src/protocol/op.ts";
import type { RolloutItem } from "../src/protocol/rollout.ts";
import { notProvided } from "./not-provided.ts";
import { type TurnAbortReason, turnMachine } from "./turn.machine.ts";

/** What every thread logic is started with. */
export type ThreadInput = {
  threadId: ThreadId;
  /** Rises with every incarnation of the thread. */
  epoch: number;
};

/** What every thread logic is sent. */
export type ThreadCommand =
  | { type: "session.configure"; msg: SessionConfiguredEvent }
  | { type: "op.submit"; id: SubmissionId; op: Op };

/** What every thread logic emits: protocol events under their own names, and rollout items that are no event. */
export type ThreadEmitted =
  | { type: EventMsg["type"]; id: SubmissionId; msg: EventMsg; recorded?: true }
  | { type: "rollout_item"; item: RolloutItem };

/** What the runtime of one thread sends to the thread's own actor. */
export type ThreadSignal =
  | { type: "boot.failed"; reason: string }
  | { type: "event.publish"; id: SubmissionId; msg: EventMsg; recorded?: true }
  | { type: "rollout.record"; item: RolloutItem };

/** What the thread tells itself: a task that waited in the queue has begun. */
type TaskBegun = { type: "task.begun" };

export type ThreadMachineEvent = ThreadCommand | ThreadSignal | TaskBegun;

export type TaskKind = "regular" | "compact" | "user_shell";

/** One task to run: a turn, named by the submission that asked for it. */
export type Task = {
  id: SubmissionId;
  kind: TaskKind;
  /** Why it ends as soon as it has begun: it was interrupted or replaced while it waited. Its input is kept all the same. */
  abort?: TurnAbortReason;
};

export type ThreadContext = {
  /** The actor's session id, under which the runtime keeps the thread's live parts. */
  session: string;
  threadId: ThreadId;
  epoch: number;
  /** The running task. */
  task: Task | null;
  /** Tasks that came too late to join the running one, in order; never more than the mailbox holds ops. */
  queue: Task[];
  /** The submission that asked for the shutdown, once asked. */
  closingFor: SubmissionId | null;
};

const TASK_OF_OP: Readonly<Record<string, TaskKind>> = {
  user_input: "regular",
  user_turn: "regular",
  compact: "compact",
  run_user_shell_command: "user_shell",
};

/** The kind of task that an op asks for; undefined when it asks for none. */
export const taskKindOf = (op: Op): TaskKind | undefined => TASK_OF_OP[op.type];

const taskOf = (event: { id: SubmissionId; op: Op }): Task => ({
  id: event.id,
  kind: taskKindOf(event.op) ?? "regular",
});

const NO_INPUT: ReadonlySet<string> = new Set(["user_input", "user_turn"]);
const isEmptyInput = (op: Op): boolean =>
  NO_INPUT.has(op.type) && "items" in op && Array.isArray(op.items) && op.items.length === 0;

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

export const threadMachine = setup({
  types: {
    context: {} as ThreadContext,
    events: {} as ThreadMachineEvent,
    input: {} as ThreadInput,
    emitted: {} as ThreadEmitted,
  },
  actors: {
    runTurn: turnMachine,
    rollBack: fromPromise<void, { thread: string; id: SubmissionId; op: Op }>(notProvided("rollBack")),
    close: fromPromise<void, { thread: string; id: SubmissionId }>(notProvided("close")),
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
    /** Carries out an op that needs no task: settings, approvals, listings; unknown ones are refused with an event. */
    answerOp: notProvided("answerOp"),
    refuseOp: notProvided("refuseOp"),
    refuseRollback: notProvided("refuseRollback"),
    /** Runs a command of the user's beside the running turn. */
    runBeside: notProvided("runBeside"),
    deferOp: notProvided("deferOp"),
    replayDeferred: notProvided("replayDeferred"),
    reportDefect: notProvided("reportDefect"),
    /** Gives a turn that broke by a defect the end that it owes (T4). */
    abandonTurn: notProvided("abandonTurn"),
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
    isRegularTask: ({ event }) => taskKindOf(submitted(event).op) === "regular",
    /** Of the tasks so far, the last one is a regular one too: input never replaces it. */
    followsRegularTask: ({ context }) => (context.queue.at(-1) ?? context.task)?.kind === "regular",
    /** Of the tasks so far, the last one is a command of the user's: what comes waits for its end, and never replaces it. */
    followsUserShell: ({ context }) => (context.queue.at(-1) ?? context.task)?.kind === "user_shell",
    isUserShell: ({ event }) => taskKindOf(submitted(event).op) === "user_shell",
    /** The running turn is there, and has not been shown to end. */
    hasTurn: notProvided("hasTurn"),
    /** The last of the waiting tasks takes input until it begins. */
    queuedTakesInput: ({ context }) => {
      const last = context.queue.at(-1);
      return last !== undefined && last.abort === undefined;
    },
    /** From its last look at the inbox on, an ending turn takes no more input. */
    turnTakesInput: notProvided("turnTakesInput"),
    wasAborted: ({ context }) => context.task?.abort !== undefined,
    hasQueuedTask: ({ context }) => context.queue.length > 0,
    isClosing: ({ context }) => context.closingFor !== null,
  },
}).createMachine({
  id: "thread",
  context: ({ input, self }) => ({
    session: self.sessionId,
    threadId: input.threadId,
    epoch: input.epoch,
    task: null,
    queue: [],
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
      },
      states: {
        idle: {
          on: {
            "op.submit": [
              { guard: "isShutdown", target: "closing", actions: "beginClosing" },
              { guard: "isEmpty", actions: ["answerOp", "publishEmptyCompletion"] },
              { guard: "startsTask", target: "running", actions: [holdInput(ownTask), "beginTask"] },
              { guard: "isRollback", target: "rollingBack" },
              { actions: "answerOp" },
            ],
          },
        },
        running: {
          invoke: {
            id: "turn",
            src: "runTurn",
            input: ({ context, self }) => ({ thread: self.sessionId, task: runningTask(context) }),
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
          on: {
            "task.begun": { guard: "wasAborted", actions: "abortTurn" },
            "op.submit": [
              { guard: "isShutdown", actions: ["beginClosing", "interruptQueued", "interruptTurn"] },
              { guard: "isInterrupt", actions: ["interruptQueued", "interruptTurn"] },
              { guard: "isClosing", actions: "refuseOp" },
              { guard: "isEmpty", actions: ["answerOp", "publishEmptyCompletion"] },
              {
                guard: and(["isRegularTask", "followsRegularTask", not("hasQueuedTask"), "turnTakesInput"]),
                actions: holdInput(runningTaskId),
              },
              {
                guard: and(["isRegularTask", "followsRegularTask", "queuedTakesInput"]),
                actions: holdInput(lastTaskId),
              },
              { guard: and(["isRegularTask", "followsRegularTask"]), actions: [holdInput(ownTask), "queueTask"] },
              { guard: and(["isUserShell", "hasTurn"]), actions: "runBeside" },
              {
                guard: or(["isUserShell", and(["startsTask", "followsUserShell"])]),
                actions: [holdInput(ownTask), "queueTask"],
              },
              { guard: "startsTask", actions: [holdInput(ownTask), "replaceQueued", "queueTask", "replaceTurn"] },
              {
                guard: and(["isInjection", "followsRegularTask", not("hasQueuedTask"), "turnTakesInput"]),
                actions: holdInput(runningTaskId),
              },
              { guard: "isRollback", actions: "refuseRollback" },
              { actions: "answerOp" },
            ],
          },
        },
        rollingBack: {
          invoke: {
            id: "rollBack",
            src: "rollBack",
            input: ({ event, self }) => ({ thread: self.sessionId, id: submitted(event).id, op: submitted(event).op }),
            onDone: { target: "idle", actions: "replayDeferred" },
            onError: { target: "idle", actions: ["reportDefect", "replayDeferred"] },
          },
          on: { "op.submit": { actions: "deferOp" } },
        },
        closing: {
          on: { "op.submit": [{ guard: "isShutdown" }, { guard: "isInterrupt" }, { actions: "refuseOp" }] },
          invoke: {
            id: "close",
            src: "close",
            input: ({ context, self }) => ({ thread: self.sessionId, id: context.closingFor ?? ("" as SubmissionId) }),
            onDone: { target: "#closed" },
            onError: { target: "#closed", actions: "reportDefect" },
          },
        },
      },
    },
    closed: { id: "closed", type: "final", entry: "publishShutdownComplete" },
    failed: { type: "final" },
  },
});
