/**
 * A counted number of permits, given out in order of asking.
 *
 * P1 `inUse` never exceeds `limit`.
 * P2 Nobody passes a waiter: a released permit goes straight to the one that has waited longest, without being free
 *    in between.
 * P3 A waiter that gives up leaves the queue at once, and a permit that it was given is its own to release.
 */

import { InvalidRequestError } from "../protocol/errors.ts";
import { onceAborted } from "./abort-listeners.ts";
import { Fifo } from "./fifo.ts";

/** Gives the permit back. Calling it twice does nothing. */
export type Release = () => void;

/** @throws InvalidRequestError for what is no limit of permits: a whole number from 1 on, or Infinity */
export function checkedLimit(limit: number): number {
  if (limit >= 1 && (Number.isInteger(limit) || limit === Number.POSITIVE_INFINITY)) return limit;
  throw new InvalidRequestError(`a limit of slots must be a whole number from 1 on, or Infinity; got ${limit}`);
}

export class Slots {
  readonly limit: number;
  readonly #queue = new Fifo<(release: Release) => void>();
  #inUse = 0;

  /** @param limit a whole number from 1 on, or Infinity */
  constructor(limit: number) {
    this.limit = checkedLimit(limit);
  }

  get inUse(): number {
    return this.#inUse;
  }

  get waiting(): number {
    return this.#queue.size;
  }

  /** A permit, or undefined when all are in use. */
  tryAcquire(): Release | undefined {
    if (this.#inUse >= this.limit) return undefined;
    this.#inUse += 1;
    return this.#permit();
  }

  /** A permit: directly when one is free, else by promise. An abort gives the wait up with `signal.reason`. */
  acquire({ signal }: { readonly signal?: AbortSignal | undefined } = {}): Release | Promise<Release> {
    signal?.throwIfAborted();
    return this.tryAcquire() ?? this.#wait(signal);
  }

  #wait(signal: AbortSignal | undefined): Promise<Release> {
    return new Promise((resolve, reject) => {
      const place = this.#queue.push((release) => {
        stopListening?.();
        resolve(release);
      });
      const stopListening =
        signal &&
        onceAborted(signal, () => {
          this.#queue.remove(place);
          reject(signal.reason);
        });
    });
  }

  #permit(): Release {
    let held = true;
    return () => {
      if (!held) return;
      held = false;
      const admit = this.#queue.shift();
      if (admit === undefined) this.#inUse -= 1;
      else admit(this.#permit());
    };
  }
}
