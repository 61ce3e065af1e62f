/** A step that runs, and which steps its function waits for: one that would wait for itself is refused, since it could never end. */
import { AsyncLocalStorage } from "node:async_hooks";
import { InvalidRequestError } from "../protocol/errors.ts";

/** The step whose function has asked for whatever runs now. */
const asking = new AsyncLocalStorage<RunningStep>();

export class RunningStep<T = unknown> {
  readonly #id: string;
  readonly #result: Promise<T>;
  readonly #waits = new Set<{ readonly on: RunningStep }>();
  #isOver = false;

  constructor(id: string, work: () => Promise<T>) {
    this.#id = id;
    this.#result = asking.run(this, work).finally(() => {
      this.#isOver = true;
    });
    this.#result.catch(() => undefined);
  }

  /** What the step comes to, as `wait` waits for it. @throws InvalidRequestError for a step that this one waits for */
  async result<R>(wait: (result: Promise<T>) => Promise<R>): Promise<R> {
    const from = asking.getStore();
    if (from === undefined || from.#isOver) return wait(this.#result);
    if (this.#waitsFor(from))
      throw new InvalidRequestError(
        `step \`${this.#id}\` can't be waited for by the function of step \`${from.#id}\`, without whose end it has none; do that work outside of the function`,
      );
    const waiting = { on: this };
    from.#waits.add(waiting);
    try {
      return await wait(this.#result);
    } finally {
      from.#waits.delete(waiting);
    }
  }

  #waitsFor(other: RunningStep): boolean {
    return this === other || [...this.#waits].some(({ on }) => on.#waitsFor(other));
  }
}
