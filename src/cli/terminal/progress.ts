import { columnsOf, type Io, isTerminal } from "./io.ts";

/** One line about long work, drawn again in place on a terminal and nowhere else. It goes to standard error. */
export class Progress implements Disposable {
  readonly #stderr: NodeJS.WriteStream | undefined;
  #drawnAt = 0;

  constructor({ stderr, env }: Io) {
    this.#stderr = isTerminal(stderr, env) ? stderr : undefined;
  }

  show(text: () => string): void {
    const now = performance.now();
    if (this.#stderr === undefined || now - this.#drawnAt < REDRAW_MS) return;
    this.#drawnAt = now;
    this.#stderr.write(`\r${text().slice(0, columnsOf(this.#stderr) - 1)}\x1b[K`);
  }

  [Symbol.dispose](): void {
    if (this.#drawnAt > 0) this.#stderr?.write("\r\x1b[K");
  }
}

const REDRAW_MS = 100;
