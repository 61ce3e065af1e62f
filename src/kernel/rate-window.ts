/** At most so many in any period that ends now. One that lies exactly a period back is forgotten. By a clock that nobody sets. */
import { type Clock, elapsedBy } from "./clock.ts";
import { Fifo } from "./fifo.ts";

export type Rate = { readonly count: number; readonly periodMs: number };

export class RateWindow {
  readonly rate: Rate;
  readonly #clock: Clock;
  readonly #times = new Fifo<number>();

  constructor(rate: Rate, clock: Clock) {
    this.rate = rate;
    this.#clock = clock;
  }

  /** How many of the last period count. */
  get used(): number {
    const now = elapsedBy(this.#clock);
    for (let first = this.#times.first; first !== undefined; first = this.#times.first) {
      if (now - first < this.rate.periodMs) break;
      this.#times.shift();
    }
    return this.#times.size;
  }

  /** 0 when one more may come now. */
  get retryAfterMs(): number {
    if (this.used < this.rate.count) return 0;
    const first = this.#times.first ?? Number.POSITIVE_INFINITY;
    return Math.max(1, Math.ceil(first + this.rate.periodMs - elapsedBy(this.#clock)));
  }

  /** Counts one. @returns takes it back: it has not come to be */
  take(): () => void {
    const place = this.#times.push(elapsedBy(this.#clock));
    return () => {
      this.#times.remove(place);
    };
  }
}
