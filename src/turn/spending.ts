/** What a turn asks for before it asks a model, where budgets are in force. The manager's floor has it done. */
import type { BudgetExceededError } from "../protocol/errors.ts";
import type { EventMsg } from "../protocol/event.ts";
import type { SubmissionId, ThreadId, TurnId } from "../protocol/ids.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";
import type { TokenUsage } from "../protocol/token-usage.ts";

/** What is set aside for one model request. Settled exactly once; a second time does nothing. */
export interface Reservation {
  /**
   * @param usage what the model says that it was; undefined: unknown, and then all that was set aside counts as used
   * @param outcome `refused`: it was never begun, and costs nothing
   */
  settle(usage: TokenUsage | undefined, outcome: "asked" | "refused"): void;
}

/** A turn as a budget sees it. */
export interface SpendingRun {
  readonly id: SubmissionId;
  readonly turnId: TurnId;
  readonly signal: AbortSignal;
  readonly config: Pick<ResolvedThreadConfig, "modelProvider">;
  /** Calls back once, when the turn needs no place any more. */
  onVacated(call: () => void): void;
}

/** A thread as a budget sees it. */
export interface Spender<Run extends SpendingRun = SpendingRun> {
  readonly threadId: ThreadId;
  readonly config: ResolvedThreadConfig;
  readonly origin: "new" | "resumed" | "forked";
  publish(id: SubmissionId, msg: EventMsg): void;
  /** Ends the turn as an interrupt does. */
  cutShort(run: Run, why: BudgetExceededError): void;
}

/** One model request to come. */
export type Asking = {
  readonly model: string;
  /** Tokens that it may come to, as far as that can be told before. */
  estimate(): number;
};

/** Whoever keeps the budgets. */
export interface Budgeting {
  /**
   * Sets aside what the request may use, in every budget from the thread's own up to its root's; undefined where none is in force.
   * @throws BudgetExceededError where one has no room; the signal's reason, where the turn is interrupted by it
   */
  reserve<Run extends SpendingRun>(
    spender: Spender<Run>,
    run: Run,
    asking: Asking,
  ): Promise<Reservation | undefined> | undefined;
  /** What keeps the thread from beginning another turn, as far as that is known without looking. */
  refusal(threadId: ThreadId): BudgetExceededError | undefined;
}

/** What a thread is to be bounded by; what is left out stays, null takes it away. */
export type BudgetChange = Pick<ResolvedThreadConfig, "budget" | "treeBudget">;
