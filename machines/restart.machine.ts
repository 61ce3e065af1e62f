/**
 * The restart intensity of one thread, as OTP supervisors count it: at most `maxRestarts` within `periodMs`.
 *
 *   up ──thread.crashed──▶ backingOff ──(delay)──▶ up          while the intensity holds
 *    │                         ▲   └── restart.refused ┘       (uncounted: it was not the thread's fault)
 *    └───thread.crashed──▶ gaveUp                              once it is exceeded
 *
 * A thread that was given up can be resumed by hand. That neither counts nor clears the count: its next counter begins
 * with the crashes of the last one.
 *
 * Made on a thread's first crash, so that threads that never crash pay nothing for it.
 */
import { assign, emit, setup } from "xstate";

/** The restart rule and the crashes so far (Unix milliseconds). */
export type RestartInput = {
  maxRestarts: number;
  periodMs: number;
  backoffMs: number;
  maxBackoffMs: number;
  /** How much of a delay is left to chance: 0.5 makes it between half as long and as long. Default 0. */
  jitter?: number;
  /** Times of earlier crashes. Default: none. */
  crashes?: readonly number[];
};

/**
 * `at` is the time of the crash in milliseconds of a clock that is never set; `chance` is a random number from 0 up to 1.
 * The machine itself knows neither clock nor chance.
 */
export type RestartEvent =
  | { type: "thread.crashed"; at: number; chance?: number }
  | { type: "restart.refused"; chance?: number };

/** What the machine decided. */
export type RestartEmitted = { type: "restart.due"; attempt: number } | { type: "restart.gaveUp"; crashes: number };

/** `crashes` holds times within the period only, so never more than `maxRestarts` + 1. */
export type RestartContext = Omit<RestartInput, "crashes"> & { crashes: readonly number[]; chance: number };

const recent = (context: RestartContext, at: number): readonly number[] =>
  [...context.crashes.filter((time) => at - time < context.periodMs), at].slice(-(context.maxRestarts + 1));

/** Milliseconds from now, a back-off's begin, until it is over. */
export const restartDelayOf = ({
  crashes,
  backoffMs,
  maxBackoffMs,
  jitter = 0,
  chance,
}: Pick<RestartContext, "crashes" | "backoffMs" | "maxBackoffMs" | "jitter" | "chance">): number =>
  Math.min(maxBackoffMs, backoffMs * 2 ** Math.max(0, crashes.length - 1)) * (1 - jitter * chance);

const crashed = [
  { guard: "exceedsIntensity", target: "gaveUp", actions: "noteCrash" },
  { target: "backingOff", reenter: true, actions: "noteCrash" },
] as const;

/**
 * Decides whether, and after how many milliseconds, a failed thread is restarted: OTP's restart intensity. Pure: time comes
 * with the events.
 */
export const restartMachine = setup({
  types: {
    context: {} as RestartContext,
    events: {} as RestartEvent,
    input: {} as RestartInput,
    emitted: {} as RestartEmitted,
  },
  actions: {
    noteCrash: assign({
      crashes: ({ context, event }) => (event.type === "thread.crashed" ? recent(context, event.at) : context.crashes),
      chance: ({ event }) => event.chance ?? 0,
    }),
    announceRestart: emit(({ context }) => ({ type: "restart.due", attempt: context.crashes.length })),
    announceGivingUp: emit(({ context }) => ({ type: "restart.gaveUp", crashes: context.crashes.length })),
  },
  guards: {
    exceedsIntensity: ({ context, event }) =>
      event.type === "thread.crashed" && recent(context, event.at).length > context.maxRestarts,
  },
  delays: {
    backoff: ({ context }) => restartDelayOf(context),
  },
}).createMachine({
  id: "restart",
  context: ({ input }) => ({ ...input, crashes: input.crashes ?? [], chance: 0 }),
  initial: "up",
  states: {
    up: {
      on: { "thread.crashed": crashed, "restart.refused": { target: "backingOff", actions: "noteCrash" } },
    },
    backingOff: {
      after: { backoff: { target: "up", actions: "announceRestart" } },
      on: { "thread.crashed": crashed },
    },
    gaveUp: { type: "final", entry: "announceGivingUp" },
  },
});
