/**
 * Threads that their writers give back. One whose release cannot be told now is owed, and told later: it would else stay taken for
 * as long as this store lives, with nobody who writes it.
 */
import { backoffDelay } from "../../kernel/backoff.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { ThreadId } from "../../protocol/ids.ts";
import { Gathered } from "./gathered.ts";
import type { PostgresWriter } from "./writer.ts";

const RETRY = { baseMs: 100, factor: 2, maxMs: 5_000 } as const;

export class Releases {
  readonly #clock: Clock;
  readonly #gathered: Gathered<PostgresWriter, undefined>;
  readonly #owed = new Map<ThreadId, PostgresWriter>();
  #retry: unknown;
  #attempts = 0;
  #isClosed = false;

  constructor(clock: Clock, give: (writers: readonly PostgresWriter[]) => Promise<void>) {
    this.#clock = clock;
    this.#gathered = new Gathered(async (writers) => {
      await give(writers);
      return writers.map(() => undefined);
    });
  }

  /** @returns whether the store has been told; if not, it is owed */
  async release(writer: PostgresWriter): Promise<boolean> {
    try {
      await this.#gathered.ask(writer);
      if (this.#owed.get(writer.threadId) === writer) this.#owed.delete(writer.threadId);
      this.#attempts = 0;
      return true;
    } catch {
      this.#owed.set(writer.threadId, writer);
      this.#later();
      return false;
    }
  }

  /** Before a thread is taken: what is owed of it is told first. */
  async tell(threadId: ThreadId): Promise<void> {
    const writer = this.#owed.get(threadId);
    if (writer !== undefined) await this.release(writer);
  }

  #later(): void {
    if (this.#retry !== undefined || this.#isClosed) return;
    this.#attempts += 1;
    this.#retry = this.#clock.background(
      () => {
        this.#retry = undefined;
        for (const writer of this.#owed.values()) void this.release(writer);
      },
      backoffDelay(this.#attempts, RETRY),
    );
  }

  /** The store's end lets go of all that it holds. */
  close(): void {
    this.#isClosed = true;
    this.#owed.clear();
    if (this.#retry !== undefined) this.#clock.clearTimeout(this.#retry);
  }
}
