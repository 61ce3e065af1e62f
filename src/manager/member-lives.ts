import type { ThreadId } from "../protocol/ids.ts";
import type { ShutdownReport } from "./shutdown-report.ts";

/** How the threads of a group live, as their group sees it. */
export interface MemberLives {
  /** Has a thread live again that is down, or that is in the store alone. */
  bringBack(threadId: ThreadId): Promise<void>;
  /** Ends this life of a thread, and not the thread: it is down until it is brought back. */
  suspend(threadId: ThreadId, deadlineMs: number): Promise<void>;
  endMember(
    threadId: ThreadId,
    how: { readonly deadlineMs: number; readonly hasFailed: boolean },
  ): Promise<keyof ShutdownReport>;
}
