/**
 * A queue whose members can leave from the middle: a waiter that gives up costs O(1) and leaves nothing behind.
 *
 * - Order of leaving by `shift` is order of arrival.
 * - A place is in one queue or in none; taking it out twice does nothing.
 */
export type Place<T> = {
  readonly value: T;
  queue: Fifo<T> | undefined;
  before: Place<T> | undefined;
  after: Place<T> | undefined;
};

export class Fifo<T> {
  #head: Place<T> | undefined;
  #tail: Place<T> | undefined;
  #size = 0;

  get size(): number {
    return this.#size;
  }

  get first(): T | undefined {
    return this.#head?.value;
  }

  push(value: T): Place<T> {
    const place: Place<T> = { value, queue: this, before: this.#tail, after: undefined };
    if (this.#tail === undefined) this.#head = place;
    else this.#tail.after = place;
    this.#tail = place;
    this.#size += 1;
    return place;
  }

  /** Comes in behind the last that is not after it; O(n) in how many are. */
  insert(value: T, isAfter: (other: T) => boolean): Place<T> {
    let before = this.#tail;
    while (before !== undefined && isAfter(before.value)) before = before.before;
    if (before === this.#tail) return this.push(value);
    const after = before === undefined ? this.#head : before.after;
    const place: Place<T> = { value, queue: this, before, after };
    if (before === undefined) this.#head = place;
    else before.after = place;
    if (after !== undefined) after.before = place;
    this.#size += 1;
    return place;
  }

  shift(): T | undefined {
    const place = this.#head;
    if (place === undefined) return undefined;
    this.remove(place);
    return place.value;
  }

  /** Takes the place out; false when it had left already. */
  remove(place: Place<T>): boolean {
    if (place.queue !== this) return false;
    const { before, after } = place;
    if (before === undefined) this.#head = after;
    else before.after = after;
    if (after === undefined) this.#tail = before;
    else after.before = before;
    place.queue = undefined;
    place.before = undefined;
    place.after = undefined;
    this.#size -= 1;
    return true;
  }

  /** Visits in order. The visited member may leave during its visit; other changes belong after the walk. */
  forEach(visit: (value: T) => void): void {
    let place = this.#head;
    while (place !== undefined) {
      const { after } = place;
      visit(place.value);
      place = after;
    }
  }
}
