/**
 * In what order one client's requests are worked on: those about one thread one after another, as they came; one that
 * changes what others depend on (settings, sign-in) alone; all others side by side. What need not wait begins at once.
 */
export const ALONE = Symbol("alone");
export type Scope = string | typeof ALONE | undefined;

export class RequestOrder {
  readonly #tails = new Map<string, Promise<unknown>>();
  readonly #running = new Set<Promise<unknown>>();
  #alone: Promise<unknown> | undefined;

  get inFlight(): number {
    return this.#running.size;
  }

  /** Resolves when nothing is being worked on. */
  async whenIdle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }

  /** `work` never rejects. */
  run(scope: Scope, work: () => Promise<void>): void {
    const before = this.#before(scope);
    const done = before.length === 0 ? work() : Promise.all(before).then(work);
    this.#running.add(done);
    if (typeof scope === "string") this.#tails.set(scope, done);
    else if (scope === ALONE) this.#alone = done;
    void done.then(() => {
      this.#running.delete(done);
      if (this.#alone === done) this.#alone = undefined;
      if (typeof scope === "string" && this.#tails.get(scope) === done) this.#tails.delete(scope);
    });
  }

  #before(scope: Scope): Promise<unknown>[] {
    if (scope === ALONE) return [...this.#running];
    const tail = scope === undefined ? undefined : this.#tails.get(scope);
    return [this.#alone, tail].filter((promise) => promise !== undefined);
  }
}
