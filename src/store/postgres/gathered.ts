/**
 * Work of one kind, given together: what comes within one turn of the event loop, or while the same is under way, is one statement.
 * So many who come at once wait for one connection and one commit.
 */
import type { OnLock } from "./database.ts";
import { isLocked, isOfTheStatement } from "./failure.ts";

/** What one statement should hold at most. */
const MOST = 256;

type Waiting<Ask, Answer> = {
  readonly ask: Ask;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: unknown) => void;
};

type Give<Ask, Answer> = (asks: readonly Ask[], onLock: OnLock) => Promise<readonly Answer[]>;

export class Gathered<Ask, Answer> {
  readonly #give: Give<Ask, Answer>;
  readonly #waiting: Waiting<Ask, Answer>[] = [];
  #isRunning = false;

  /** @param give one statement, or nothing of it; an answer for each, in their order */
  constructor(give: Give<Ask, Answer>) {
    this.#give = give;
  }

  /** @throws what the statement throws */
  ask(ask: Ask): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#waiting.push({ ask, resolve, reject });
      if (!this.#isRunning) void this.#run();
    });
  }

  async #run(): Promise<void> {
    this.#isRunning = true;
    // Those who come in one go come together.
    await Promise.resolve();
    while (this.#waiting.length > 0) await this.#together(this.#waiting.splice(0, MOST), "tell");
    this.#isRunning = false;
  }

  /** Never rejects: each is told what came of it. */
  async #together(asked: readonly Waiting<Ask, Answer>[], onLock: OnLock): Promise<void> {
    try {
      const answers = await this.#give(
        asked.map(({ ask }) => ask),
        onLock,
      );
      for (const [n, { resolve }] of asked.entries()) resolve(answers[n] as Answer);
    } catch (error) {
      const { cause } = error as Error;
      // What is wrong with one of them must not be all others'; and what waits for a stranger holds up nobody who comes after it.
      if ((onLock === "tell" && isLocked(cause)) || (asked.length > 1 && isOfTheStatement(cause)))
        for (const one of asked) void this.#together([one], "wait");
      else for (const { reject } of asked) reject(error);
    }
  }
}
