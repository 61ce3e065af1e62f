/**
 * One turn (or another task of a thread), from its announcement to its one end.
 *
 *   starting ──▶ sampling ──calls──▶ runningTools (executing ⇄ awaitingApproval) ──▶ sampling
 *                  │  ▲ │ ▲
 *                  │  │ │ └── pending input (T5): ask again
 *        retryable │  │ └── nothing left ──▶ finishing ──▶ ending ──▶ completed
 *                  ▼  │                                      ▲
 *               backingOff        fatal ──▶ failing ─────────┘
 *
 *   turn.interrupt, in every state but `failing` and `ending` ──▶ interrupting ──▶ interrupted
 *
 * - (T4) Only the two final states publish an end, on entry: `task_complete` or `turn_aborted`, exactly one.
 *   `ending` and `interrupting` have stored that end before it is shown; an end once stored is not taken back.
 * - (T5) `finishing` looks at the inbox a last time; from then on the turn takes no input.
 * - Work is never stopped by leaving a state alone: `abortWork` ends it through the turn's own AbortSignal, and
 *   `settle` gives it a short grace and then abandons it.
 */
import { assign, fromPromise, setup } from "xstate";
import type { SubmissionId } from "../src/protocol/ids.ts";
import type { TokenUsage } from "../src/protocol/token-usage.ts";
import { notProvided } from "./not-provided.ts";

/** Why a turn was aborted. */
export type TurnAbortReason = "interrupted" | "replaced" | "review_ended";

/** How far a turn had come in an earlier life that left it open. */
export type Resumption = {
  /** Unix milliseconds. */
  startedAt: number;
  rootTurnId?: string;
  /** How many lives have taken it up after the first one, this one included. */
  attempt: number;
  /** It was taken up as often as is allowed: all that it gets is its end. */
  isGivenUp: boolean;
  /** The model has nothing to add. */
  isAnswered: boolean;
  /** Its calls that have no output, by id. Those that were `asking` have done nothing yet. */
  calls: { callId: string; state: "asking" | "begun" }[];
  lastAgentMessage: string | null;
  usage: TokenUsage;
  outputSchema?: unknown;
};

/** What a turn is started with. */
export type TurnInput = {
  /** The name of the thread's incarnation, under which its live parts are found. */
  life: string;
  task: { id: SubmissionId; kind: string; turnId?: string; resumed?: Resumption };
};

/** All that a turn's machine takes. */
export type TurnMachineEvent =
  | { type: "turn.interrupt"; reason: TurnAbortReason }
  | { type: "approval.requested" }
  | { type: "approval.resolved" };

/** What a turn's machine remembers. */
export type TurnContext = TurnInput & {
  /** Model requests retried since the last answer. */
  retries: number;
  approvals: number;
  abortReason: TurnAbortReason | null;
};

/** What one model request came to. */
export type SampleOutcome = {
  /** Calls that the model made and whose outputs it waits for. */
  calls: number;
  /** Input that joined the turn meanwhile. */
  pendingInput: boolean;
};

export type Step = Pick<TurnContext, "life" | "task"> & { retries: number };

const step = ({ context }: { context: TurnContext }): Step => ({
  life: context.life,
  task: context.task,
  retries: context.retries,
});

const ending = ({ context }: { context: TurnContext }) => ({ ...step({ context }), reason: context.abortReason });

const failed = {
  target: "failing",
  actions: { type: "publishError", params: ({ event }: { event: { error: unknown } }) => ({ error: event.error }) },
} as const;

/**
 * One turn: sample, run tools, retry, finish, or abort with a grace period. Its actors are named here and provided by the
 * runtime.
 */
export const turnMachine = setup({
  types: {
    context: {} as TurnContext,
    events: {} as TurnMachineEvent,
    input: {} as TurnInput,
  },
  actors: {
    /** Publishes task_started, or turn_resumed, at once; then loads the history, records the turn's input and waits for its place. */
    prepare: fromPromise<void, Step>(notProvided("prepare")),
    sample: fromPromise<SampleOutcome, Step>(notProvided("sample")),
    backOff: fromPromise<void, Step & { error: unknown }>(notProvided("backOff")),
    runTools: fromPromise<SampleOutcome, Step>(notProvided("runTools")),
    /** Whatever follows the last answer (a compaction, say), and the last look at the inbox. */
    finish: fromPromise<SampleOutcome, Step>(notProvided("finish")),
    /** Gives aborted work its grace, and every call its output. */
    settle: fromPromise<void, Step & { reason: TurnAbortReason | null }>(notProvided("settle")),
    /** Stores the turn's end: task_complete, or turn_aborted with the reason. */
    storeEnd: fromPromise<void, Step & { reason: TurnAbortReason | null }>(notProvided("storeEnd")),
  },
  actions: {
    abortWork: notProvided("abortWork"),
    publishError: (_, _params: { error: unknown }) => notProvided("publishError")(),
    publishCompleted: notProvided("publishCompleted"),
    publishAborted: notProvided("publishAborted"),
    countRetry: assign({ retries: ({ context }) => context.retries + 1 }),
    resetRetries: assign({ retries: 0 }),
    countApproval: assign({ approvals: ({ context }) => context.approvals + 1 }),
    dropApproval: assign({ approvals: ({ context }) => Math.max(0, context.approvals - 1) }),
    noteAbortReason: assign({
      abortReason: ({ event }) => (event as Extract<TurnMachineEvent, { type: "turn.interrupt" }>).reason,
    }),
  },
  guards: {
    hasCalls: (_, outcome: SampleOutcome) => outcome.calls > 0,
    hasPendingInput: (_, outcome: SampleOutcome) => outcome.pendingInput,
    /** Whether the failure may be retried, and the thread's settings leave a try. */
    mayRetry: (_, _params: Step & { error: unknown }): boolean => notProvided("mayRetry")(),
    awaitsApproval: ({ context }) => context.approvals > 0,
    awaitsNothing: ({ context }) => context.approvals === 0,
  },
}).createMachine({
  id: "turn",
  context: ({ input }) => ({ ...input, retries: 0, approvals: 0, abortReason: null }),
  initial: "starting",
  on: {
    "turn.interrupt": { target: ".interrupting", actions: "noteAbortReason" },
    // Calls start while the answer still streams, so an approval may be asked for before `runningTools`.
    "approval.requested": { actions: "countApproval" },
    "approval.resolved": { actions: "dropApproval" },
  },
  states: {
    starting: {
      invoke: {
        src: "prepare",
        input: step,
        onDone: "sampling",
        onError: failed,
      },
    },
    sampling: {
      invoke: {
        src: "sample",
        input: step,
        onDone: [
          {
            guard: { type: "hasCalls", params: ({ event }) => event.output },
            target: "runningTools",
            actions: "resetRetries",
          },
          {
            guard: { type: "hasPendingInput", params: ({ event }) => event.output },
            target: "sampling",
            reenter: true,
            actions: "resetRetries",
          },
          { target: "finishing" },
        ],
        onError: [
          {
            guard: {
              type: "mayRetry",
              params: ({ context, event }) => ({ ...step({ context }), error: event.error }),
            },
            target: "backingOff",
            actions: "countRetry",
          },
          failed,
        ],
      },
    },
    backingOff: {
      invoke: {
        src: "backOff",
        input: ({ context, event }) => ({ ...step({ context }), error: "error" in event ? event.error : undefined }),
        onDone: "sampling",
        onError: failed,
      },
    },
    runningTools: {
      invoke: {
        src: "runTools",
        input: step,
        onDone: "sampling",
        onError: failed,
      },
      initial: "executing",
      states: {
        executing: { always: { guard: "awaitsApproval", target: "awaitingApproval" } },
        awaitingApproval: { always: { guard: "awaitsNothing", target: "executing" } },
      },
    },
    failing: {
      entry: "abortWork",
      on: { "turn.interrupt": {} },
      invoke: { src: "settle", input: ending, onDone: "ending", onError: "ending" },
    },
    finishing: {
      invoke: {
        src: "finish",
        input: step,
        onDone: [
          { guard: { type: "hasPendingInput", params: ({ event }) => event.output }, target: "sampling" },
          { target: "ending" },
        ],
        onError: failed,
      },
    },
    ending: {
      on: { "turn.interrupt": {} },
      invoke: { src: "storeEnd", input: ending, onDone: "completed", onError: "completed" },
    },
    interrupting: {
      entry: "abortWork",
      on: { "turn.interrupt": {} },
      initial: "settling",
      states: {
        settling: { invoke: { src: "settle", input: ending, onDone: "storing", onError: "storing" } },
        storing: { invoke: { src: "storeEnd", input: ending, onDone: "#interrupted", onError: "#interrupted" } },
      },
    },
    completed: { type: "final", entry: "publishCompleted" },
    interrupted: { id: "interrupted", type: "final", entry: "publishAborted" },
  },
});
