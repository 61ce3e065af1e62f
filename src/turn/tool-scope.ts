/**
 * Which tool call, or which thread's own logic, asks: known to whatever it does, however deep, without its saying so. It
 * serves two rules.
 *
 * D1  A turn that only waits for other threads lends its place among the running turns to them.
 * D2  A call, or a turn of an own logic, that would wait for its own turn to end, directly or by way of other threads' calls, is refused.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { InvalidRequestError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { TurnRun } from "./turn-run.ts";

/** Who waits, as part of a turn. */
export interface TurnScope {
  readonly threadId: ThreadId;
  /** Nothing that it does now is part of a turn. */
  readonly isOver: boolean;
  /** Whoever it waits for is as urgent as itself, until that is taken back. */
  lendRank(target: ThreadId): () => void;
  beginWait(): void;
  /** Resolves when the turn has its place again. */
  endWait(): Promise<void>;
}

type CallHost = Pick<TurnScope, "threadId" | "lendRank">;

class CallScope implements TurnScope {
  readonly threadId: ThreadId;
  readonly #host: CallHost;
  readonly #run: TurnRun;
  #waits = 0;
  isOver = false;

  constructor(host: CallHost, run: TurnRun) {
    this.threadId = host.threadId;
    this.#host = host;
    this.#run = run;
    run.noteCalls({ running: 1 });
  }

  lendRank(target: ThreadId): () => void {
    return this.#host.lendRank(target);
  }

  beginWait(): void {
    this.#waits += 1;
    if (this.#waits === 1) this.#run.noteCalls({ waiting: 1 });
  }

  /** Resolves when the turn has its place again. */
  async endWait(): Promise<void> {
    if (this.isOver) return;
    this.#waits -= 1;
    if (this.#waits > 0) return;
    this.#run.noteCalls({ waiting: -1 });
    await this.#run.takeBack();
  }

  end(): void {
    this.isOver = true;
    this.#run.noteCalls({ running: -1, waiting: this.#waits > 0 ? -1 : 0 });
  }
}

const scopes = new AsyncLocalStorage<TurnScope | undefined>();

/** Which threads' calls wait for which threads' turns, and how many do: of the whole process, since so are tools. */
const waits = new Map<ThreadId, Map<ThreadId, number>>();

/** The call that whatever runs now belongs to; undefined outside of tools, and once the call has its output. */
export function currentCall(): { readonly threadId: ThreadId } | undefined {
  const scope = scopes.getStore();
  return scope?.isOver ? undefined : scope;
}

/** Does the work of a call. */
export async function inCall<T>(host: CallHost, run: TurnRun, work: () => Promise<T>): Promise<T> {
  const scope = new CallScope(host, run);
  try {
    return await scopes.run(scope, work);
  } finally {
    scope.end();
  }
}

/** Does what a thread's own logic does. */
export const inLogic = <T>(scope: TurnScope, work: () => T): T => scopes.run(scope, work);

/** Does what is no part of the call that has caused it. */
export const outsideCalls = <T>(work: () => T): T =>
  scopes.getStore() === undefined ? work() : scopes.run(undefined, work);

/** Waits for one of some threads, or for what any of them does; outside of tools it is the work alone. */
export async function whileWaiting<T>(targets: readonly ThreadId[], work: () => Promise<T>): Promise<T> {
  const scope = scopes.getStore();
  if (scope === undefined || scope.isOver || targets.includes(scope.threadId)) return work();
  const from = scope.threadId;
  for (const target of targets) count(from, target, 1);
  const lent = targets.map((target) => scope.lendRank(target));
  scope.beginWait();
  try {
    return await work();
  } finally {
    for (const target of targets) count(from, target, -1);
    for (const takeBack of lent) takeBack();
    await scope.endWait();
  }
}

/**
 * Waits for a thread's turn to end.
 * @throws InvalidRequestError when that turn waits for this call
 */
export async function waitForTurn<T>(target: ThreadId, work: () => Promise<T>): Promise<T> {
  const from = currentCall()?.threadId;
  if (from !== undefined && (from === target || waitsFor(target, from))) {
    throw new InvalidRequestError(
      `what thread ${from} does in its turn can't wait for a turn of thread ${target}, which would wait for it; submit the input without waiting for its end, or run it in another thread`,
    );
  }
  return whileWaiting([target], work);
}

function count(from: ThreadId, to: ThreadId, change: number): void {
  const targets = waits.get(from) ?? new Map<ThreadId, number>();
  const now = (targets.get(to) ?? 0) + change;
  if (now === 0) targets.delete(to);
  else targets.set(to, now);
  if (targets.size === 0) waits.delete(from);
  else waits.set(from, targets);
}

function waitsFor(from: ThreadId, target: ThreadId): boolean {
  const seen = new Set<ThreadId>();
  const open = [from];
  for (let at = open.pop(); at !== undefined; at = open.pop()) {
    if (at === target) return true;
    if (seen.has(at)) continue;
    seen.add(at);
    open.push(...(waits.get(at)?.keys() ?? []));
  }
  return false;
}
