/**
 * Spreads work over turns of the event loop: so many pieces in each, in order of asking. A burst of any size then leaves
 * room for timers, sockets and signals, and a lone caller waits for nothing.
 */
import { Fifo } from "./fifo.ts";

export class Pace {
  readonly #perTurn: number;
  readonly #queue = new Fifo<() => void>();
  #begun = 0;
  #isTurning = false;

  /** @param perTurn how many pieces of work may begin in one turn of the loop */
  constructor(perTurn: number) {
    this.#perTurn = perTurn;
  }

  get waiting(): number {
    return this.#queue.size;
  }

  /** undefined: begin now; else a promise that resolves in the turn that has room. */
  enter(): Promise<void> | undefined {
    if (!this.#isTurning) {
      this.#isTurning = true;
      setImmediate(this.#turn);
    }
    if (this.#begun < this.#perTurn && this.#queue.size === 0) {
      this.#begun += 1;
      return undefined;
    }
    return new Promise((resolve) => this.#queue.push(resolve));
  }

  readonly #turn = (): void => {
    this.#begun = 0;
    while (this.#begun < this.#perTurn) {
      const begin = this.#queue.shift();
      if (begin === undefined) break;
      this.#begun += 1;
      begin();
    }
    this.#isTurning = this.#begun > 0;
    if (this.#isTurning) setImmediate(this.#turn);
  };
}

/** How long a walk may keep the event loop from turning. */
const LONGEST_MS = 10;

/** Begins the work piece by piece; the event loop turns before it has been kept too long. */
export async function paced<T>(pieces: Iterable<T>, begin: (piece: T) => void): Promise<void> {
  let since = performance.now();
  for (const piece of pieces) {
    begin(piece);
    // Lets what the piece has set in motion run, so that its time is counted before the next one begins.
    await undefined;
    if (performance.now() - since < LONGEST_MS) continue;
    await new Promise((resolve) => setImmediate(resolve));
    since = performance.now();
  }
}
