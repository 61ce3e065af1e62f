/**
 * The supervisor of one manager's threads.
 *
 *   accepting ──manager.drain──▶ draining ──manager.stop──▶ stopped
 *
 * It admits messages and counts them; the registry, behind its lock, owns the threads (S1). It never waits: `serve`
 * hands a message over to the manager's runtime, which replies when the work is done (S2).
 * In `draining` nothing new is made, while what exists can still be found, spoken to and removed. `stopped` is no final
 * state: whoever asks a closed manager is told so, and waits for nothing.
 */
import { type AnyActorRef, assign, setup, stopChild } from "xstate";
import type { ThreadId } from "../src/protocol/ids.ts";
import type { ForkAnchor, InitialHistory } from "../src/protocol/initial-history.ts";
import type { Op } from "../src/protocol/op.ts";
import type { ThreadConfig } from "../src/protocol/thread-config.ts";
import { notProvided } from "./not-provided.ts";

/** The answer to a message: its value, or the error that the facade would have thrown. */
export type Outcome<T> = { ok: true; value: T } | { ok: false; error: unknown };

/** Every message may carry where to reply, and a signal that abandons it. */
export type Asking<T> = { reply?: (outcome: Outcome<T>) => void; signal?: AbortSignal };

export type ThreadSourceRef = ThreadId | { rolloutPath: string } | { history: InitialHistory };

/** `R` maps each message to the value of its reply; the manager fills in its own thread types. */
export type SupervisorReplies = {
  "thread.spawn": unknown;
  "thread.resume": unknown;
  "thread.fork": unknown;
  "thread.remove": unknown;
  "thread.get": unknown;
  "thread.list": unknown;
  "thread.send": unknown;
};

export type SupervisorMessage<R extends SupervisorReplies = SupervisorReplies> =
  | ({ type: "thread.spawn"; config?: ThreadConfig; options?: unknown } & Asking<R["thread.spawn"]>)
  | ({
      type: "thread.resume";
      threadId?: ThreadId;
      rolloutPath?: string;
      history?: InitialHistory;
      config?: ThreadConfig;
      options?: unknown;
    } & Asking<R["thread.resume"]>)
  | ({ type: "thread.fork"; from: ThreadSourceRef; at?: ForkAnchor; config?: ThreadConfig; options?: unknown } & Asking<
      R["thread.fork"]
    >)
  | ({ type: "thread.remove"; threadId: ThreadId } & Asking<R["thread.remove"]>)
  | ({ type: "thread.get"; threadId: ThreadId } & Asking<R["thread.get"]>)
  | ({ type: "thread.list" } & Asking<R["thread.list"]>)
  | ({ type: "thread.send"; threadId: ThreadId; op: Op; id?: string } & Asking<R["thread.send"]>);

/** From threads and from the manager itself. */
export type SupervisorSignal =
  | { type: "thread.exited"; threadId: ThreadId; epoch?: number; error?: unknown }
  | { type: "thread.stop"; ref: AnyActorRef }
  | { type: "manager.drain" }
  | { type: "manager.stop" };

export type SupervisorEvent = SupervisorMessage | SupervisorSignal;

export type SupervisorContext = { admitted: number; refused: number; exited: number };

export const supervisorMachine = setup({
  types: { context: {} as SupervisorContext, events: {} as SupervisorEvent },
  actions: {
    serve: notProvided("serve"),
    refuse: notProvided("refuse"),
    /** A message that the supervisor does not know; whoever asked is told so. */
    refuseUnknown: notProvided("refuseUnknown"),
    /** A thread's actor has ended: its own word (`thread.exited`), or XState's (`xstate.done|error.actor.<id>`). */
    reap: notProvided("reap"),
    /** Only its parent can stop an actor that has one. */
    stopThread: stopChild(({ event }) => (event as Extract<SupervisorSignal, { type: "thread.stop" }>).ref),
    countAdmitted: assign({ admitted: ({ context }) => context.admitted + 1 }),
    countRefused: assign({ refused: ({ context }) => context.refused + 1 }),
    countExited: assign({ exited: ({ context }) => context.exited + 1 }),
  },
}).createMachine({
  id: "supervisor",
  context: { admitted: 0, refused: 0, exited: 0 },
  initial: "accepting",
  on: {
    "thread.remove": { actions: "serve" },
    "thread.get": { actions: "serve" },
    "thread.list": { actions: "serve" },
    "thread.send": { actions: "serve" },
    "thread.exited": { actions: ["countExited", "reap"] },
    "thread.stop": { actions: "stopThread" },
    "xstate.done.actor.*": { actions: ["countExited", "reap"] },
    "xstate.error.actor.*": { actions: ["countExited", "reap"] },
    "*": { actions: ["countRefused", "refuseUnknown"] },
  },
  states: {
    accepting: {
      on: {
        "thread.spawn": { actions: ["countAdmitted", "serve"] },
        "thread.resume": { actions: ["countAdmitted", "serve"] },
        "thread.fork": { actions: ["countAdmitted", "serve"] },
        "manager.drain": "draining",
      },
    },
    draining: {
      on: {
        "thread.spawn": { actions: ["countRefused", "refuse"] },
        "thread.resume": { actions: ["countRefused", "refuse"] },
        "thread.fork": { actions: ["countRefused", "refuse"] },
        "manager.stop": "stopped",
      },
    },
    stopped: {
      on: { "thread.*": { actions: ["countRefused", "refuse"] } },
    },
  },
});
