/** A thread's events as an iterator: those of one incarnation after the other, until the thread is closed. */
import { onceAborted } from "../kernel/abort-listeners.ts";
import { type LinkedSignal, linkSignals } from "../kernel/cancellation.ts";
import { type Cursor, isLagged } from "../kernel/event-log.ts";
import type { Event, ThreadEvent } from "../protocol/event.ts";
import { INITIAL_SUBMISSION_ID } from "../protocol/ids.ts";
import { currentCall, whileWaiting } from "../turn/tool-scope.ts";
import type { Incarnation } from "./incarnation.ts";

/** Who knows which incarnation follows. */
export interface Lives {
  /** Resolves as soon as there is a next one; with undefined when there will be none. */
  following(previous: Incarnation, signal: AbortSignal): Promise<Incarnation | undefined>;
  /** The newest life that is over. */
  readonly past: PastLife;
}

/** A life whose events are gone from memory. The next one hangs on it: a sleeper holds what it sleeps through, the thread only the newest. */
export type PastLife = {
  readonly epoch: number;
  /** The number of its last event. */
  readonly last: number;
  readonly next: PastLife | undefined;
};

type Result = IteratorResult<ThreadEvent, undefined>;

const END: Result = { done: true, value: undefined };

export type StreamOptions = {
  /** As for a cursor of the first incarnation's log. */
  readonly after?: number | undefined;
  readonly signal?: AbortSignal | undefined;
};

export class EventStream implements AsyncIterableIterator<ThreadEvent, undefined> {
  readonly #lives: Lives;
  readonly #signal: AbortSignal | undefined;
  #incarnation: Incarnation;
  #cursor: Cursor<ThreadEvent>;
  /** Lives that came and went while nobody asked for the next event: still to be reported (T2). */
  #missed: readonly PastLife[] = [];
  /** The last of those before the life that is looked at. */
  #past: PastLife;
  /** The wait for the next incarnation. */
  #waiting: LinkedSignal | undefined;
  #isReturned = false;
  /** The last call of `next`, while it is unanswered. */
  #last: Promise<Result> | undefined;

  constructor(lives: Lives, start: Incarnation, { after, signal }: StreamOptions) {
    this.#lives = lives;
    this.#past = lives.past;
    this.#signal = signal;
    this.#incarnation = start;
    this.#cursor = start.door.log.cursor({ after, signal });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Calls that overlap are answered in order. */
  next(): Promise<Result> {
    // A tool that listens to another thread waits for it.
    const step = () =>
      currentCall() === undefined ? this.#step() : whileWaiting([this.#incarnation.threadId], () => this.#step());
    const answer = this.#last === undefined ? step() : this.#last.then(step, step);
    this.#last = answer;
    const forget = () => {
      if (this.#last === answer) this.#last = undefined;
    };
    answer.then(forget, forget);
    return answer;
  }

  /** Ends the iterator, and any `next` that waits. */
  async return(): Promise<Result> {
    this.#isReturned = true;
    this.#waiting?.abort();
    await this.#cursor.return();
    return END;
  }

  async #step(): Promise<Result> {
    for (;;) {
      if (this.#isReturned) return END;
      const [missed, ...others] = this.#missed;
      this.#missed = others;
      if (missed !== undefined) return { done: false, value: this.#told(missed.epoch, { from: 0, to: missed.last }) };
      const { done, value } = await this.#cursor.next();
      if (!done)
        return { done: false, value: isLagged(value) ? this.#told(this.#incarnation.epoch, value.lagged) : value };
      const next = this.#isReturned ? undefined : await this.#following();
      if (next === undefined) return END;
      this.#goOnWith(next);
    }
  }

  #goOnWith(next: Incarnation): void {
    const over = livesAfter(this.#past).filter(({ epoch }) => epoch < next.epoch);
    this.#missed = over.filter(({ epoch }) => epoch > this.#incarnation.epoch);
    this.#past = over.at(-1) ?? this.#past;
    this.#incarnation = next;
    this.#cursor = next.door.log.cursor({ after: -1, signal: this.#signal });
  }

  async #following(): Promise<Incarnation | undefined> {
    const waiting = linkSignals(this.#signal);
    this.#waiting = waiting;
    try {
      return await this.#lives.following(this.#incarnation, waiting.signal);
    } catch (error) {
      if (this.#isReturned) return undefined;
      throw error;
    } finally {
      this.#waiting = undefined;
      waiting[Symbol.dispose]();
    }
  }

  #told(epoch: number, { from, to }: { from: number; to: number }): ThreadEvent {
    const { threadId, clock } = this.#incarnation;
    return {
      threadId,
      seq: to,
      epoch,
      time: clock.now(),
      id: INITIAL_SUBMISSION_ID,
      msg: { type: "lagged", from, to },
    };
  }
}

function livesAfter(life: PastLife): PastLife[] {
  const lives: PastLife[] = [];
  for (let { next } = life; next !== undefined; { next } = next) lives.push(next);
  return lives;
}

/** One event at a time, for callers that may give up: what one of them leaves is the next one's. */
export class EventPull {
  readonly #stream: EventStream;
  #pulled: Pulled | undefined;

  constructor(stream: EventStream) {
    this.#stream = stream;
  }

  /**
   * Callers that overlap get an event each, in their order; none gets a `session_configured`.
   * @param wait waits as long as its caller wants to
   * @returns undefined when there are no more
   */
  async next(wait: (within: Pulled["within"]) => Promise<Result>): Promise<Event | undefined> {
    for (;;) {
      this.#pulled ??= new Pulled(this.#stream.next());
      const pulled = this.#pulled;
      const { done, value } = await wait((signal) => pulled.within(signal));
      if (done) return undefined;
      if (this.#pulled !== pulled) continue;
      this.#pulled = undefined;
      if (value.msg.type !== "session_configured") return { id: value.id, msg: value.msg };
    }
  }
}

/** An event on its way. Who gives up leaves nothing behind: a promise holds all that have ever waited for it. */
class Pulled {
  readonly #result: Promise<Result>;
  readonly #waiting = new Set<PromiseWithResolvers<Result>>();
  #isHere = false;

  constructor(result: Promise<Result>) {
    this.#result = result;
    result.then(
      (value) => this.#tell(({ resolve }) => resolve(value)),
      (error: unknown) => this.#tell(({ reject }) => reject(error)),
    );
  }

  #tell(one: (waiter: PromiseWithResolvers<Result>) => void): void {
    this.#isHere = true;
    for (const waiter of this.#waiting) one(waiter);
  }

  /** Rejects with the signal's reason if that comes first. */
  async within(signal: AbortSignal | undefined): Promise<Result> {
    signal?.throwIfAborted();
    if (this.#isHere) return this.#result;
    const waiter = Promise.withResolvers<Result>();
    const stop = signal && onceAborted(signal, () => waiter.reject(signal.reason));
    this.#waiting.add(waiter);
    try {
      return await waiter.promise;
    } finally {
      this.#waiting.delete(waiter);
      stop?.();
    }
  }
}
