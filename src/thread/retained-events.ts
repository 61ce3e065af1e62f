import type { EventLog } from "../kernel/event-log.ts";
import type { ThreadEvent } from "../protocol/event.ts";
import { LiveThread } from "./live-thread.ts";
import type { Thread } from "./thread.ts";

/**
 * The events of a thread's current life that are still in memory, to be looked at: no cursor is made, nothing waits.
 * undefined: its life is over, or the thread is none of ours.
 */
export const retainedEvents = (thread: Thread): Pick<EventLog<ThreadEvent>, "first" | "next" | "get"> | undefined =>
  thread instanceof LiveThread ? thread.incarnation.door.log : undefined;
