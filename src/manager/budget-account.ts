/** What one thread's budgets bound, and how much of them is used. Who spends from them says budgets.ts. */
import { type Clock, elapsedBy } from "../kernel/clock.ts";
import {
  addAmounts,
  BUDGET_KINDS,
  type Budget,
  type BudgetAmounts,
  type BudgetKind,
  type BudgetScope,
  type BudgetState,
  type BudgetUse,
  nothingUsed,
} from "../protocol/budget.ts";
import type { ThreadId } from "../protocol/ids.ts";

const DEFAULT_WARN_AT = 0.8;

/** Kinds of which the use of a request is known only afterwards: the last one may go beyond the bound. */
const ESTIMATED: ReadonlySet<BudgetKind> = new Set<BudgetKind>(["tokens", "cost"]);

/** A turn that spends from a budget. */
export interface Spend {
  /** Whether a request of it runs. */
  readonly isAsking: boolean;
  /** Ends the turn. */
  cut(by: Bound): void;
}

/** One budget: of a thread alone, or of the tree that it is the root of. */
export class Bound {
  readonly whose: ThreadId;
  readonly scope: BudgetScope;
  reserved: BudgetAmounts = nothingUsed;
  readonly #clock: Clock;
  #limits: Budget | null = null;
  #used: BudgetAmounts = nothingUsed;
  /** The turns that run under it; their time is counted by their number, whenever somebody looks. */
  readonly #running = new Set<Spend>();
  #countedAt = 0;
  #timer: unknown;
  readonly #told = new Set<string>();

  constructor(whose: ThreadId, scope: BudgetScope, clock: Clock) {
    this.whose = whose;
    this.scope = scope;
    this.#clock = clock;
  }

  get limits(): Budget | null {
    return this.#limits;
  }

  /** What happens beyond it. */
  get action() {
    return this.#limits?.onExceeded ?? "refuse";
  }

  get used(): BudgetAmounts {
    const now = elapsedBy(this.#clock);
    const wallClockMs = this.#running.size * Math.max(0, now - this.#countedAt);
    this.#countedAt = now;
    if (wallClockMs > 0) this.#used = addAmounts(this.#used, { wallClockMs });
    return this.#used;
  }

  /** What was used in an earlier life. */
  recall(used: BudgetAmounts): void {
    this.#used = used;
  }

  /** From now on other bounds hold; what is used stays. */
  limit(limits: Budget | null): void {
    this.#limits = limits;
    this.#told.clear();
    this.#watchTime();
  }

  /** The turn runs under it, until it leaves. */
  enter(spend: Spend): void {
    if (this.#running.has(spend)) return;
    void this.used;
    this.#running.add(spend);
    this.#watchTime();
  }

  leave(spend: Spend): void {
    void this.used;
    if (this.#running.delete(spend)) this.#watchTime();
  }

  /** Ends the turns that run under it. */
  cut(which: (spend: Spend) => boolean): void {
    for (const spend of [...this.#running]) if (which(spend)) spend.cut(this);
  }

  /** Where turns are to be interrupted by its time, one timer wakes when that may be over. */
  #watchTime(): void {
    this.#clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    const max = this.#limits?.wallClockMs;
    if (max === undefined || this.action !== "interrupt" || this.#running.size === 0) return;
    const leftMs = Math.max(0, max - this.used.wallClockMs) / this.#running.size;
    const call = () => {
      if (this.used.wallClockMs < max) this.#watchTime();
      else this.cut(() => true);
    };
    this.#timer = this.#clock.setTimeout(call, Math.ceil(leftMs));
  }

  reserve(need: BudgetAmounts): void {
    this.reserved = addAmounts(this.reserved, need);
  }

  /** What was set aside is free again, and what was really used is counted. */
  settle(need: BudgetAmounts, real: BudgetAmounts): void {
    this.reserved = addAmounts(this.reserved, need, -1);
    this.#used = addAmounts(this.used, real);
  }

  /** Bounds that have no room for so much more. */
  lacking(need: BudgetAmounts): BudgetState[] {
    return this.#states((which, max) => !this.#hasRoom(which, max, need[which]));
  }

  /** Bounds that are used up. */
  exhausted(): BudgetState[] {
    return this.#states((which, max) => this.used[which] >= max);
  }

  /** Those that near their end, told once each. */
  nearing(): BudgetState[] {
    const share = this.limits?.warnAt ?? DEFAULT_WARN_AT;
    if (share >= 1) return [];
    return this.#once("near", (which, max) => max > 0 && this.used[which] >= max * share && this.used[which] < max);
  }

  /** Those that are used up, told once each. */
  newlyExhausted(): BudgetState[] {
    return this.#once("over", (which, max) => this.used[which] >= max);
  }

  #once(what: string, holds: (which: BudgetKind, max: number) => boolean): BudgetState[] {
    return this.#states((which, max) => {
      if (!holds(which, max) || this.#told.has(`${what} ${which}`)) return false;
      this.#told.add(`${what} ${which}`);
      return true;
    });
  }

  #states(holds: (which: BudgetKind, max: number) => boolean): BudgetState[] {
    const { limits, whose, scope, used } = this;
    if (limits === null) return [];
    return BUDGET_KINDS.flatMap((which) => {
      const max = limits[which];
      return max !== undefined && holds(which, max) ? [{ which, used: used[which], max, whose, scope }] : [];
    });
  }

  /** While nothing else is set aside, whatever is left lets one request through: it may use more, and then it was the last. */
  #hasRoom(which: BudgetKind, max: number, need: number): boolean {
    const left = max - this.used[which];
    if (which === "wallClockMs") return left > 0;
    if (need === 0 && which === "turns") return true;
    return left - this.reserved[which] >= need || (ESTIMATED.has(which) && left > 0 && this.reserved[which] === 0);
  }
}

export class Account {
  readonly threadId: ThreadId;
  readonly own: Bound;
  readonly tree: Bound;

  constructor(threadId: ThreadId, clock: Clock) {
    this.threadId = threadId;
    this.own = new Bound(threadId, "thread", clock);
    this.tree = new Bound(threadId, "tree", clock);
  }

  /** Goes on from what was stored. What a process had set aside that is gone counts as used. */
  recall({ used, reserved, tree }: BudgetUse): void {
    this.own.recall(addAmounts(used, reserved));
    this.tree.recall(addAmounts(tree.used, tree.reserved));
  }

  get use(): BudgetUse {
    const { own, tree } = this;
    return {
      budget: own.limits,
      treeBudget: tree.limits,
      used: own.used,
      reserved: own.reserved,
      tree: { used: tree.used, reserved: tree.reserved },
    };
  }
}
