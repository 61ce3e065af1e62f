/**
 * What threads work toward. An active goal begins a turn of its own as soon as its thread has nothing to do, and another
 * one after each turn that is completed, until the model says that it is reached or blocked, its budget is used, a turn
 * fails, or somebody interrupts: then the next turn of the user's has to end first.
 */

import { type Clock, elapsedBy, sleep } from "../../kernel/clock.ts";
import type { SkeinLogger } from "../../kernel/log.ts";
import { InvalidRequestError } from "../../protocol/errors.ts";
import type { ThreadEvent } from "../../protocol/event.ts";
import type { ToolContext } from "../../protocol/function-tool.ts";
import { newTurnId, type ThreadId } from "../../protocol/ids.ts";
import type { TokenUsageInfo } from "../../protocol/token-usage.ts";
import type { ServedThread, ServedThreads } from "../served-threads.ts";
import type { Told } from "../v2/wire-types.ts";
import { goalPrompt } from "./goal-prompt.ts";
import type { Goal, ThreadMemos } from "./thread-memos.ts";

export type GoalChange = {
  readonly objective?: string | undefined;
  readonly status?: Goal["status"] | undefined;
  /** null takes the budget away. */
  readonly tokenBudget?: number | null | undefined;
};

export type GoalParts = {
  readonly manager: Pick<ServedThreads, "loadedThread">;
  readonly memos: ThreadMemos;
  readonly clock: Clock;
  readonly logger: SkeinLogger;
  readonly broadcast: (told: Told) => void;
  /** Tells what is told before each turn. */
  readonly announceTurn: (thread: ServedThread) => void;
  /** Once it has fired, no turn begins by itself. */
  readonly ending: AbortSignal;
};

const MOST_CHARS = 4_000;
const COSTS_DEADLINE_MS = 1_000;

export class Goals {
  readonly #parts: GoalParts;
  /** Tokens of each thread as they were last told. */
  readonly #tokens = new Map<ThreadId, number>();
  /** Calls of the model that wait for what its answer has cost. */
  readonly #waiting = new Map<ThreadId, Set<() => void>>();
  /** Turns in which models have set the goals of their threads: what is done toward one is a part of that turn's work. */
  readonly #roots = new Map<ThreadId, string>();
  /** When the clock of an active goal began, and what it had come to. */
  readonly #clocks = new Map<ThreadId, { readonly since: number; readonly seconds: number }>();

  constructor(parts: GoalParts) {
    this.#parts = parts;
  }

  async read(threadId: ThreadId): Promise<Goal | null> {
    return (await this.#parts.memos.read(threadId)).goal;
  }

  /** @throws InvalidRequestError */
  async set(threadId: ThreadId, change: GoalChange): Promise<Goal> {
    checkGoal(change);
    const before = this.#timed(threadId, await this.read(threadId));
    const goal = this.#changed(threadId, before, change);
    if (change.objective !== undefined) this.#roots.delete(threadId);
    await this.#keep(threadId, goal);
    return goal;
  }

  #changed(threadId: ThreadId, before: Goal | null, { objective, status, tokenBudget }: GoalChange): Goal {
    const now = this.#seconds();
    if (before === null && objective === undefined) {
      throw new InvalidRequestError(`cannot update goal for thread ${threadId}: no goal exists`);
    }
    const fresh = { status: "active", tokenBudget: null, tokensUsed: 0, timeUsedSeconds: 0, createdAt: now } as const;
    const old = before ?? { ...fresh, objective: "" };
    const budget = tokenBudget === undefined ? old.tokenBudget : tokenBudget;
    const asked = status ?? old.status;
    const isSpent = asked === "active" && budget !== null && old.tokensUsed >= budget;
    return {
      ...old,
      objective: objective?.trim() ?? old.objective,
      tokenBudget: budget,
      status: isSpent ? "budgetLimited" : asked,
      updatedAt: now,
    };
  }

  /** false: there was none. */
  async clear(threadId: ThreadId): Promise<boolean> {
    const goal = await this.read(threadId);
    if (goal === null) return false;
    const turnId = this.#parts.manager.loadedThread(threadId)?.activeTurn?.turnId;
    if (turnId !== undefined && goal.status === "active") this.tell(threadId, this.#timed(threadId, goal), turnId);
    this.#clocks.delete(threadId);
    this.#tokens.delete(threadId);
    this.#roots.delete(threadId);
    await this.#parts.memos.change(threadId, () => ({ goal: null }));
    return true;
  }

  tell(threadId: ThreadId, goal: Goal | null, turnId: string | null = null): void {
    this.#parts.broadcast(
      goal === null
        ? { method: "thread/goal/cleared", params: { threadId } }
        : { method: "thread/goal/updated", params: { threadId, turnId, goal: shownGoal(threadId, goal) } },
    );
  }

  /** Begins a turn toward the goal, if it is active and the thread has nothing to do. Waits for nothing. */
  goOn(threadId: ThreadId): void {
    if (this.#parts.ending.aborted) return;
    const { goal } = this.#parts.memos.peek(threadId);
    const thread = this.#parts.manager.loadedThread(threadId);
    if (goal?.status !== "active" || thread === undefined || thread.activeTurn !== undefined) return;
    this.#begin(thread, goal).catch((err: unknown) => {
      this.#parts.logger.warn({ err, threadId }, "a turn toward the goal could not begin");
    });
  }

  async #begin(thread: ServedThread, goal: Goal): Promise<void> {
    const items = [{ type: "text" as const, text: goalPrompt(goal), text_elements: [] }];
    this.#parts.announceTurn(thread);
    const root = this.#roots.get(thread.id);
    const op = { type: "user_input", items, is_internal: true, root_turn_id: root } as const;
    await thread.submitWithId({ id: newTurnId(), isNew: true, op });
  }

  /** Before its clients are told: what the goal comes to by a failure stands before the failure. */
  onFailure({ threadId, msg }: ThreadEvent): void {
    const { goal } = this.#parts.memos.peek(threadId);
    const turnId = this.#parts.manager.loadedThread(threadId)?.activeTurn?.turnId;
    if (msg.type !== "error" || goal?.status !== "active" || turnId === undefined) return;
    const status = msg.codex_error_info === "usage_limit_exceeded" ? "usageLimited" : "blocked";
    this.#update(threadId, { ...goal, status }, turnId);
  }

  /** After its clients have been told. */
  onTokens({ threadId, msg }: ThreadEvent): void {
    if (msg.type !== "token_count" || !msg.info) return;
    this.#count(threadId, msg.info);
    for (const resolve of this.#waiting.get(threadId) ?? []) resolve();
    this.#waiting.delete(threadId);
  }

  /**
   * A call begins before its answer has ended; what the answer has cost counts before what the call changes.
   * The call goes on even where it is not reported.
   */
  async #costsOf(threadId: ThreadId, signal: AbortSignal): Promise<void> {
    const timer = new AbortController();
    const told = new Promise<void>((resolve) => {
      const waiting = this.#waiting.get(threadId) ?? new Set();
      this.#waiting.set(threadId, waiting.add(resolve));
    });
    const late = sleep(this.#parts.clock, COSTS_DEADLINE_MS, AbortSignal.any([signal, timer.signal]));
    await Promise.race([told, late.catch(() => undefined)]);
    timer.abort();
    signal.throwIfAborted();
  }

  #count(threadId: ThreadId, { total_token_usage: total, last_token_usage: last }: TokenUsageInfo): void {
    const { goal } = this.#parts.memos.peek(threadId);
    if (goal === null) return;
    const told = total.input_tokens + total.output_tokens;
    const before = this.#tokens.get(threadId) ?? told - last.input_tokens - last.output_tokens;
    this.#tokens.set(threadId, told);
    const turnId = this.#parts.manager.loadedThread(threadId)?.activeTurn?.turnId;
    if (goal.status !== "active" || told <= before || turnId === undefined) return;
    const tokensUsed = goal.tokensUsed + told - before;
    const isSpent = goal.tokenBudget !== null && tokensUsed >= goal.tokenBudget;
    this.#update(threadId, { ...goal, tokensUsed, status: isSpent ? "budgetLimited" : "active" }, turnId);
  }

  #update(threadId: ThreadId, changed: Goal, turnId: string): void {
    const goal = { ...this.#timed(threadId, changed), updatedAt: this.#seconds() };
    this.#parts.memos.note(threadId, () => ({ goal }));
    if (goal.status !== "active") this.#clocks.delete(threadId);
    this.tell(threadId, goal, turnId);
  }

  /** What the model does with its goal. @throws InvalidRequestError, whose text the model reads */
  async setByModel({ threadId, turnId, signal }: ToolContext, change: GoalChange): Promise<Goal> {
    await this.#costsOf(threadId, signal);
    const thread = this.#parts.manager.loadedThread(threadId);
    if (thread?.config.ephemeral === true)
      throw new InvalidRequestError("this thread is not stored, and can have no goal");
    const goal = await this.set(threadId, change);
    if (change.objective !== undefined) this.#roots.set(threadId, turnId);
    this.tell(threadId, goal, turnId);
    return goal;
  }

  async #keep(threadId: ThreadId, goal: Goal): Promise<void> {
    if (goal.status !== "active") this.#clocks.delete(threadId);
    else if (!this.#clocks.has(threadId)) this.#startClock(threadId, goal);
    const told = this.#parts.manager.loadedThread(threadId)?.tokenUsage?.total_token_usage;
    if (told !== undefined) this.#tokens.set(threadId, told.input_tokens + told.output_tokens);
    await this.#parts.memos.change(threadId, () => ({ goal }));
  }

  #startClock(threadId: ThreadId, { timeUsedSeconds }: Goal): void {
    this.#clocks.set(threadId, { since: elapsedBy(this.#parts.clock), seconds: timeUsedSeconds });
  }

  /** The goal with the time that it has taken by now. */
  #timed<G extends Goal | null>(threadId: ThreadId, goal: G): G {
    if (goal === null) return goal;
    const clock = this.#clocks.get(threadId);
    if (clock === undefined) {
      if (goal.status === "active") this.#startClock(threadId, goal);
      return goal;
    }
    const timeUsedSeconds = clock.seconds + Math.floor((elapsedBy(this.#parts.clock) - clock.since) / 1000);
    return { ...goal, timeUsedSeconds };
  }

  #seconds(): number {
    return Math.floor(this.#parts.clock.now() / 1000);
  }
}

export const shownGoal = (threadId: ThreadId, goal: Goal) => ({ threadId, ...goal });

/** @throws InvalidRequestError */
function checkGoal({ objective, tokenBudget }: GoalChange): void {
  if (objective !== undefined && objective.trim() === "") {
    throw new InvalidRequestError("goal objective must not be empty");
  }
  if (objective !== undefined && [...objective.trim()].length > MOST_CHARS) {
    throw new InvalidRequestError(`goal objective must be at most ${MOST_CHARS} characters`);
  }
  if (typeof tokenBudget === "number" && tokenBudget <= 0) {
    throw new InvalidRequestError("goal budgets must be positive when provided");
  }
}
