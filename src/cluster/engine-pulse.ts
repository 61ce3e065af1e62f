/** Whether an engine that is waited for is still there: its answer may take as long as a turn, and a network that has lost it says nothing. */
import { type Clock, sleep } from "../kernel/clock.ts";

export type PulseOptions = {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Between two questions, and for each. */
  readonly everyMs: number;
  readonly clock: Clock;
};

export class EnginePulse {
  readonly #options: PulseOptions;
  #beat: Promise<boolean> | undefined;

  constructor(options: PulseOptions) {
    this.#options = options;
  }

  /** Resolves once the engine leaves a question without any answer. @throws the signal's reason */
  async silence(signal: AbortSignal): Promise<void> {
    do await sleep(this.#options.clock, this.#options.everyMs, signal);
    while (await this.#isThere());
  }

  /** One question for all who wait. */
  #isThere(): Promise<boolean> {
    this.#beat ??= this.#ask().finally(() => {
      this.#beat = undefined;
    });
    return this.#beat;
  }

  /** Where it can't be reached at all, who waits is told of the lost connection. */
  async #ask(): Promise<boolean> {
    const { url, headers, everyMs } = this.#options;
    try {
      const response = await fetch(`${url}/restate/health`, { headers, signal: AbortSignal.timeout(everyMs) });
      await response.body?.cancel();
      return true;
    } catch (error) {
      return !(error instanceof DOMException && error.name === "TimeoutError");
    }
  }
}
