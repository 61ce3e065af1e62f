import { noteSignal, SIGNAL_CODES, SIGNALS } from "./asked-end.ts";
import { EXIT, Exit } from "./failure.ts";
import { whenOutputEnds } from "./output-end.ts";

/**
 * Ctrl-C, a request to terminate and a hangup, as an AbortSignal. The first one aborts `signal`; the next one ends the process at
 * once, its `exit` listeners included. A terminal that has gone is a request to end as well: what runs is stored first. An output
 * that has ended aborts it too.
 */
export class Interruption implements Disposable {
  readonly #controller = new AbortController();
  readonly #output = whenOutputEnds(() => this.#interrupt(EXIT.ok, "interrupted: nothing can be written any more"));
  #exitCode: number | undefined;

  constructor() {
    for (const name of SIGNALS) process.on(name, this.#take);
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

  readonly #take = (name: (typeof SIGNALS)[number]): void => {
    noteSignal(name);
    const exitCode = SIGNAL_CODES[name];
    if (this.#exitCode !== undefined) process.exit(exitCode);
    this.#interrupt(exitCode, `interrupted by ${name}`);
  };

  #interrupt(exitCode: number, why: string): void {
    this.#exitCode ??= exitCode;
    this.#controller.abort(new DOMException(why, "AbortError"));
  }

  [Symbol.dispose](): void {
    for (const name of SIGNALS) process.off(name, this.#take);
    this.#output[Symbol.dispose]();
  }
}
