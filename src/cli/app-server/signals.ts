import { noteSignal, SIGNALS } from "../asked-end.ts";
import { EXIT } from "../failure.ts";
import { whenOutputEnds } from "../output-end.ts";

/**
 * What ends the server from outside: the first signal asks it to (`asked`), the next one insists (`insisted`), and one more
 * ends the process at once. A hangup insists: nobody is there any more to wait for.
 */
export class ServerSignals implements Disposable {
  readonly #asked = new AbortController();
  readonly #insisted = new AbortController();
  readonly #output = whenOutputEnds(() => this.#insist());

  constructor() {
    for (const name of SIGNALS) process.on(name, this.#take);
  }

  get asked(): AbortSignal {
    return this.#asked.signal;
  }

  get insisted(): AbortSignal {
    return this.#insisted.signal;
  }

  readonly #take = (name: (typeof SIGNALS)[number]): void => {
    noteSignal(name);
    if (this.insisted.aborted) process.exit(EXIT.terminated);
    if (this.asked.aborted || name === "SIGHUP") this.#insist();
    this.#asked.abort();
  };

  #insist(): void {
    this.#insisted.abort();
    this.#asked.abort();
  }

  [Symbol.dispose](): void {
    for (const name of SIGNALS) process.off(name, this.#take);
    this.#output[Symbol.dispose]();
  }
}
