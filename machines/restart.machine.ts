/**
 * The restart intensity of one thread, as OTP supervisors count it: at most `maxRestarts` within `periodMs`.
 *
 *   up ──thread.crashed──▶ backingOff ──(delay)──▶ up          while the intensity holds
 *    └───thread.crashed──▶ gaveUp                              once it is exceeded
 *
 * Made on a thread's first crash, so that threads that never crash pay nothing for it.
 */
import { assign, emit, setup } from "xstate";

export type RestartInput = {
  maxRestarts: number;
  periodMs: number;
  backoffMs: number;
  maxBackoffMs: number;
};

/** `at` is the time of the crash in Unix milliseconds: the machine itself reads no clock. */
export type RestartEvent = { type: "thread.crashed"; at: number };

export type RestartEmitted = { type: "restart.due"; attempt: number } | { type: "restart.gaveUp"; crashes: number };

/** `crashes` holds times within the period only, so never more than `maxRestarts` + 1. */
export type RestartContext = RestartInput & { crashes: number[] };

const recent = (context: RestartContext, at: number): number[] =>
  [...context.crashes.filter((time) => at - time < context.periodMs), at].slice(-(context.maxRestarts + 1));

export const restartMachine = setup({
  types: {
    context: {} as RestartContext,
    events: {} as RestartEvent,
    input: {} as RestartInput,
    emitted: {} as RestartEmitted,
  },
  actions: {
    noteCrash: assign({ crashes: ({ context, event }) => recent(context, event.at) }),
    announceRestart: emit(({ context }) => ({ type: "restart.due", attempt: context.crashes.length })),
    announceGivingUp: emit(({ context }) => ({ type: "restart.gaveUp", crashes: context.crashes.length })),
  },
  guards: {
    exceedsIntensity: ({ context, event }) => recent(context, event.at).length > context.maxRestarts,
  },
  delays: {
    backoff: ({ context }) => Math.min(context.maxBackoffMs, context.backoffMs * 2 ** (context.crashes.length - 1)),
  },
}).createMachine({
  id: "restart",
  context: ({ input }) => ({ ...input, crashes: [] }),
  initial: "up",
  states: {
    up: {
      on: {
        "thread.crashed": [
          { guard: "exceedsIntensity", target: "gaveUp", actions: "noteCrash" },
          { target: "backingOff", actions: "noteCrash" },
        ],
      },
    },
    backingOff: {
      after: { backoff: { target: "up", actions: "announceRestart" } },
      on: { "thread.crashed": { actions: "noteCrash" } },
    },
    gaveUp: { type: "final", entry: "announceGivingUp" },
  },
});
