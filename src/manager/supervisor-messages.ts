import type { AnyActorRef } from "xstate";
import type { SupervisorMessage as Message } from "../../machines/supervisor.machine.ts";
import type { SubmissionId, ThreadId } from "../protocol/ids.ts";
import type { InitialHistory } from "../protocol/initial-history.ts";
import type { NewThread, Thread } from "../thread/thread.ts";

/** What each message to the supervisor is answered with. */
export type Replies = {
  "thread.spawn": NewThread;
  "thread.resume": NewThread;
  "thread.fork": NewThread;
  "thread.remove": Thread | undefined;
  "thread.get": Thread;
  "thread.list": readonly ThreadId[];
  "thread.send": SubmissionId;
};

/** The messages of the supervisor, which an orchestrator can use in place of the facade (DESIGN section 4). */
export type SupervisorMessage = Message<Replies>;

/** The message of one type, or of any. */
export type SupervisorRequest<K extends keyof Replies = keyof Replies> = Extract<SupervisorMessage, { type: K }>;

/** What a thread is forked from: a stored thread, a rollout file wherever it lies, or a history in memory. */
export type ForkSource = ThreadId | { rolloutPath: string } | { history: InitialHistory };

/** The supervisor's actor, which takes its messages and nothing else. */
export type SupervisorRef = Omit<AnyActorRef, "send"> & { readonly send: (message: SupervisorMessage) => void };
