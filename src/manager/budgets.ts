/**
 * The budgets of threads and of trees of threads, in one place.
 *
 * - A request needs room in every budget from its thread's own up to its root's. That is looked at and set aside in one step, so that
 *   of any number of threads that ask at once, no more get through than there is room for; what was really used is settled after.
 * - A request that is cut, or fails after it had begun, has used all that was set aside for it. One that was turned away costs nothing.
 * - What is used stands in the thread's note, with what is set aside: a process that dies leaves that as used. A fork has no note.
 * - A manager in which nobody has a budget pays one comparison for each request.
 */
import type { Clock } from "../kernel/clock.ts";
import { elapsedBy } from "../kernel/clock.ts";
import type { SkeinLogger } from "../kernel/log.ts";
import {
  type BudgetAmounts,
  type BudgetState,
  type BudgetUse,
  budgetNoteSchema,
  budgetSchema,
  costOf,
  nothingUsed,
  type Price,
} from "../protocol/budget.ts";
import { BudgetExceededError, InvalidRequestError, RolloutNotFoundError } from "../protocol/errors.ts";
import type { EventMsg } from "../protocol/event.ts";
import type { SubmissionId, ThreadId, TurnId } from "../protocol/ids.ts";
import type { SessionMeta } from "../protocol/rollout.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";
import type { TokenUsage } from "../protocol/token-usage.ts";
import { parseWith } from "../protocol/validation.ts";
import { SingleFlight } from "../services/single-flight.ts";
import type { StandingNotes } from "../store/standing-notes.ts";
import type { Asking, BudgetChange, Budgeting, Reservation, Spender, SpendingRun } from "../turn/spending.ts";
import { Account, type Bound, type Spend } from "./budget-account.ts";
import { lineageOf } from "./kinship.ts";

/** The prices of models; undefined for one that is not known. */
type Prices = (model: string, provider: string) => Price | undefined;

/** Whose budgets they are. */
export interface BudgetHost {
  readonly clock: Clock;
  readonly logger: SkeinLogger;
  readonly prices: Prices;
  /** The notes of threads with these settings. */
  notesOf(config: Pick<ResolvedThreadConfig, "ephemeral">): StandingNotes;
  parentOf(threadId: ThreadId): ThreadId | undefined;
  hasAgents(threadId: ThreadId): boolean;
  /** The settings of a thread that is in the manager, also of one that has left memory. */
  configOf(threadId: ThreadId): ResolvedThreadConfig | undefined;
  header(threadId: ThreadId): Promise<SessionMeta>;
  /** Says something as a thread, if that is in memory. */
  tell(threadId: ThreadId, msg: EventMsg): void;
}

const limitsSomething = ({ budget, treeBudget }: BudgetChange): boolean =>
  (budget ?? null) !== null || (treeBudget ?? null) !== null;

export class Budgets implements Budgeting {
  readonly #host: BudgetHost;
  readonly #accounts = new Map<ThreadId, Account>();
  readonly #opening = new Map<ThreadId, Promise<Account | undefined>>();
  /** Threads that are known to have no budget of their own. */
  readonly #unbounded = new Set<ThreadId>();
  /** Threads that have ended while others under them spend from their trees. */
  readonly #ended = new Set<ThreadId>();
  /** Threads that work for another one, which pays. */
  readonly #payers = new Map<ThreadId, ThreadId>();
  readonly #spends = new WeakMap<SpendingRun, RunningSpend>();
  /** The turn that was counted last, by the life that it is a part of: the questions of one turn are one turn. */
  readonly #counted = new WeakMap<object, TurnId>();
  /** Of each account's note. */
  readonly #writes = new SingleFlight<void, Account>();
  /** undefined: nobody has looked yet. */
  #isInUse: boolean | undefined;

  constructor(host: BudgetHost) {
    this.#host = host;
  }

  /** How many threads have an account: for tests, which expect none once all are gone. */
  get size(): number {
    return this.#accounts.size;
  }

  reserve<Run extends SpendingRun>(
    spender: Spender<Run>,
    run: Run,
    asking: Asking,
  ): Promise<Reservation | undefined> | undefined {
    if (limitsSomething(spender.config)) this.#isInUse = true;
    if (this.#isInUse === false && spender.origin === "new") return undefined;
    return this.#reserve(spender, run, asking);
  }

  async #reserve<Run extends SpendingRun>(
    spender: Spender<Run>,
    run: Run,
    { model, estimate }: Asking,
  ): Promise<Reservation | undefined> {
    this.#isInUse ??= (await this.#host.notesOf({ ephemeral: false }).threads("budget")).length > 0;
    const bounds = await this.#boundsOf(spender.threadId, spender.config);
    if (bounds.length === 0) return undefined;
    const price = this.#host.prices(model, run.config.modelProvider);
    if (price === undefined && bounds.some(({ limits }) => limits?.cost !== undefined)) throw unknownPrice(model);
    const spend = this.#spendOf(spender, run, bounds);
    spend.charge();
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
      this.#settle(spender, spend, bounds, need, realUse({ usage, outcome, need, price }));
    };
    try {
      await this.#store(bounds);
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

  #settle<Run extends SpendingRun>(
    spender: Spender<Run>,
    spend: RunningSpend,
    bounds: readonly Bound[],
    need: BudgetAmounts,
    real: BudgetAmounts,
  ): void {
    for (const bound of bounds) bound.settle(need, real);
    spend.isAsking = false;
    spend.charge();
    for (const bound of bounds) {
      this.#tell(spender, spend.id, bound);
      if (bound.action !== "interrupt" || !bound.exhausted().some(isSpentByAsking)) continue;
      for (const other of [...bound.running]) if (other.isAsking) other.cut(bound);
    }
    this.#storeLater(bounds);
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

  /** What a turn spends from, from its first request to its end. */
  #spendOf<Run extends SpendingRun>(spender: Spender<Run>, run: Run, bounds: readonly Bound[]): RunningSpend {
    const known = this.#spends.get(run);
    if (known !== undefined) {
      known.bounds = bounds;
      return known;
    }
    const { clock } = this.#host;
    const spend = new RunningSpend(run.id, bounds, clock, (bound) => {
      const [nearest, ...others] = bound.exhausted();
      if (nearest === undefined) return;
      const error = new BudgetExceededError([nearest, ...others]);
      spender.publish(run.id, exceeded(error, nearest, "interrupt"));
      spender.cutShort(run, error);
    });
    this.#spends.set(run, spend);
    spend.hasTurn = this.#counted.get(spender) === run.turnId;
    for (const bound of bounds) {
      bound.running.add(spend);
      this.#watchTime(bound);
    }
    run.onVacated(() => {
      spend.charge();
      for (const bound of spend.bounds) {
        bound.running.delete(spend);
        this.#tell(spender, run.id, bound);
        this.#watchTime(bound);
      }
      this.#storeLater(spend.bounds);
    });
    return spend;
  }

  /** One timer for each budget of time that turns run under, where they are to be interrupted by it. */
  #watchTime(bound: Bound): void {
    const { clock } = this.#host;
    const max = bound.limits?.wallClockMs;
    if (max === undefined || bound.action !== "interrupt" || bound.running.size === 0) {
      bound.watch(clock, undefined);
      return;
    }
    for (const spend of bound.running) spend.charge();
    const leftMs = Math.max(0, max - bound.used.wallClockMs) / bound.running.size;
    const call = () => {
      for (const spend of bound.running) spend.charge();
      if (bound.used.wallClockMs < max) this.#watchTime(bound);
      else for (const spend of [...bound.running]) spend.cut(bound);
    };
    bound.watch(clock, { afterMs: Math.ceil(leftMs), call });
  }

  // Whose budgets a thread spends from.

  /** The thread's own, its tree's, and the trees' above it; the nearest first. Only those that bound something. */
  async #boundsOf(threadId: ThreadId, config?: ResolvedThreadConfig): Promise<Bound[]> {
    const payer = this.#payers.get(threadId);
    const first = payer ?? threadId;
    const bounds: Bound[] = [];
    for (let at: ThreadId | undefined = first; at !== undefined; at = await this.#above(at)) {
      const account = this.#accounts.get(at) ?? (await this.#open(at, at === threadId ? config : undefined));
      if (account === undefined) continue;
      if (at === first) bounds.push(account.own);
      bounds.push(account.tree);
    }
    return bounds.filter(({ limits }) => limits !== null);
  }

  async #above(threadId: ThreadId): Promise<ThreadId | undefined> {
    const parent = this.#host.parentOf(threadId);
    if (parent !== undefined || this.#host.configOf(threadId) !== undefined || this.#accounts.has(threadId))
      return parent;
    // It stands above one that was resumed without it.
    try {
      return lineageOf(await this.#host.header(threadId))?.parent;
    } catch (error) {
      if (error instanceof RolloutNotFoundError) return undefined;
      throw error;
    }
  }

  #open(threadId: ThreadId, given: ResolvedThreadConfig | undefined): Promise<Account | undefined> {
    const opening = this.#opening.get(threadId);
    if (opening !== undefined) return opening;
    const config = given ?? this.#host.configOf(threadId);
    if (this.#unbounded.has(threadId) && !(config && limitsSomething(config))) return Promise.resolve(undefined);
    const work = this.#read(threadId, config).finally(() => this.#opening.delete(threadId));
    this.#opening.set(threadId, work);
    return work;
  }

  /** @throws InvalidRequestError for a note that can't be read: what it bounds is not known */
  async #read(threadId: ThreadId, config: ResolvedThreadConfig | undefined): Promise<Account | undefined> {
    const { ephemeral = false, budget, treeBudget } = config ?? {};
    const note = await this.#host.notesOf({ ephemeral }).read(threadId, "budget");
    const stored =
      note === undefined ? undefined : parseWith(budgetNoteSchema, note, `the budget of thread ${threadId}`);
    const limits = {
      budget: budget === undefined ? (stored?.budget ?? null) : budget,
      treeBudget: treeBudget === undefined ? (stored?.treeBudget ?? null) : treeBudget,
    };
    if (stored === undefined && !limitsSomething(limits)) {
      this.#unbounded.add(threadId);
      return undefined;
    }
    return this.#place(threadId, limits, stored);
  }

  #place(threadId: ThreadId, limits: BudgetChange, stored?: BudgetUse): Account {
    const account = new Account(threadId);
    if (stored !== undefined) account.recall(stored);
    account.own.limit(limits.budget ?? null);
    account.tree.limit(limits.treeBudget ?? null);
    this.#accounts.set(threadId, account);
    this.#unbounded.delete(threadId);
    this.#isInUse = true;
    return account;
  }

  // What is asked from outside.

  /** @throws InvalidRequestError for a budget of money where the price is not known; BudgetExceededError for an agent that may not ask */
  async checkStart(config: ResolvedThreadConfig, parent: ThreadId | undefined): Promise<void> {
    const above = this.#isInUse === true && parent !== undefined ? await this.#boundsOf(parent) : [];
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
    if (limitsSomething(config)) this.#isInUse = true;
    else if (parent !== undefined && this.#isInUse !== true) {
      const above = this.#host.configOf(parent);
      if (above !== undefined && limitsSomething(above)) this.#isInUse = true;
    }
    return limitsSomething(config) || (this.#isInUse === true && parent !== undefined);
  }

  refusal(threadId: ThreadId): BudgetExceededError | undefined {
    if (this.#accounts.size === 0) return undefined;
    const bounds: Bound[] = [];
    for (let at: ThreadId | undefined = threadId; at !== undefined; at = this.#host.parentOf(at)) {
      const account = this.#accounts.get(at);
      if (account !== undefined) bounds.push(...(at === threadId ? [account.own, account.tree] : [account.tree]));
    }
    return refusalOf(bounds);
  }

  /** Raises or lowers a thread's budgets, from its next request on; resolves when that is stored. What is used stays. */
  async change(threadId: ThreadId, config: ResolvedThreadConfig, { budget, treeBudget }: BudgetChange): Promise<void> {
    const read = (name: string, given: unknown) =>
      given === null || given === undefined ? given : parseWith(budgetSchema, given, name);
    const limits = { budget: read("budget", budget), treeBudget: read("treeBudget", treeBudget) };
    const boundsMoney = limits.budget?.cost !== undefined || limits.treeBudget?.cost !== undefined;
    if (boundsMoney && this.#host.prices(config.model, config.modelProvider) === undefined)
      throw unknownPrice(config.model);
    const found = this.#accounts.get(threadId) ?? (await this.#open(threadId, config));
    const account = found ?? this.#place(threadId, {});
    if (limits.budget !== undefined) account.own.limit(limits.budget);
    if (limits.treeBudget !== undefined) account.tree.limit(limits.treeBudget);
    for (const bound of [account.own, account.tree]) this.#watchTime(bound);
    await this.#write(account);
  }

  /** The thread's budgets and their use; undefined for one that has none. */
  async useOf(threadId: ThreadId, config: ResolvedThreadConfig): Promise<BudgetUse | undefined> {
    const account = this.#accounts.get(threadId) ?? (await this.#open(threadId, config));
    for (const spend of account?.tree.running ?? []) spend.charge();
    for (const spend of account?.own.running ?? []) spend.charge();
    return account?.use;
  }

  /** The same, as far as it is known without looking. */
  peek(threadId: ThreadId): BudgetUse | undefined {
    return this.#accounts.get(threadId)?.use;
  }

  /** What the thread spends, the other one pays, until it is gone. */
  billTo(threadId: ThreadId, payer: ThreadId): void {
    this.#payers.set(threadId, payer);
  }

  /** The thread has ended for good. */
  forget(threadId: ThreadId): void {
    this.#payers.delete(threadId);
    this.#unbounded.delete(threadId);
    if (this.#accounts.has(threadId)) this.#ended.add(threadId);
    for (const id of this.#ended) {
      if (this.#host.hasAgents(id)) continue;
      this.#ended.delete(id);
      this.#accounts.delete(id);
    }
  }

  // What is stored.

  async #store(bounds: readonly Bound[]): Promise<void> {
    await Promise.all(this.#accountsOf(bounds).map((account) => this.#write(account)));
  }

  #storeLater(bounds: readonly Bound[]): void {
    for (const account of this.#accountsOf(bounds)) {
      this.#write(account).catch((err: unknown) => {
        this.#host.logger.warn({ threadId: account.threadId, err }, "what is used of a budget could not be stored");
      });
    }
  }

  #accountsOf(bounds: readonly Bound[]): Account[] {
    const ids = new Set(bounds.map(({ whose }) => whose));
    return [...ids].flatMap((id) => this.#accounts.get(id) ?? []);
  }

  #write(account: Account): Promise<void> {
    const { threadId } = account;
    return this.#writes.ask(account, async () => {
      const ephemeral = this.#host.configOf(threadId)?.ephemeral ?? false;
      await this.#host.notesOf({ ephemeral }).write(threadId, "budget", account.use);
    });
  }

  /** Resolves when everything is stored, or has failed to be. */
  settled(): Promise<void> {
    return this.#writes.settled();
  }
}

/** A turn that spends. */
class RunningSpend implements Spend {
  readonly id: SubmissionId;
  bounds: readonly Bound[];
  isAsking = false;
  /** Whether the turn was counted. */
  hasTurn = false;
  readonly #clock: Clock;
  readonly #cut: (by: Bound) => void;
  #countedAt: number;

  constructor(id: SubmissionId, bounds: readonly Bound[], clock: Clock, cut: (by: Bound) => void) {
    this.id = id;
    this.bounds = bounds;
    this.#clock = clock;
    this.#cut = cut;
    this.#countedAt = elapsedBy(clock);
  }

  charge(): void {
    const now = elapsedBy(this.#clock);
    const wallClockMs = Math.max(0, now - this.#countedAt);
    this.#countedAt = now;
    if (wallClockMs > 0) for (const bound of this.bounds) bound.spend({ wallClockMs });
  }

  cut(by: Bound): void {
    this.#cut(by);
  }
}

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
