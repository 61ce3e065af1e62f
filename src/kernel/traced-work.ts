/**
 * Work that others may watch: a tracing channel of `node:diagnostics_channel` for each kind of it. While nobody subscribes, a
 * piece of work costs one look at whether somebody does.
 *
 * The messages are Node's own (https://nodejs.org/api/diagnostics_channel.html#class-tracingchannel): `start` and `end` around
 * the beginning, `asyncStart` and `asyncEnd` when the work is over, `error` before these where it has failed; all with one and
 * the same object, the facts.
 */
import { type Channel, channel, type TracingChannel, tracingChannel } from "node:diagnostics_channel";

/** What every traced piece of work says of itself, beside its own facts. */
export type TracedWork = {
  /** The manager that it belongs to, as an object that tells nothing. */
  readonly scope: object;
  /** What it failed by. Work that ends by telling somebody of its failure throws nothing. */
  error?: unknown;
  /** A subscriber of `start` may set it: the work then runs in it, so that a context is active there. */
  within?: <T>(work: () => T) => T;
};

/** One kind of traced work. */
export class Tracing<Facts extends TracedWork> {
  readonly #channel: TracingChannel<Facts>;

  /** @param name the channels are `tracing:NAME:start` and so on */
  constructor(name: string) {
    this.#channel = tracingChannel<Facts>(name);
  }

  get isWatched(): boolean {
    return this.#channel.hasSubscribers;
  }

  /** Does a piece of work; it is given its facts, to add to them, where somebody watches. */
  run<T>(facts: () => Facts, work: (facts: Facts | undefined) => Promise<T>): Promise<T> {
    return this.isWatched ? this.#runWatched(facts(), work) : work(undefined);
  }

  #runWatched<T>(facts: Facts, work: (facts: Facts) => Promise<T>): Promise<T> {
    return this.#channel.start.runStores(facts, async () => {
      try {
        const running = runWithin(facts, () => work(facts));
        this.#channel.end.publish(facts);
        return await running;
      } catch (error) {
        facts.error ??= error;
        throw error;
      } finally {
        this.#publishEnd(facts);
      }
    });
  }

  /** Begins work whose end is told by {@link finish}; undefined while nobody watches. */
  begin(facts: () => Facts): Facts | undefined {
    if (!this.isWatched) return undefined;
    const begun = facts();
    this.#channel.start.publish(begun);
    this.#channel.end.publish(begun);
    return begun;
  }

  finish(facts: Facts | undefined): void {
    if (facts !== undefined) this.#publishEnd(facts);
  }

  #publishEnd(facts: Facts): void {
    if (facts.error !== undefined) this.#channel.error.publish(facts as Facts & { error: unknown });
    this.#channel.asyncStart.publish(facts);
    this.#channel.asyncEnd.publish(facts);
  }
}

/** Does a part of watched work where its subscriber wants it done. */
export const runWithin = <T>(facts: TracedWork | undefined, work: () => T): T =>
  facts?.within === undefined ? work() : facts.within(work);

/** Something that happens in one moment, told while it happens. */
export class Notice<Facts extends object> {
  readonly #channel: Channel<unknown, Facts>;

  constructor(name: string) {
    this.#channel = channel(name) as Channel<unknown, Facts>;
  }

  get isWatched(): boolean {
    return this.#channel.hasSubscribers;
  }

  tell(facts: Facts): void {
    this.#channel.publish(facts);
  }
}
