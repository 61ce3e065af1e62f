/** The accounts of threads: whose budgets a thread spends from, and what of them is stored. */
import type { Clock } from "../kernel/clock.ts";
import type { SkeinLogger } from "../kernel/log.ts";
import { type BudgetUse, budgetNoteSchema } from "../protocol/budget.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { SessionMeta } from "../protocol/rollout.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";
import { parseWith } from "../protocol/validation.ts";
import { SingleFlight } from "../services/single-flight.ts";
import { ifStored } from "../store/is-stored.ts";
import type { StandingNotes } from "../store/standing-notes.ts";
import type { BudgetChange } from "../turn/spending.ts";
import { Account, type Bound } from "./budget-account.ts";
import { lineageOf } from "./kinship.ts";

/** Whose accounts they are. */
export interface AccountsHost {
  readonly clock: Clock;
  readonly logger: SkeinLogger;
  /** The notes of threads with these settings. */
  notesOf(config: Pick<ResolvedThreadConfig, "ephemeral">): StandingNotes;
  parentOf(threadId: ThreadId): ThreadId | undefined;
  hasAgents(threadId: ThreadId): boolean;
  /** The settings of a thread that is in the manager, also of one that has left memory. */
  configOf(threadId: ThreadId): ResolvedThreadConfig | undefined;
  header(threadId: ThreadId): Promise<SessionMeta>;
}

export const limitsSomething = ({ budget, treeBudget }: BudgetChange): boolean =>
  (budget ?? null) !== null || (treeBudget ?? null) !== null;

export class BudgetAccounts {
  readonly #host: AccountsHost;
  readonly #accounts = new Map<ThreadId, Account>();
  readonly #opening = new Map<ThreadId, Promise<Account | undefined>>();
  /** Threads that are known to have no budget of their own. */
  readonly #unbounded = new Set<ThreadId>();
  /** Threads that have ended while others under them spend from their trees. */
  readonly #ended = new Set<ThreadId>();
  /** Threads that work for another one, which pays. */
  readonly #payers = new Map<ThreadId, ThreadId>();
  /** Of each thread's note. */
  readonly #writes = new SingleFlight<void, ThreadId>();
  #isInUse: boolean | undefined;

  constructor(host: AccountsHost) {
    this.#host = host;
  }

  /** How many threads have an account: for tests, which expect none once all are gone. */
  get size(): number {
    return this.#accounts.size;
  }

  /** Whether anybody has a budget; undefined: nobody has looked yet. */
  get isInUse(): boolean | undefined {
    return this.#isInUse;
  }

  /** A thread of these settings is here. */
  noteSettings(config: BudgetChange): void {
    if (limitsSomething(config)) this.#isInUse = true;
  }

  /** Looks whether any stored thread has a budget. */
  async look(): Promise<void> {
    this.#isInUse ??= (await this.#host.notesOf({ ephemeral: false }).threads("budget")).length > 0;
  }

  /** The thread's own, its tree's, and the trees' above it; the nearest first. Only those that bound something. */
  async boundsOf(threadId: ThreadId, config?: ResolvedThreadConfig): Promise<Bound[]> {
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

  /** The same, as far as they are known without looking, whether they bound something or not. */
  knownBounds(threadId: ThreadId): Bound[] {
    const bounds: Bound[] = [];
    if (this.#accounts.size === 0) return bounds;
    for (let at: ThreadId | undefined = threadId; at !== undefined; at = this.#host.parentOf(at)) {
      const account = this.#accounts.get(at);
      if (account !== undefined) bounds.push(...(at === threadId ? [account.own, account.tree] : [account.tree]));
    }
    return bounds;
  }

  async #above(threadId: ThreadId): Promise<ThreadId | undefined> {
    const parent = this.#host.parentOf(threadId);
    if (parent !== undefined || this.#host.configOf(threadId) !== undefined) return parent;
    // It stands above one that was resumed without it.
    const header = await ifStored(this.#host.header(threadId));
    return header && lineageOf(header)?.parent;
  }

  /** The thread's account; undefined for one that has no budget. */
  async of(threadId: ThreadId, config: ResolvedThreadConfig): Promise<Account | undefined> {
    return this.#accounts.get(threadId) ?? this.#open(threadId, config);
  }

  /** The same, as far as it is known without looking. */
  peek(threadId: ThreadId): Account | undefined {
    return this.#accounts.get(threadId);
  }

  /** Stores what bounds a thread that is about to be there, so that it is bound by it in the next process too. @throws StoreIoError */
  async keep(threadId: ThreadId, config: ResolvedThreadConfig): Promise<void> {
    if (!limitsSomething(config) || this.#accounts.has(threadId)) return;
    const account = await this.#open(threadId, config);
    const notes = this.#host.notesOf(config);
    if (account !== undefined) await this.#writes.ask(threadId, () => notes.write(threadId, "budget", account.use));
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
    // What an account that it had before has left to be written comes first.
    await this.#writes.rest(threadId);
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
    return this.place(threadId, limits, stored);
  }

  /** An account for a thread that had none. */
  place(threadId: ThreadId, limits: BudgetChange, stored?: BudgetUse): Account {
    const account = new Account(threadId, this.#host.clock);
    if (stored !== undefined) account.recall(stored);
    account.own.limit(limits.budget ?? null);
    account.tree.limit(limits.treeBudget ?? null);
    this.#accounts.set(threadId, account);
    this.#unbounded.delete(threadId);
    this.#isInUse = true;
    return account;
  }

  /** What the thread spends, the other one pays, until it is gone. */
  billTo(threadId: ThreadId, payer: ThreadId): void {
    this.#payers.set(threadId, payer);
  }

  /** The thread is at work: if it had ended, it is back. */
  noteSpending(threadId: ThreadId): void {
    this.#ended.delete(threadId);
  }

  /** The thread was another process's so far, which may have spent. Those under it here go on by what is known. */
  noteArriving(threadId: ThreadId): void {
    this.#unbounded.delete(threadId);
    if (!this.#host.hasAgents(threadId)) this.#accounts.delete(threadId);
  }

  /** The thread has ended for good. Its account stays as long as others spend from its tree. */
  forget(threadId: ThreadId): void {
    this.#payers.delete(threadId);
    this.#unbounded.delete(threadId);
    if (!this.#accounts.has(threadId)) return;
    if (this.#host.hasAgents(threadId)) this.#ended.add(threadId);
    else this.#accounts.delete(threadId);
  }

  /** All under the thread have gone; if it has too, nobody spends from its tree any more. */
  noteAlone(threadId: ThreadId): void {
    const hasGone = this.#ended.delete(threadId) || this.#host.configOf(threadId) === undefined;
    if (hasGone) this.#accounts.delete(threadId);
  }

  // What is stored.

  async store(bounds: readonly Bound[]): Promise<void> {
    await Promise.all(this.#accountsOf(bounds).map((account) => this.write(account)));
  }

  storeLater(bounds: readonly Bound[]): void {
    for (const account of this.#accountsOf(bounds)) {
      this.write(account).catch((err: unknown) => {
        this.#host.logger.warn({ threadId: account.threadId, err }, "what is used of a budget could not be stored");
      });
    }
  }

  #accountsOf(bounds: readonly Bound[]): Account[] {
    const ids = new Set(bounds.map(({ whose }) => whose));
    return [...ids].flatMap((id) => this.#accounts.get(id) ?? []);
  }

  /** Stores what an account says now. */
  write(account: Account): Promise<void> {
    const { threadId } = account;
    return this.#writes.ask(threadId, async () => {
      const ephemeral = this.#host.configOf(threadId)?.ephemeral ?? false;
      await this.#host.notesOf({ ephemeral }).write(threadId, "budget", (this.#accounts.get(threadId) ?? account).use);
    });
  }

  /** Resolves when what an account of the thread has left to be written is, or has failed to be. */
  rest(threadId: ThreadId): Promise<void> {
    return this.#writes.rest(threadId);
  }

  /** Resolves when everything is stored, or has failed to be. */
  settled(): Promise<void> {
    return this.#writes.settled();
  }
}
