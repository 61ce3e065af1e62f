import type { ServerAnswer, ServerAsk } from "../protocol/server-ask.ts";
import type { Subscription } from "../thread/messaging.ts";
import type { Thread, ThreadHandle, WaitOptions } from "../thread/thread.ts";

/** The engine keeps it from when `stored` resolves until it is disposed of or the thread ends, whoever is connected then. */
export interface ClusterSubscription extends Subscription {
  /** Rejects where it can't be kept. What is published later over the same connection waits for it. */
  readonly stored: Promise<void>;
}

/** A thread of a cluster. */
export interface ClusterThread
  extends ThreadHandle,
    Pick<
      Thread,
      | "pendingUserQuestions"
      | "step"
      | "schedule"
      | "cancelTimer"
      | "setPriority"
      | "send"
      | "request"
      | "publish"
      | "monitor"
      | "monitors"
      | "link"
    > {
  /**
   * Calls a tool of one of the workers' MCP servers, or reads a resource, in no turn. What the server asks the user meanwhile is told as an
   * `elicitation_request`. A call whose worker ended is refused, and not made again: it may have done its work. On abort it is given up.
   * @throws DeadlineExceededError, ThreadClosedError
   */
  askServer(ask: ServerAsk, options?: WaitOptions): Promise<ServerAnswer>;
  /** As a thread's own `subscribe`. @throws InvalidRequestError, ThreadClosedError */
  subscribe(topic: string): ClusterSubscription;
  /** Asks how the thread stands: what the handle shows of it is as of the last answer, or the last event where it is listened to. */
  refresh(options?: WaitOptions): Promise<void>;
}
