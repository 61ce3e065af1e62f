import * as z from "zod";
import type { TokenUsage } from "./token-usage.ts";

/**
 * What a budget can bound: tokens (the totals that models report), turns, model requests, milliseconds for which turns run (those of
 * a tree added up), and money in the unit of the prices.
 */
export const BUDGET_KINDS = ["tokens", "turns", "modelRequests", "wallClockMs", "cost"] as const;
/** One of {@link BUDGET_KINDS}. */
export type BudgetKind = (typeof BUDGET_KINDS)[number];

/** How much of each kind. */
export type BudgetAmounts = Readonly<Record<BudgetKind, number>>;

/**
 * `warn`: told, and nothing else. `refuse`: no further request is made; one in flight finishes. `interrupt`: turns that run under
 * the budget are interrupted as well.
 */
export type OverBudget = "warn" | "interrupt" | "refuse";

/** Bounds on what a thread, or a tree of threads, may use. A kind that is left out is not bounded. */
export type Budget = { readonly [K in BudgetKind]?: number | undefined } & {
  /** Default `refuse`. */
  readonly onExceeded?: OverBudget | undefined;
  /** The share of a bound at which it is told that it nears, once. Default 0.8; 1 for never. */
  readonly warnAt?: number | undefined;
  /** Tokens that are set aside for each request until its usage is known. Default: an estimate of what is sent. */
  readonly reserveTokens?: number | undefined;
};

/** Whose budget: of a thread alone, or of a thread and all agents under it. */
export type BudgetScope = "thread" | "tree";

/** One bound, and how much of it is used. */
export type BudgetState = {
  readonly which: BudgetKind;
  readonly used: number;
  readonly max: number;
  /** The thread that the budget was given to. */
  readonly whose: string;
  readonly scope: BudgetScope;
};

/** What a thread's budgets are, and what is used of them and set aside for requests that run. */
export type BudgetUse = {
  readonly budget: Budget | null;
  readonly treeBudget: Budget | null;
  readonly used: BudgetAmounts;
  readonly reserved: BudgetAmounts;
  /** The same of the thread and all under it. */
  readonly tree: { readonly used: BudgetAmounts; readonly reserved: BudgetAmounts };
};

/** Money for a million tokens. */
export type Price = {
  readonly input: number;
  /** Of what the provider had cached. Default: as `input`. */
  readonly cachedInput?: number | undefined;
  readonly output: number;
};

const amount = z.number().min(0);
const amounts = z.object({ tokens: amount, turns: amount, modelRequests: amount, wallClockMs: amount, cost: amount });

export const budgetSchema: z.ZodType<Budget> = z.strictObject({
  ...amounts.partial().shape,
  onExceeded: z.enum(["warn", "interrupt", "refuse"]).optional(),
  warnAt: z.number().gt(0).max(1).optional(),
  reserveTokens: z.int().min(1).optional(),
});

/** What stands of a thread's budgets in its note. */
export const budgetNoteSchema = z.object({
  budget: budgetSchema.nullable(),
  treeBudget: budgetSchema.nullable(),
  used: amounts,
  reserved: amounts,
  tree: z.object({ used: amounts, reserved: amounts }),
});

export const nothingUsed: BudgetAmounts = Object.freeze({
  tokens: 0,
  turns: 0,
  modelRequests: 0,
  wallClockMs: 0,
  cost: 0,
});

export const addAmounts = (a: BudgetAmounts, b: Partial<BudgetAmounts>, sign: 1 | -1 = 1): BudgetAmounts => {
  const sum = (kind: BudgetKind) => Math.max(0, a[kind] + sign * (b[kind] ?? 0));
  return {
    tokens: sum("tokens"),
    turns: sum("turns"),
    modelRequests: sum("modelRequests"),
    wallClockMs: sum("wallClockMs"),
    cost: sum("cost"),
  };
};

const MILLION = 1_000_000;

/** What tokens cost. Cached tokens are a part of the input, reasoning a part of the output. */
export const costOf = (
  { input_tokens, cached_input_tokens, output_tokens }: TokenUsage,
  { input, cachedInput = input, output }: Price,
): number =>
  (Math.max(0, input_tokens - cached_input_tokens) * input +
    cached_input_tokens * cachedInput +
    output_tokens * output) /
  MILLION;
