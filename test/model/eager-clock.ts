import type { Clock } from "../../src/kernel/clock.ts";

/** A clock that does not let anybody wait: short timers fire at once, long ones never. It remembers them all. */
export class EagerClock implements Clock {
  /** The lengths of the timers that have fired. */
  readonly fired: number[] = [];
  readonly #longestMs: number;
  readonly #armed = new Set<object>();

  constructor(options: { longestMs?: number } = {}) {
    this.#longestMs = options.longestMs ?? 60_000;
  }

  /** How many timers wait. */
  get pending(): number {
    return this.#armed.size;
  }

  now(): number {
    return 0;
  }

  setTimeout(fn: () => void, ms: number): unknown {
    const timer = {};
    this.#armed.add(timer);
    if (ms <= this.#longestMs) {
      setImmediate(() => {
        if (!this.#armed.delete(timer)) return;
        this.fired.push(ms);
        fn();
      });
    }
    return timer;
  }

  background(fn: () => void, ms: number): unknown {
    return this.setTimeout(fn, ms);
  }

  clearTimeout(handle: unknown): void {
    this.#armed.delete(handle as object);
  }
}
