import type { SupervisorMessage as Message, Outcome } from "../../machines/supervisor.machine.ts";
import type { ForkAnchor } from "../protocol/fork-anchor.ts";
import type { SubmissionId, ThreadId } from "../protocol/ids.ts";
import type { InitialHistory } from "../protocol/initial-history.ts";
import type { NewThread, Thread } from "../thread/thread.ts";
import type { ThreadOptions } from "./thread-maker.ts";

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
export type SupervisorRequest<K extends keyof Replies = keyof Replies> = Extract<SupervisorMessage, { type: K }>;
export type { Outcome };

/** Where a thread is resumed from: exactly one of the three. */
export type ResumeSource = { threadId: ThreadId } | { rolloutPath: string } | { history: InitialHistory };
export type ForkSource = ThreadId | { rolloutPath: string } | { history: InitialHistory };
export type ForkRequest = {
  from: ForkSource;
  at?: ForkAnchor | undefined;
  config?: import("../protocol/thread-config.ts").ThreadConfig | undefined;
};
export type { ThreadOptions };
