/**
 * A sequenced log in memory: bounded, replayable, read by any number of cursors.
 *
 * - Sequence numbers count from 0 without gaps. An append that is refused uses none up.
 * - The log retains the events `first` to `next - 1`, at most `capacity` of them, in storage that grows with them.
 * - A cursor is an index into the log. It yields every event after its start once and in order; where events were
 *   dropped before it came to them, it yields one `lagged` with exactly their numbers, and goes on at `first`.
 * - No consumer's code runs inside append, trim or close. Waiting cursors resume in microtasks, the longest waiting first.
 * - The log holds on to a cursor only while that cursor waits. A cursor holds on to its signal from its first wait
 *   until it ends, returns or is aborted.
 * - After close nothing is appended; cursors drain what is retained, then end, or reject once with the closing error.
 */

import { InternalDefect, InvalidRequestError } from "../protocol/errors.ts";
import { onceAborted } from "./abort-listeners.ts";
import { Fifo, type Place } from "./fifo.ts";

/** The events `from` to `to`, both included, were dropped before the cursor came to them. */
export type Lagged = { readonly lagged: { readonly from: number; readonly to: number } };

export const isLagged = (item: NonNullable<unknown>): item is Lagged =>
  typeof item === "object" && "lagged" in item && typeof item.lagged === "object";

export type EventLogOptions<E> = {
  /** How many events are retained at most. */
  readonly capacity: number;
  /** Refuses an event by throwing, before anything has changed. */
  readonly guard?: ((event: E, seq: number) => void) | undefined;
};

export type CursorOptions = {
  /** Starts behind this event; -1 starts at the first one ever. Default: only what comes from now on. */
  readonly after?: number | undefined;
  readonly signal?: AbortSignal | undefined;
};

/** One consumer's place in the log. Calls of `next` that overlap are answered in order. */
export interface Cursor<E> extends AsyncIterableIterator<E | Lagged, undefined>, Disposable {
  /** Rejects with `signal.reason` once the cursor's signal is aborted. */
  next(): Promise<IteratorResult<E | Lagged, undefined>>;
  /** What is there already; undefined when nothing is, see {@link done}. Throws where `next` would reject. */
  tryNext(): E | Lagged | undefined;
  /** Ends the cursor, and any `next` that waits. */
  return(): Promise<IteratorResult<E | Lagged, undefined>>;
  /** Whether it has yielded its last. */
  readonly done: boolean;
}

export class EventLog<E extends NonNullable<unknown>> {
  readonly capacity: number;
  readonly #guard: ((event: E, seq: number) => void) | undefined;
  /** The event of `seq` stands at `seq % length`. */
  #ring: (E | undefined)[] = [];
  #first = 0;
  #next = 0;
  #closed = false;
  #error: unknown;
  #waiting: Fifo<LogCursor<E>> | undefined;

  constructor({ capacity, guard }: EventLogOptions<E>) {
    if (!Number.isInteger(capacity) || capacity < 1) {
      throw new InvalidRequestError(`an event log's capacity must be a whole number from 1 on; got ${capacity}`);
    }
    this.capacity = capacity;
    this.#guard = guard;
  }

  /** The number of the oldest event retained; equal to {@link next} when there is none. */
  get first(): number {
    return this.#first;
  }

  /** The number that the next event will have. */
  get next(): number {
    return this.#next;
  }

  get size(): number {
    return this.#next - this.#first;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** What the log was closed with, if anything. */
  get error(): unknown {
    return this.#error;
  }

  /** How many cursors wait for the next event. */
  get waiting(): number {
    return this.#waiting?.size ?? 0;
  }

  /** The event, unless it was dropped or is still to come. */
  get(seq: number): E | undefined {
    return seq >= this.#first && seq < this.#next ? this.#ring[seq % this.#ring.length] : undefined;
  }

  /**
   * Builds the event of the next number, adds it and gives it back.
   *
   * @throws InternalDefect if the log is closed or `build` appends; and whatever the guard throws.
   */
  append(build: (seq: number) => E): E {
    const seq = this.#next;
    if (this.#closed) throw new InternalDefect(`event ${seq} was appended to a closed event log`);
    const event = build(seq);
    this.#guard?.(event, seq);
    if (this.#next !== seq || this.#closed) throw new InternalDefect(`the log changed while event ${seq} was built`);
    if (this.size === this.#ring.length) {
      if (this.size < this.capacity) this.#resize(Math.min(this.capacity, Math.max(1, 2 * this.size)));
      else this.#first += 1;
    }
    this.#ring[seq % this.#ring.length] = event;
    this.#next = seq + 1;
    this.#wake();
    return event;
  }

  /** Drops all but the last `keep` events, and the storage of the others. */
  trim(keep: number): void {
    if (!Number.isInteger(keep) || keep < 0) {
      throw new InvalidRequestError(`an event log can keep 0 or more events; got ${keep}`);
    }
    this.#first = Math.max(this.#first, this.#next - keep);
    if (this.#ring.length > this.size) this.#resize(this.size);
  }

  /** Ends the log; a second call does nothing. */
  close(error?: unknown): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#error = error;
    this.#wake();
  }

  /** @throws InvalidRequestError if `after` names an event that does not exist yet. */
  cursor({ after, signal }: CursorOptions = {}): Cursor<E> {
    if (after !== undefined && (!Number.isInteger(after) || after < -1 || after >= this.#next)) {
      throw new InvalidRequestError(`no event ${after} to start behind; the last one is ${this.#next - 1}`);
    }
    this.#waiting ??= new Fifo();
    return new LogCursor(this, this.#waiting, { position: after === undefined ? this.#next : after + 1, signal });
  }

  #wake(): void {
    this.#waiting?.forEach((cursor) => {
      cursor.wake();
    });
  }

  #resize(length: number): void {
    const ring = new Array<E | undefined>(length);
    for (let seq = this.#first; seq < this.#next; seq += 1) ring[seq % length] = this.#ring[seq % this.#ring.length];
    this.#ring = ring;
  }
}

type Request<E> = {
  readonly resolve: (result: IteratorResult<E | Lagged, undefined>) => void;
  readonly reject: (reason: unknown) => void;
};

class LogCursor<E extends NonNullable<unknown>> implements Cursor<E> {
  readonly #log: EventLog<E>;
  readonly #waiting: Fifo<LogCursor<E>>;
  readonly #signal: AbortSignal | undefined;
  /** The number of the event that it yields next. */
  #position: number;
  /** Calls of `next` that wait. While there are any, nothing is there to be had: wake() follows every change. */
  #requests: Request<E>[] = [];
  #place: Place<LogCursor<E>> | undefined;
  #stopListening: (() => void) | undefined;
  #ended = false;

  constructor(
    log: EventLog<E>,
    waiting: Fifo<LogCursor<E>>,
    start: { position: number; signal: AbortSignal | undefined },
  ) {
    this.#log = log;
    this.#waiting = waiting;
    this.#position = start.position;
    this.#signal = start.signal;
  }

  get done(): boolean {
    return this.#ended || this.#signal?.aborted === true || (this.#isDrained && this.#log.error === undefined);
  }

  next(): Promise<IteratorResult<E | Lagged, undefined>> {
    try {
      const item = this.tryNext();
      if (item !== undefined) return Promise.resolve({ done: false, value: item });
      if (this.#ended) return Promise.resolve(END);
    } catch (error) {
      return Promise.reject(error);
    }
    return new Promise((resolve, reject) => {
      this.#requests.push({ resolve, reject });
      this.#wait();
    });
  }

  tryNext(): E | Lagged | undefined {
    if (this.#ended) return undefined;
    this.#signal?.throwIfAborted();
    const item = this.#take();
    if (item === undefined && this.#isDrained) {
      this.#end();
      if (this.#log.error !== undefined) throw this.#log.error;
    }
    return item;
  }

  return(): Promise<IteratorResult<E | Lagged, undefined>> {
    this[Symbol.dispose]();
    return Promise.resolve(END);
  }

  [Symbol.dispose](): void {
    const requests = this.#requests;
    this.#end();
    for (const request of requests) request.resolve(END);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** Answers the requests that can be answered now. For the log. */
  wake(): void {
    while (this.#requests.length > 0) {
      const item = this.#take();
      if (item === undefined) {
        if (this.#isDrained) this.#finish();
        return;
      }
      this.#requests.shift()?.resolve({ done: false, value: item });
    }
    this.#leave();
  }

  get #isDrained(): boolean {
    return this.#log.closed && this.#position >= this.#log.next;
  }

  #take(): E | Lagged | undefined {
    const { first } = this.#log;
    if (this.#position < first) {
      const lagged = { from: this.#position, to: first - 1 };
      this.#position = first;
      return { lagged };
    }
    const event = this.#log.get(this.#position);
    if (event !== undefined) this.#position += 1;
    return event;
  }

  #wait(): void {
    this.#place ??= this.#waiting.push(this);
    if (this.#signal === undefined || this.#stopListening !== undefined) return;
    this.#stopListening = onceAborted(this.#signal, () => this.#fail(this.#signal?.reason));
  }

  #leave(): void {
    if (this.#place !== undefined) this.#waiting.remove(this.#place);
    this.#place = undefined;
  }

  /** The log is closed and drained: the first request learns the error, the others the end. */
  #finish(): void {
    const [first, ...others] = this.#requests;
    this.#end();
    if (this.#log.error === undefined) first?.resolve(END);
    else first?.reject(this.#log.error);
    for (const request of others) request.resolve(END);
  }

  #fail(reason: unknown): void {
    const requests = this.#requests;
    this.#requests = [];
    this.#leave();
    for (const request of requests) request.reject(reason);
  }

  #end(): void {
    this.#ended = true;
    this.#requests = [];
    this.#leave();
    this.#stopListening?.();
    this.#stopListening = undefined;
  }
}

const END = Object.freeze({ done: true, value: undefined });
