/** Keeps the order of what one sender sends to one receiver, while finding the receiver and reading the message may take time. */
import { OverloadedError } from "../protocol/errors.ts";

type Line = { tail: Promise<void>; length: number };

export class SendLines {
  readonly #lines = new Map<string, Line>();
  readonly #capacity: number;

  /** @param capacity how many may wait in one line */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Does the work after all that was asked for before under the same name, however that ended; at once where nothing waits. */
  run<T>(name: string, work: () => T | Promise<T>): T | Promise<T> {
    const line = this.#lines.get(name);
    if (line === undefined) {
      const result = work();
      if (result instanceof Promise) this.#enter(name, { tail: Promise.resolve(), length: 0 }, result);
      return result;
    }
    if (line.length >= this.#capacity) {
      throw new OverloadedError(
        `${line.length} messages of this sender wait for this receiver already; await earlier ones`,
      );
    }
    const result = line.tail.then(work);
    this.#enter(name, line, result);
    return result;
  }

  #enter(name: string, line: Line, result: Promise<unknown>): void {
    const leave = () => {
      line.length -= 1;
      if (line.length === 0) this.#lines.delete(name);
    };
    line.length += 1;
    line.tail = result.then(leave, leave);
    this.#lines.set(name, line);
  }
}
