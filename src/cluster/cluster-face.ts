/** A cluster's threads, as a program sees them. */
import type { Observable } from "rxjs";
import type { Threads } from "../manager/threads-face.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { ThreadMessage } from "../protocol/message.ts";
import type { Messenger, PublishReport, SendOptions } from "../thread/messaging.ts";
import type { ClusterThread } from "./cluster-thread.ts";

/** An agent of a turn, and the thread whose turn has started it. */
export type StartedAgent = { readonly thread: ClusterThread; readonly parentThreadId: ThreadId };

/** A cluster's threads: what a ThreadManager does in one process, over all workers. */
export interface Cluster extends Threads<ClusterThread> {
  /** As a thread's own `send`, from nobody. @throws as `ThreadManager.send` */
  send: Messenger["send"];
  /** As a thread's own `request`, from nobody. @throws as `ThreadManager.request` */
  request: Messenger["request"];
  /** Publishes in the tree that a thread is in, as a thread's own `publish` does. @throws as `ThreadManager.publish` */
  publish(
    tree: ThreadId | string,
    topic: string,
    message: ThreadMessage,
    options?: SendOptions,
  ): Promise<PublishReport>;
  /**
   * The agents that turns start or take up again, of threads whose events are followed here. Whoever subscribes to an agent's events as it
   * is told hears all of them, also where it has begun meanwhile.
   */
  readonly agents$: Observable<StartedAgent>;
  /** Ends the connection. The cluster's threads go on. */
  close(): Promise<void>;
}
