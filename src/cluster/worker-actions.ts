import type { BudgetUse } from "../protocol/budget.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { ThreadMessage } from "../protocol/message.ts";
import type { StoredTimer } from "../protocol/schedule.ts";
import type { ThreadPage, ThreadQuery } from "../store/thread-store.ts";
import type { Attendance } from "./attendance.ts";
import type { TreeLimits } from "./tree-handlers.ts";
import type { Facts, HistoryPage, HistoryRequest, Look, OpenRequest, StartRequest } from "./wire.ts";

/** What a worker does; every method may be called again for what an earlier one has begun. */
export interface WorkerActions {
  start(threadId: ThreadId, request: StartRequest): Promise<Facts>;
  open(threadId: ThreadId, request: OpenRequest): Promise<Facts>;
  exists(threadId: ThreadId): Promise<boolean>;
  /** @param signal fires when the attempt is over: the thread is let go of */
  attend(threadId: ThreadId, invocation: string, signal: AbortSignal): Promise<Attendance>;
  leave(attendance: Attendance): void;
  /** @returns whether the invocation has made it so, on this worker or an earlier one */
  setState(threadId: ThreadId, state: "removed" | "closed", invocation: string): Promise<boolean>;
  /** What is not there any more is gone. */
  remove(threadId: ThreadId): Promise<void>;
  look(threadId: ThreadId): Promise<Look>;
  history(threadId: ThreadId, request: HistoryRequest): Promise<HistoryPage>;
  budgetOf(threadId: ThreadId): Promise<BudgetUse | undefined>;
  /** @throws MessageRefusedError for what the thread does not take */
  check(threadId: ThreadId, message: ThreadMessage): Promise<void>;
  readonly treeLimits: TreeLimits;
  /** Whether the thread was removed or closed. */
  hasLeft(threadId: ThreadId): Promise<boolean>;
  /** Who has started the thread, who has started that one, and so on. */
  above(threadId: ThreadId): Promise<readonly ThreadId[]>;
  /** The timers that a process outside the engine, or a tool of a worker, has set. */
  timersOf(threadId: ThreadId): Promise<readonly StoredTimer[]>;
  /** The engine has them now. */
  dropTimers(threadId: ThreadId): Promise<void>;
  list(query: ThreadQuery | undefined): Promise<ThreadPage>;
  lineage(threadId: ThreadId, direction: "ancestors" | "descendants"): Promise<readonly ThreadId[]>;
}
