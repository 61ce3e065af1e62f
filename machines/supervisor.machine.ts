/**
 * The supervisor of one manager's threads.
 *
 *   accepting ──manager.drain──▶ draining ──manager.stop──▶ stopped
 *
 * It owns the registry of its threads (S1), and says what every message and every end comes to. No action waits: one that
 * has more to do than look something up goes on by itself and replies when it is done, so a slow store or a thread that
 * hangs holds nobody up (S2).
 *
 *   thread.spawn    startThread    reserves a place, makes and boots the thread, commits it; on failure undoes all of it
 *   thread.resume   resumeThread   the same from the store; a thread that is there, or is on its way, is the answer
 *   thread.fork     forkThread     the same, from a place in another thread's history
 *   thread.remove   removeThread   takes the thread out and gives it back, working
 *   thread.get      findThread     the thread, loaded again if it has left memory
 *   thread.list     listThreads    the ids of those in memory
 *   thread.send     sendToThread   finds the thread and gives it an op
 *
 *   thread.exited   endThread      its actor has ended: the thread is closed, or has crashed and goes down
 *   thread.down     awaitRestart   it lives again after its back-off; who wants it meanwhile waits
 *   restart.due     restartThread  the back-off is over
 *   restart.gaveUp  giveUpThread   it crashed too often: it is closed, and its rollout stays
 *   lease.lost      loseThread     another process writes it now: it is closed here at once
 *
 * While it drains nothing is made and nothing restarts: a thread that crashes then is closed. What exists can be found,
 * spoken to and removed until it has ended. `stopped` is no final state: a caller of a closed manager is told so.
 *
 * A signal is told from a message by where it comes from: the manager lets none through that it has not made itself, and
 * turns what nobody knows into `message.refused` (src/manager/supervisor-gate.ts). So no type of event that an outsider
 * chooses ever reaches this machine, which remembers each one that it meets.
 */
import { type AnyActorRef, setup, stopChild } from "xstate";
import type { ThreadId } from "../src/protocol/ids.ts";
import type { ForkAnchor, InitialHistory } from "../src/protocol/initial-history.ts";
import type { Op } from "../src/protocol/op.ts";
import type { ThreadConfig } from "../src/protocol/thread-config.ts";
import { notProvided } from "./not-provided.ts";

/** The answer to a message: its value, or the error that the facade would have thrown. */
export type Outcome<T> = { ok: true; value: T } | { ok: false; error: unknown };

/**
 * Every message may carry where to reply, a signal that abandons it, and what to do where a mailbox is full, the supervisor's or a
 * thread's: by default the supervisor refuses the message, and `ask` waits.
 */
type Asking<T> = {
  reply?: (outcome: Outcome<T>) => void;
  signal?: AbortSignal | undefined;
  whenFull?: "wait" | "reject" | undefined;
};

type ThreadSourceRef = ThreadId | { rolloutPath: string } | { history: InitialHistory };

/** `R` maps each message to the value of its reply; the manager fills in its own thread types. */
type SupervisorReplies = {
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
  | { type: "thread.exited"; threadId: ThreadId }
  | { type: "thread.down"; threadId: ThreadId }
  | { type: "thread.stop"; ref: AnyActorRef }
  | { type: "restart.due"; threadId: ThreadId }
  | { type: "restart.gaveUp"; threadId: ThreadId; crashes: number }
  | { type: "lease.lost"; threadId: ThreadId; error: Error }
  | { type: "message.refused"; error: Error; reply?: (outcome: Outcome<never>) => void }
  | { type: "manager.drain" }
  | { type: "manager.stop" };

/** All that the supervisor takes: an orchestrator's messages, and the manager's own signals. */
export type SupervisorEvent = SupervisorMessage | SupervisorSignal;

/** `makeRegistry` is called once, when the actor is made. */
export type SupervisorInput<Registry> = { makeRegistry: () => Registry };

/** The supervisor owns the registry, and nobody else. */
export type SupervisorContext<Registry> = { registry: Registry };

/** The machine, with a registry of the manager's own type. */
export const supervisorMachineOf = <Registry>() =>
  setup({
    types: {
      context: {} as SupervisorContext<Registry>,
      events: {} as SupervisorEvent,
      input: {} as SupervisorInput<Registry>,
    },
    actions: {
      startThread: notProvided("startThread"),
      resumeThread: notProvided("resumeThread"),
      forkThread: notProvided("forkThread"),
      removeThread: notProvided("removeThread"),
      findThread: notProvided("findThread"),
      listThreads: notProvided("listThreads"),
      sendToThread: notProvided("sendToThread"),
      endThread: notProvided("endThread"),
      awaitRestart: notProvided("awaitRestart"),
      restartThread: notProvided("restartThread"),
      giveUpThread: notProvided("giveUpThread"),
      loseThread: notProvided("loseThread"),
      /** The manager is closing, or closed. */
      refuse: notProvided("refuse"),
      /** Nobody knows what the message means; its sender is told so. */
      refuseUnknown: notProvided("refuseUnknown"),
      /** Only its parent can stop an actor that has one. */
      stopThread: stopChild(({ event }) => (event as Extract<SupervisorSignal, { type: "thread.stop" }>).ref),
    },
  }).createMachine({
    id: "supervisor",
    context: ({ input }) => ({ registry: input.makeRegistry() }),
    initial: "accepting",
    on: {
      "thread.remove": { actions: "removeThread" },
      "thread.get": { actions: "findThread" },
      "thread.list": { actions: "listThreads" },
      "thread.send": { actions: "sendToThread" },
      "thread.exited": { actions: "endThread" },
      "thread.stop": { actions: "stopThread" },
      "lease.lost": { actions: "loseThread" },
      "restart.gaveUp": { actions: "giveUpThread" },
      "message.refused": { actions: "refuseUnknown" },
    },
    states: {
      accepting: {
        on: {
          "thread.spawn": { actions: "startThread" },
          "thread.resume": { actions: "resumeThread" },
          "thread.fork": { actions: "forkThread" },
          "thread.down": { actions: "awaitRestart" },
          "restart.due": { actions: "restartThread" },
          "manager.drain": "draining",
        },
      },
      draining: {
        on: {
          "thread.spawn": { actions: "refuse" },
          "thread.resume": { actions: "refuse" },
          "thread.fork": { actions: "refuse" },
          "thread.down": { actions: "giveUpThread" },
          "restart.due": { actions: "giveUpThread" },
          "manager.stop": "stopped",
        },
      },
      stopped: {
        on: {
          "thread.spawn": { actions: "refuse" },
          "thread.resume": { actions: "refuse" },
          "thread.fork": { actions: "refuse" },
          "thread.remove": { actions: "refuse" },
          "thread.get": { actions: "refuse" },
          "thread.list": { actions: "refuse" },
          "thread.send": { actions: "refuse" },
          "thread.down": { actions: "giveUpThread" },
        },
      },
    },
  });

/**
 * The supervisor: which messages it takes while it accepts, closes and has closed. Its actions are named here and provided by
 * the manager.
 */
export const supervisorMachine = supervisorMachineOf<unknown>();
