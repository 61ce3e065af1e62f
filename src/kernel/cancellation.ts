/**
 * Cancellation as a tree of AbortSignals.
 *
 * - An abort travels down only, with its reason unwrapped. A controller fires once; replace it, never re-arm it.
 * - A listener on a longer-lived signal stops listening as soon as the outcome is known.
 * - The loser of a race is never an unhandled rejection, and its timer does not stay armed.
 */
import { DeadlineExceededError } from "../protocol/errors.ts";
import { onceAborted } from "./abort-listeners.ts";
import type { Clock } from "./clock.ts";

/** A child of other signals. Disposing it cuts it off from its parents and does not abort it. */
export interface LinkedSignal extends Disposable {
  readonly signal: AbortSignal;
  abort(reason?: unknown): void;
}

/** A signal that aborts with the first of its parents, or by its own `abort`. */
export function linkSignals(...signals: readonly (AbortSignal | undefined)[]): LinkedSignal {
  const controller = new AbortController();
  const parents = signals.filter((parent) => parent !== undefined);
  let stops: readonly (() => void)[] = [];
  const unlink = () => {
    for (const stop of stops) stop();
  };
  const abort = (reason?: unknown) => {
    unlink();
    controller.abort(reason);
  };
  const onParentAbort = () => abort(parents.find((parent) => parent.aborted)?.reason);

  if (parents.some((parent) => parent.aborted)) onParentAbort();
  else stops = parents.map((parent) => onceAborted(parent, onParentAbort));
  return { signal: controller.signal, abort, [Symbol.dispose]: unlink };
}

/** The promise's outcome, or a rejection with `signal.reason` if the abort comes first. */
export function raceAbort<T>(promise: PromiseLike<T>, signal: AbortSignal | undefined): Promise<T> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) reject(signal.reason);
    const stopListening = signal?.aborted === false ? onceAborted(signal, () => reject(signal.reason)) : undefined;
    promise.then(
      (value) => {
        stopListening?.();
        resolve(value);
      },
      (error: unknown) => {
        stopListening?.();
        reject(error);
      },
    );
  });
}

export type DeadlineOptions = {
  readonly deadlineMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly clock: Clock;
};

/**
 * The work's outcome, unless the deadline or an abort comes first. Work given as a function gets a signal that aborts
 * in both cases; work given as a promise goes on unobserved. An already aborted signal keeps the function from running.
 *
 * @throws DeadlineExceededError, whose message names `what`; or `signal.reason`.
 */
export async function withDeadline<T>(
  what: string,
  work: PromiseLike<T> | ((signal: AbortSignal) => PromiseLike<T>),
  { deadlineMs, signal, clock }: DeadlineOptions,
): Promise<T> {
  const link = linkSignals(signal);
  const timer =
    deadlineMs === undefined
      ? undefined
      : clock.setTimeout(() => link.abort(new DeadlineExceededError(what, deadlineMs)), deadlineMs);
  try {
    if (typeof work !== "function") return await raceAbort(work, link.signal);
    link.signal.throwIfAborted();
    return await raceAbort(work(link.signal), link.signal);
  } finally {
    if (timer !== undefined) clock.clearTimeout(timer);
    link[Symbol.dispose]();
  }
}
