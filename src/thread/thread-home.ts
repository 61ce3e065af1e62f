import type { BudgetUse } from "../protocol/budget.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { Op } from "../protocol/op.ts";
import type { ScheduledTimer, ScheduleOptions, When } from "../protocol/schedule.ts";
import type { Priority } from "../protocol/thread-config.ts";
import type { BudgetChange } from "../turn/spending.ts";
import type { ThreadMessenger } from "./messaging.ts";
import type { Handing } from "./submissions.ts";
import type { Link, LinkOptions, Monitor, MonitorOptions } from "./watching.ts";

/** Whoever keeps the timers of threads. */
interface Scheduler {
  schedule(threadId: ThreadId, when: When, op: Op, options: ScheduleOptions): Promise<ScheduledTimer>;
  of(threadId: ThreadId): readonly { readonly id: string; readonly dueAt: number }[];
  cancel(threadId: ThreadId, id: string): ReturnType<ScheduledTimer["cancel"]>;
}

/** Where a handle turns to when its thread is not in memory, or is to be ended by force. */
export interface ThreadHome<Handle> {
  /** Loads the thread again. @throws ThreadClosedError when it is closed for good */
  load(thread: Handle, signal: AbortSignal | undefined): Promise<void>;
  /** Ends the thread now, whatever it does, loaded or not. */
  kill(thread: Handle): Promise<void>;
  readonly timers: Scheduler;
  changeBudget(thread: Handle, change: BudgetChange): Promise<void>;
  changePriority(thread: Handle, priority: Priority): Promise<void>;
  budgetOf(thread: Handle): Promise<BudgetUse | undefined>;
  /** Somebody has begun or ceased to observe the thread: one that is observed must be found again when it is loaded. */
  noteObserved(thread: Handle): void;
  readonly monitors: {
    monitor(watcher: ThreadId, watched: ThreadId, options?: MonitorOptions): Monitor;
    monitors(watcher: ThreadId): Promise<readonly Monitor[]>;
    link(from: ThreadId, to: ThreadId, options?: LinkOptions): Link;
  };
  readonly messages: { messengerOf(threadId: ThreadId): ThreadMessenger };
  /** An op that could not be given to the thread. */
  noteUndelivered(thread: Handle, handing: Pick<Handing, "op" | "id">, error: unknown): void;
}
