/**
 * Shares a look at the disk among those who ask for the same thing. Of each key at most one look runs and one waits: who
 * asks while one runs joins the next, which begins after the question, so that every answer is at least as new as its
 * question.
 */
export class SingleFlight<T> {
  readonly #looks = new Map<string, { running: Promise<T>; next: Promise<T> | undefined }>();

  /** Rejects as `look` does. */
  ask(key: string, look: () => Promise<T>): Promise<T> {
    const looks = this.#looks.get(key);
    if (looks === undefined) return this.#begin(key, look);
    const begin = () => this.#begin(key, look);
    looks.next ??= looks.running.then(begin, begin);
    return looks.next;
  }

  #begin(key: string, look: () => Promise<T>): Promise<T> {
    const looks: { running: Promise<T>; next: Promise<T> | undefined } = { running: look(), next: undefined };
    this.#looks.set(key, looks);
    const end = () => {
      if (looks.next === undefined) this.#looks.delete(key);
    };
    void looks.running.then(end, end);
    return looks.running;
  }
}
