/** What the handles of a connection's threads need of it. */
import type { EventMsg } from "../protocol/event.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { RemoteMessages } from "./remote-messages.ts";
import type { WatchHost } from "./remote-watch.ts";

/** Whose threads they are. */
export interface ThreadHost extends WatchHost {
  readonly messages: RemoteMessages;
  /** A thread whose events are followed has said something. */
  hear(threadId: ThreadId, msg: EventMsg): void;
}
