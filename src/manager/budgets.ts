/**
 * The budgets of threads and of trees of threads, in one place.
 *
 * - A request needs room in every budget from its thread's own up to its root's. That is looked at and set aside in one step, so that
 *   of any number of threads that ask at once, no more get through than there is room for; what was really used is settled after.
 * - A request that is cut, or fails after it had begun, has used all that was set aside for it. One that was turned away costs nothing.
 * - What is used stands in the thread's note, with what is set aside: a process that dies leaves that as used. A fork has no note.
 * - A manager in which nobody has a budget pays one comparison for each request.
 */
import {
  type BudgetAmounts,
  type BudgetState,
  type BudgetUse,
  costOf,
  nothingUsed,
  type Price,
} from "../protocol/budget.ts";
import { BudgetExceededError, InvalidRequestError } from "../protocol/errors.ts";
import type { EventMsg } from "../protocol/event.ts";
import type { SubmissionId, ThreadId, TurnId } from "../protocol/ids.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";
import type { TokenUsage } from "../protocol/token-usage.ts";
import { givenBudgetChange } from "../thread/call-checks.ts";
import type { Asking, BudgetChange, Budgeting, Reservation, Spender, SpendingRun } from "../turn/spending.ts";
import type { Bound, Spend } from "./budget-account.ts";
import { type AccountsHost, BudgetAccounts, limitsSomething } from "./budget-accounts.ts";

/** The prices of models; undefined for one that is not known. */
type Prices = (model: string, provider: string) => Price | undefined;

/** Whose budgets they are. */
export interface BudgetHost extends AccountsHost {
  readonly prices: Prices;
  /** Says something as a thread, if that is in memory. */
  tell(threadId: ThreadId, msg: EventMsg): void;
}

export class Budgets implements Budgeting {
  readonly accounts: BudgetAccounts;
  readonly #host: BudgetHost;
  readonly #spends = new WeakMap<SpendingRun, RunningSpend>();
  /** The turn that was counted last, by the life that it is a part of: the questions of one turn are one turn. */
  readonly #counted = new WeakMap<object, TurnId>();

  constructor(host: BudgetHost) {
    this.#host = host;
    this.accounts = new BudgetAccounts(host);
  }

  reserve<Run extends SpendingRun>(
    spender: Spender<Run>,
    run: Run,
    asking: Asking,
  ): Promise<Reservation | undefined> | undefined {
    this.accounts.noteSettings(spender.config);
    if (this.accounts.isInUse === false && spender.origin === "new") return undefined;
    return this.#reserve(spender, run, asking);
  }

  async #reserve<Run extends SpendingRun>(
    spender: Spender<Run>,
    run: Run,
    { model, estimate }: Asking,
  ): Promise<Reservation | undefined> {
    await this.accounts.look();
    const bounds = await this.accounts.boundsOf(spender.threadId, spender.config);
    if (bounds.length === 0) return undefined;
    const price = this.#host.prices(model, run.config.modelProvider);
    if (price === undefined && bounds.some(({ limits }) => limits?.cost !== undefined)) throw unknownPrice(model);
    const spend = this.#spendOf(spender, run, bounds);
    const said = Math.max(0, ...bounds.map(({ limits }) => limits?.reserveTokens ?? 0));
    const expected = said > 0 ? said : Math.max(1, estimate());
    const need: BudgetAmounts = {
      tokens: expected,
      turns: spend.hasTurn ? 0 : 1,
      modelRequests: 1,
      wallClockMs: 0,
      cost: price === undefined ? 0 : costOf(allOutput(expected), price),
    };
    this.#admit(spender, run, bounds, need);
    for (const bound of bounds) bound.reserve(need);
    spend.isAsking = true;
    const countsTurn = !spend.hasTurn;
    spend.hasTurn = true;
    this.#counted.set(spender, run.turnId);
    let isSettled = false;
    const settle = (usage: TokenUsage | undefined, outcome: "asked" | "refused") => {
      if (isSettled) return;
      isSettled = true;
      if (outcome === "refused" && countsTurn) {
        spend.hasTurn = false;
        this.#counted.delete(spender);
      }
      for (const bound of bounds) bound.settle(need, realUse({ usage, outcome, need, price }));
      spend.isAsking = false;
      this.#heed(spender, run.id, bounds);
    };
    try {
      await this.accounts.store(bounds);
    } catch (error) {
      settle(undefined, "refused");
      throw error;
    }
    return { settle };
  }

  /** @throws BudgetExceededError, which names the nearest; the turn's own reason where that was interrupted by it */
  #admit<Run extends SpendingRun>(
    spender: Spender<Run>,
    run: Run,
    bounds: readonly Bound[],
    need: BudgetAmounts,
  ): void {
    const blocking = bounds.filter((bound) => bound.action !== "warn" && bound.lacking(need).length > 0);
    const [first] = blocking;
    const [nearest, ...others] = blocking.flatMap((bound) => bound.lacking(need));
    if (first === undefined || nearest === undefined) return;
    const error = new BudgetExceededError([nearest, ...others]);
    spender.publish(run.id, exceeded(error, nearest, first.action));
    if (first.action === "interrupt") {
      spender.cutShort(run, error);
      run.signal.throwIfAborted();
    }
    throw error;
  }

  /** More of the bounds is used: who has to know is told, and what a used up one interrupts ends. */
  #heed<Run extends SpendingRun>(spender: Spender<Run>, id: SubmissionId, bounds: readonly Bound[]): void {
    for (const bound of bounds) {
      this.#tell(spender, id, bound);
      if (bound.action === "interrupt" && bound.exhausted().some(isSpentByAsking))
        bound.cut(({ isAsking }) => isAsking);
    }
    this.accounts.storeLater(bounds);
  }

  #tell<Run extends SpendingRun>(spender: Spender<Run>, id: SubmissionId, bound: Bound): void {
    const say = (msg: EventMsg) => {
      spender.publish(id, msg);
      if (bound.whose !== spender.threadId) this.#host.tell(bound.whose, msg);
    };
    for (const state of bound.nearing()) say({ type: "budget_warning", message: nearText(state), ...state });
    if (bound.action !== "warn") return;
    for (const state of bound.newlyExhausted()) say(exceeded(new BudgetExceededError([state]), state, "warn"));
  }

  /** What a turn spends from, from its first request to its end; budgets may come and go meanwhile. */
  #spendOf<Run extends SpendingRun>(spender: Spender<Run>, run: Run, bounds: readonly Bound[]): RunningSpend {
    const spend = this.#spends.get(run) ?? this.#begin(spender, run);
    for (const bound of spend.bounds) if (!bounds.includes(bound)) bound.leave(spend);
    for (const bound of bounds) bound.enter(spend);
    spend.bounds = bounds;
    return spend;
  }

  #begin<Run extends SpendingRun>(spender: Spender<Run>, run: Run): RunningSpend {
    const cut = (by: Bound) => {
      const [nearest, ...others] = by.exhausted();
      if (nearest === undefined) return;
      const error = new BudgetExceededError([nearest, ...others]);
      spender.publish(run.id, exceeded(error, nearest, "interrupt"));
      spender.cutShort(run, error);
    };
    const hasTurn = this.#counted.get(spender) === run.turnId;
    const spend: RunningSpend = { bounds: [], isAsking: false, hasTurn, cut };
    this.#spends.set(run, spend);
    this.accounts.noteSpending(spender.threadId);
    run.onVacated(() => {
      for (const bound of spend.bounds) {
        bound.leave(spend);
        this.#tell(spender, run.id, bound);
      }
      this.accounts.storeLater(spend.bounds);
    });
    return spend;
  }

  // What is asked from outside.

  /** @throws InvalidRequestError for a budget of money where the price is not known; BudgetExceededError for an agent that may not ask */
  async checkStart(config: ResolvedThreadConfig, parent: ThreadId | undefined): Promise<void> {
    const above = this.accounts.isInUse === true && parent !== undefined ? await this.accounts.boundsOf(parent) : [];
    const trees = above.filter(({ scope }) => scope === "tree");
    const bound = [config.budget, config.treeBudget, ...trees.map(({ limits }) => limits)];
    const boundsMoney = bound.some((limits) => limits?.cost !== undefined);
    const { model, modelProvider } = config;
    if (boundsMoney && this.#host.prices(model, modelProvider) === undefined) throw unknownPrice(model);
    const error = refusalOf(trees);
    if (error !== undefined) throw error;
  }

  /** Whether a thread of these settings, or under this one, has to be asked about. */
  concerns(config: ResolvedThreadConfig, parent: ThreadId | undefined): boolean {
    const above = parent === undefined ? undefined : this.#host.configOf(parent);
    this.accounts.noteSettings(config);
    if (above !== undefined) this.accounts.noteSettings(above);
    return limitsSomething(config) || (this.accounts.isInUse === true && parent !== undefined);
  }

  refusal(threadId: ThreadId): BudgetExceededError | undefined {
    return refusalOf(this.accounts.knownBounds(threadId));
  }

  /** Raises or lowers a thread's budgets, from its next request on; resolves when that is stored. What is used stays. */
  async change(threadId: ThreadId, config: ResolvedThreadConfig, change: BudgetChange): Promise<void> {
    const limits = givenBudgetChange(change);
    const boundsMoney = limits.budget?.cost !== undefined || limits.treeBudget?.cost !== undefined;
    if (boundsMoney && this.#host.prices(config.model, config.modelProvider) === undefined)
      throw unknownPrice(config.model);
    const account = (await this.accounts.of(threadId, config)) ?? this.accounts.place(threadId, {});
    if (limits.budget !== undefined) account.own.limit(limits.budget);
    if (limits.treeBudget !== undefined) account.tree.limit(limits.treeBudget);
    await this.accounts.write(account);
  }

  /** The thread's budgets and their use; undefined for one that has none. */
  async useOf(threadId: ThreadId, config: ResolvedThreadConfig): Promise<BudgetUse | undefined> {
    return (await this.accounts.of(threadId, config))?.use;
  }

  /** The same, as far as it is known without looking. */
  peek(threadId: ThreadId): BudgetUse | undefined {
    return this.accounts.peek(threadId)?.use;
  }
}

/** A turn that spends. `hasTurn`: whether it was counted. */
type RunningSpend = Spend & { bounds: readonly Bound[]; isAsking: boolean; hasTurn: boolean };

/** What requests that run use more of; they themselves, and their turns, were let through. */
const isSpentByAsking = ({ which }: BudgetState): boolean => which !== "modelRequests" && which !== "turns";

function realUse({
  usage,
  outcome,
  need,
  price,
}: {
  usage: TokenUsage | undefined;
  outcome: "asked" | "refused";
  need: BudgetAmounts;
  price: Price | undefined;
}): BudgetAmounts {
  if (outcome === "refused") return nothingUsed;
  if (usage === undefined) return need;
  return { ...need, tokens: usage.total_tokens, cost: price === undefined ? 0 : costOf(usage, price) };
}

function refusalOf(bounds: readonly Bound[]): BudgetExceededError | undefined {
  const [nearest, ...others] = bounds.flatMap((bound) => (bound.action === "warn" ? [] : bound.exhausted()));
  return nearest && new BudgetExceededError([nearest, ...others]);
}

/** The dearest that so many tokens can be. */
const allOutput = (tokens: number): TokenUsage => ({
  input_tokens: 0,
  cached_input_tokens: 0,
  output_tokens: tokens,
  reasoning_output_tokens: 0,
  total_tokens: tokens,
});

const unknownPrice = (model: string): InvalidRequestError =>
  new InvalidRequestError(
    `budget.cost: the price of model \`${model}\` is not known; give it in the manager's \`prices\`, or bound tokens instead`,
  );

const exceeded = (
  error: BudgetExceededError,
  state: BudgetState,
  action: "warn" | "interrupt" | "refuse",
): EventMsg => ({
  type: "budget_exceeded",
  message: error.message,
  action,
  ...state,
});

const nearText = ({ which, used, max, whose, scope }: BudgetState): string =>
  `budget nears its end: ${which} of the ${scope === "tree" ? "treeBudget" : "budget"} of thread ${whose}: ${used} of ${max} used`;
