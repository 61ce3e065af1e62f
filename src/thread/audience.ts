/** Those who listen to a thread over all of its lives, and those who wait for its next one. */
import { raceAbort } from "../kernel/cancellation.ts";
import type { ThreadEvent } from "../protocol/event.ts";
import type { PastLife } from "./event-stream.ts";
import type { Incarnation } from "./incarnation.ts";

/** `cause`: what the thread failed by, where it did not end on purpose. */
export type Observer = { event(event: ThreadEvent): void; closed(cause?: unknown): void };

/** Nobody writes its fields but these methods. */
export class Audience {
  readonly #onChange: () => void;
  #observers: Set<Observer> | undefined;
  /** Resolved with undefined when there will be no next life. */
  #waiting: Set<(next: Incarnation | undefined) => void> | undefined;
  #past: { -readonly [K in keyof PastLife]: PastLife[K] } | undefined;

  /** @param onChange somebody has come, or gone */
  constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  get isThere(): boolean {
    return (this.#observers?.size ?? 0) > 0 || (this.#waiting?.size ?? 0) > 0;
  }

  add(observer: Observer): () => void {
    this.#observers ??= new Set();
    this.#observers.add(observer);
    this.#onChange();
    return () => {
      if (this.#observers?.delete(observer)) this.#onChange();
    };
  }

  notify(event: ThreadEvent): void {
    if (this.#observers === undefined) return;
    for (const observer of [...this.#observers]) observer.event(event);
  }

  /** Resolves with the next life; with undefined when there will be none. */
  next(signal: AbortSignal): Promise<Incarnation | undefined> {
    const { promise, resolve } = Promise.withResolvers<Incarnation | undefined>();
    this.#waiting ??= new Set();
    this.#waiting.add(resolve);
    this.#onChange();
    return raceAbort(promise, signal).finally(() => {
      if (this.#waiting?.delete(resolve)) this.#onChange();
    });
  }

  #answer(next: Incarnation | undefined): void {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    for (const resolve of waiting ?? []) resolve(next);
  }

  /** The newest life that is over. */
  get past(): PastLife {
    this.#past ??= { epoch: 0, last: -1, next: undefined };
    return this.#past;
  }

  /** A life has ended, and another one follows. */
  noteOver({ epoch, door }: Incarnation): void {
    const life = { epoch, last: door.log.next - 1, next: undefined };
    if (this.#past !== undefined) this.#past.next = life;
    this.#past = life;
  }

  /** Shows the next life to those who wait for it, then what it has said so far, its first event first. */
  show(next: Incarnation): void {
    this.#answer(next);
    if (this.#observers === undefined) return;
    const { log } = next.door;
    for (let seq = log.first; seq < log.next; seq += 1) {
      const event = log.get(seq);
      if (event !== undefined) this.notify(event);
    }
  }

  /** The thread will not live again. */
  close(cause: unknown): void {
    const observers = this.#observers;
    this.#observers = undefined;
    this.#answer(undefined);
    for (const observer of observers ?? []) observer.closed(cause);
  }
}
