import { EXIT, Exit } from "./failure.ts";

const CODES = { SIGINT: EXIT.interrupted, SIGTERM: EXIT.terminated } as const;

/**
 * Ctrl-C and a request to terminate, as an AbortSignal. The first one aborts `signal`; the next one ends the process at
 * once, its `exit` listeners included.
 */
export class Interruption implements Disposable {
  readonly #controller = new AbortController();
  #exitCode: number | undefined;

  constructor() {
    process.on("SIGINT", this.#take);
    process.on("SIGTERM", this.#take);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** What to exit with; undefined while nothing has interrupted. */
  get exitCode(): number | undefined {
    return this.#exitCode;
  }

  /** @throws Exit with that code where something has interrupted */
  throwIfInterrupted(): void {
    if (this.#exitCode !== undefined) throw new Exit(this.#exitCode);
  }

  readonly #take = (name: NodeJS.Signals): void => {
    const exitCode = name === "SIGTERM" ? CODES.SIGTERM : CODES.SIGINT;
    if (this.#exitCode !== undefined) process.exit(exitCode);
    this.#exitCode = exitCode;
    this.#controller.abort(new DOMException(`interrupted by ${name}`, "AbortError"));
  };

  [Symbol.dispose](): void {
    process.off("SIGINT", this.#take);
    process.off("SIGTERM", this.#take);
  }
}
