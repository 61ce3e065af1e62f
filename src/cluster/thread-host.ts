/** What the handles of a connection's threads need of it. */
import type { BudgetUse } from "../protocol/budget.ts";
import type { EventMsg } from "../protocol/event.ts";
import type { SubmissionId, ThreadId } from "../protocol/ids.ts";
import type { Recipient, ThreadMessage } from "../protocol/message.ts";
import type { RolloutLine } from "../protocol/rollout.ts";
import type { StoredTimer } from "../protocol/schedule.ts";
import type { SendOptions } from "../thread/messaging.ts";
import type { WatchHost } from "./remote-watch.ts";
import type { Cancelled, Delivery, Look, Message, Run, TurnAnswer } from "./wire.ts";

/** What runs a thread. */
export type Followed = Pick<Run, "invocation" | "through">;

/** Whose threads they are. */
export interface ThreadHost extends WatchHost {
  look(threadId: ThreadId, signal?: AbortSignal): Promise<Look>;
  lines(
    threadId: ThreadId,
    from: number,
    to: number | undefined,
    signal?: AbortSignal,
  ): AsyncIterable<readonly RolloutLine[]>;
  /** Hands a message in as an invocation of its own. */
  begin(threadId: ThreadId, message: Message, signal?: AbortSignal): Promise<string>;
  /** Hands a message to the invocation that runs the thread; that of an agent is another thread's. */
  deliver(threadId: ThreadId, run: Followed, message: Message, signal?: AbortSignal): Promise<Delivery>;
  /** What an invocation came to. */
  answerOf(invocation: string, signal?: AbortSignal): Promise<TurnAnswer>;
  close(threadId: ThreadId, signal?: AbortSignal): Promise<void>;
  budgetOf(threadId: ThreadId, signal?: AbortSignal): Promise<BudgetUse | undefined>;
  /** Has another thread told something, in this one's name. */
  sendFrom(from: ThreadId, to: Recipient, message: unknown, options: SendOptions | undefined): Promise<SubmissionId>;
  /** @throws MessageRefusedError for what the thread does not take */
  check(threadId: ThreadId, message: ThreadMessage, signal?: AbortSignal): Promise<void>;
  setTimer(threadId: ThreadId, timer: StoredTimer): Promise<void>;
  /** @param set only the one that was set then */
  cancelTimer(threadId: ThreadId, id: string, set?: string): Promise<Cancelled>;
  /** A thread whose events are followed has said something. */
  hear(threadId: ThreadId, msg: EventMsg): void;
}
