/**
 * Shares work among those who ask for the same thing: a look at the disk, or a write of what is so now. Of each key at most
 * one runs and one waits: who asks while one runs joins the next, which begins after the question, so that every answer is
 * at least as new as its question, and every write holds what was so when it was asked for.
 */
export class SingleFlight<T, Key = string> {
  readonly #looks = new Map<Key, { running: Promise<T>; next: Promise<T> | undefined }>();

  /** Rejects as `look` does. */
  ask(key: Key, look: () => Promise<T>): Promise<T> {
    const looks = this.#looks.get(key);
    if (looks === undefined) return this.#begin(key, look);
    const begin = () => this.#begin(key, look);
    looks.next ??= looks.running.then(begin, begin);
    return looks.next;
  }

  /** Whether any of the key runs or waits. */
  isBusy(key: Key): boolean {
    return this.#looks.has(key);
  }

  /** Resolves when none of the key runs or waits any more, however it ended: what is read then is what was written. */
  async rest(key: Key): Promise<void> {
    for (let looks = this.#looks.get(key); looks !== undefined; looks = this.#looks.get(key))
      await Promise.allSettled([looks.next ?? looks.running]);
  }

  /** Resolves when nothing runs or waits any more, however it ended. */
  async settled(): Promise<void> {
    while (this.#looks.size > 0) {
      await Promise.allSettled([...this.#looks.values()].map(({ running, next }) => next ?? running));
    }
  }

  #begin(key: Key, look: () => Promise<T>): Promise<T> {
    const looks: { running: Promise<T>; next: Promise<T> | undefined } = { running: look(), next: undefined };
    this.#looks.set(key, looks);
    const end = () => {
      if (looks.next === undefined) this.#looks.delete(key);
    };
    void looks.running.then(end, end);
    return looks.running;
  }
}
