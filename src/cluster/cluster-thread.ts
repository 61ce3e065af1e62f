import type { Thread, ThreadHandle, WaitOptions } from "../thread/thread.ts";

/** A thread of a cluster. */
export interface ClusterThread
  extends ThreadHandle,
    Pick<Thread, "pendingUserQuestions" | "schedule" | "cancelTimer" | "setPriority" | "send" | "monitor" | "link"> {
  /** Asks how the thread stands: what the handle shows of it is as of the last answer, or the last event where it is listened to. */
  refresh(options?: WaitOptions): Promise<void>;
}
