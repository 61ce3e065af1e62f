/** What of a thread is there to be looked at without its knowing: no cursor is made, nothing waits, nothing is loaded. */
import type { EventLog } from "../kernel/event-log.ts";
import type { AgentStatus } from "../protocol/agent-status.ts";
import type { ThreadEvent } from "../protocol/event.ts";
import { LiveThread } from "./live-thread.ts";
import type { Thread } from "./thread.ts";

/** The events of a thread's current life that are still in memory; undefined: the thread is none of ours. */
export const retainedEvents = (thread: Thread): Pick<EventLog<ThreadEvent>, "first" | "next" | "get"> | undefined =>
  thread instanceof LiveThread ? thread.incarnation.door.log : undefined;

/** When its current life began (Unix milliseconds), and how many lines it has; undefined: the thread is none of ours. */
export const lifeLookedAt = (thread: Thread): { readonly beganAt: number; readonly lines: number } | undefined =>
  thread instanceof LiveThread
    ? { beganAt: thread.incarnation.life.beganAt, lines: thread.incarnation.writer.position().ordinal }
    : undefined;

/** The snapshot of its actor, with the turn that runs under it; outsiders get one without. Only to be read. */
export const snapshotLookedAt = (thread: Thread): unknown =>
  (thread instanceof LiveThread ? thread.incarnation.actor : thread.actor)?.getSnapshot();

/** What its last turn came to: a failure too, after which the thread is as ready as before. */
export const cameTo = (thread: Thread): AgentStatus => (thread instanceof LiveThread ? thread.outcome : thread.status);
