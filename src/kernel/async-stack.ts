/** What is disposed of together, the last first, whatever fails meanwhile. The oldest Node that we run on has no AsyncDisposableStack. */
export class AsyncStack implements AsyncDisposable {
  #held: (Disposable | AsyncDisposable)[] = [];

  use<T extends Disposable | AsyncDisposable>(held: T): T {
    this.#held.push(held);
    return held;
  }

  /** Hands everything over to a stack of its own: this one has nothing to dispose of any more. */
  move(): AsyncStack {
    const moved = new AsyncStack();
    moved.#held = this.#held;
    this.#held = [];
    return moved;
  }

  /** @throws the first failure, when all is disposed of */
  async [Symbol.asyncDispose](): Promise<void> {
    const failures: unknown[] = [];
    for (const held of this.#held.splice(0).reverse()) {
      try {
        if (Symbol.asyncDispose in held) await held[Symbol.asyncDispose]();
        else held[Symbol.dispose]();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  }
}
