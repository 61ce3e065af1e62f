/** What a server serves: the threads of a manager in this process, or those of a cluster. */
import type { Observable } from "rxjs";
import type { ClusterThread } from "../cluster/index.ts";
import type { ThreadManager } from "../manager/thread-manager.ts";
import type { Threads } from "../manager/threads-face.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { NewThread, Thread, ThreadHandle } from "../thread/thread.ts";
import type { QuestionAnswered } from "../turn/pending-approval.ts";

/** A thread as clients need it. Background commands are a process's own: a cluster's thread has none to show, and its MCP servers are a worker's. */
export interface ServedThread
  extends ThreadHandle,
    Pick<Thread, "pendingUserQuestions">,
    Partial<Pick<Thread, "terminals">>,
    Partial<Pick<ClusterThread, "askServer">> {}

/** A ThreadManager is one. Services are those of the server's own process, wherever its threads run. */
export interface ServedThreads
  extends Pick<
      ThreadManager,
      | ("authManager" | "config" | "environment" | "events$" | "modelsManager" | "skillsManager" | "store")
      | ("listThreadIds" | "listThreads" | "parentOf")
    >,
    Pick<Threads<ServedThread>, "forkThread" | "getThread" | "removeThread" | "resumeThread" | "startThread"> {
  /** A thread that is in memory here at this moment; never loads one. */
  loadedThread(threadId: ThreadId): ServedThread | undefined;
  readonly threadCreated$: Observable<ServedThread>;
  readonly threadClosed$: Observable<{ readonly threadId: ThreadId }>;
  /** Not there where threads run elsewhere: their questions are settled by the end of the turn. */
  readonly questionAnswered$?: Observable<QuestionAnswered>;
  resumeThreadFromRollout(
    ...given: Parameters<ThreadManager["resumeThreadFromRollout"]>
  ): Promise<NewThread<ServedThread>>;
  resumeThreadWithHistory(
    ...given: Parameters<ThreadManager["resumeThreadWithHistory"]>
  ): Promise<NewThread<ServedThread>>;
}
