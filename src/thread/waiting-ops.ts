/**
 * Ops that can't be handed to their thread at once: it is out of memory or its mailbox is full, or the id of an earlier one is
 * still being looked up. They go in the order of their submission, one at a time, and nobody overtakes them (T3).
 *
 * A waiter that gives up leaves the line and no trace. One without a signal or a deadline of its own is refused when for a while
 * nothing in line has moved. A thread that lives again takes them in its next life; the end of the thread answers them all.
 */
import { onceAborted } from "../kernel/abort-listeners.ts";
import { systemClock } from "../kernel/clock.ts";
import { Fifo, type Place } from "../kernel/fifo.ts";
import { OverloadedError, ThreadClosedError } from "../protocol/errors.ts";
import type { SubmissionId, ThreadId } from "../protocol/ids.ts";
import type { Op } from "../protocol/op.ts";
import type { Incarnation } from "./incarnation.ts";
import { type Handing, handOver, isGone } from "./submissions.ts";

/** The thread that they wait for, over all of its lives. */
export interface Destination {
  readonly id: ThreadId;
  readonly incarnation: Incarnation;
  readonly isClosed: boolean;
  /** Its end has been asked for. */
  readonly isEnding: boolean;
  closedError(op?: Op): ThreadClosedError;
  /** Brings a later life, or says why not. */
  bringBack(signal: AbortSignal | undefined, op?: Op): Promise<void>;
}

type Waiting = {
  /** What waits; undefined for one that only wants to know when there is room. */
  readonly handing: Handing | undefined;
  /** Being handed over already, and not done. */
  begun: Promise<SubmissionId> | undefined;
  readonly signal: AbortSignal | undefined;
  readonly since: number;
  settle(outcome: { readonly id: SubmissionId | undefined } | { readonly error: unknown }): void;
};

export const isFull = ({ waitingOps, env }: Incarnation): boolean => waitingOps >= env.mailboxCapacity;

export const overloaded = ({ threadId, waitingOps }: Incarnation): OverloadedError =>
  new OverloadedError(
    `thread ${threadId} has ${waitingOps} ops waiting, and no room; await \`ready()\`, or try again later`,
  );

export class WaitingOps {
  readonly #thread: Destination;
  readonly #line = new Fifo<Waiting>();
  #isServing = false;
  /** When one was handed over last, as {@link systemClock} measures. */
  #movedAt = 0;
  #timer: unknown;
  /** Looks at the mailbox again. */
  #wake: (() => void) | undefined;

  constructor(thread: Destination) {
    this.#thread = thread;
  }

  get size(): number {
    return this.#line.size;
  }

  /** Resolves when the op is handed over. @param begun it is being handed over already */
  enter(handing: Handing, begun?: Promise<SubmissionId>): Promise<SubmissionId> {
    return this.#enter(handing, handing.signal, begun) as Promise<SubmissionId>;
  }

  /** Those that gave way to newer ones are refused, all but what is being handed over: at most one more waits. */
  dropOldest(): void {
    const { incarnation } = this.#thread;
    this.#line.forEach((one) => {
      if (one.handing?.whenFull === "dropOldest" && one.begun === undefined)
        one.settle({ error: overloaded(incarnation) });
    });
  }

  /** Resolves when there is room, after all that wait already. */
  async room(signal: AbortSignal | undefined): Promise<void> {
    await this.#enter(undefined, signal, undefined);
  }

  #enter(
    handing: Handing | undefined,
    signal: AbortSignal | undefined,
    begun: Promise<SubmissionId> | undefined,
  ): Promise<SubmissionId | undefined> {
    const { promise, resolve, reject } = Promise.withResolvers<SubmissionId | undefined>();
    const place: Place<Waiting> = this.#line.push({
      handing,
      begun,
      signal,
      since: performance.now(),
      settle: (outcome) => {
        if (!this.#line.remove(place)) return;
        stopListening?.();
        if ("error" in outcome) reject(outcome.error);
        else resolve(outcome.id);
      },
    });
    const giveUp = () => {
      place.value.settle({ error: signal?.reason });
      this.look();
    };
    const stopListening = signal && onceAborted(signal, giveUp);
    if (!this.#isServing) void this.#serve();
    return promise;
  }

  /** Something has happened that may have made room, or ended the thread. */
  look(): void {
    this.#wake?.();
  }

  async #serve(): Promise<void> {
    this.#isServing = true;
    for (let next = this.#line.first; next !== undefined; next = this.#line.first) {
      try {
        await this.#serveOne(next);
      } catch (error) {
        next.settle({ error });
      }
    }
    this.#isServing = false;
    systemClock.clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  /** Brings the first in line one step further. */
  async #serveOne(first: Waiting): Promise<void> {
    const thread = this.#thread;
    const { handing, begun } = first;
    const { incarnation } = thread;
    if (thread.isClosed) throw thread.closedError(handing?.op);
    if (begun === undefined && isGone(incarnation)) {
      // A thread that is out of memory has room.
      if (handing === undefined) return first.settle({ id: undefined });
      await this.#bringBack(handing);
      return;
    }
    if (begun === undefined && thread.isEnding) throw thread.closedError(handing?.op);
    if (begun === undefined && isFull(incarnation)) return this.#awaitRoom(incarnation);
    this.#movedAt = performance.now();
    first.begun = undefined;
    try {
      const id = handing && (begun ?? handOver(incarnation, handing));
      first.settle({ id: id instanceof Promise ? await id : id });
    } catch (error) {
      // It has left memory meanwhile, and takes what it has not taken in its next life.
      if (!(error instanceof ThreadClosedError)) throw error;
    }
  }

  async #bringBack(handing: Handing): Promise<void> {
    const thread = this.#thread;
    const { incarnation } = thread;
    if (thread.isEnding && incarnation.ended !== undefined) throw thread.closedError(handing.op);
    await thread.bringBack(handing.signal, handing.op);
    // The loader brings a later life, or says why not: a life that has ended does not come back.
    if (thread.incarnation === incarnation && incarnation.ended !== undefined) throw thread.closedError(handing.op);
  }

  async #awaitRoom(incarnation: Incarnation): Promise<void> {
    this.#beginPatience(incarnation.env.roomDeadlineMs);
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    const watching = incarnation.actor.subscribe({ next: () => resolve(), error: () => resolve(), complete: resolve });
    await promise;
    this.#wake = undefined;
    watching.unsubscribe();
  }

  #beginPatience(ms: number): void {
    this.#timer ??= systemClock.setTimeout(() => {
      this.#timer = undefined;
      this.#refuseOverdue(ms);
      if (this.#line.size > 0) this.#beginPatience(ms);
      this.look();
    }, ms);
  }

  /** Those that nothing of their own bounds, when nothing has moved for so long. */
  #refuseOverdue(ms: number): void {
    const { incarnation } = this.#thread;
    if (isGone(incarnation)) return;
    const before = performance.now() - ms + 1;
    this.#line.forEach((one) => {
      if (one.signal !== undefined || one.handing === undefined) return;
      if (Math.max(one.since, this.#movedAt) <= before) one.settle({ error: overloaded(incarnation) });
    });
  }
}
