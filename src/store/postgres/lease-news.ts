import * as z from "zod";
import { raceAbort } from "../../kernel/cancellation.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { ThreadId } from "../../protocol/ids.ts";

const newsSchema = z.object({
  threadId: z.string(),
  epoch: z.number(),
  /** Who has it now; null: nobody. */
  owner: z.object({ pid: z.number(), host: z.string(), since: z.string() }).nullable(),
});

/** Who waits for news of a thread. */
export interface Listening extends Disposable {
  /** Resolves at the first news since it began to listen, or after the time. @throws the signal's reason */
  within(ms: number, signal?: AbortSignal): Promise<void>;
}

export type News = z.infer<typeof newsSchema> & { readonly threadId: ThreadId };

/** What the stores of one database tell each other of who writes a thread. */
export class LeaseNews {
  readonly #clock: Clock;
  readonly #onNews: (news: News) => void;
  readonly #waiting = new Map<string, Set<() => void>>();

  constructor(clock: Clock, onNews: (news: News) => void) {
    this.#clock = clock;
    this.#onNews = onNews;
  }

  /** A message of the channel; one of another form is another program's. */
  tell(text: string): void {
    const { data } = newsSchema.safeParse(parsed(text));
    if (data === undefined) return;
    this.#onNews(data as News);
    for (const hear of this.#waiting.get(data.threadId) ?? []) hear();
  }

  /** Hears the news of a thread from now on. */
  listen(threadId: ThreadId): Listening {
    const heard = Promise.withResolvers<void>();
    const listening = this.#waiting.get(threadId) ?? new Set();
    this.#waiting.set(threadId, listening.add(heard.resolve));
    return {
      within: (ms, signal) => this.#within(heard.promise, ms, signal),
      [Symbol.dispose]: () => {
        listening.delete(heard.resolve);
        if (listening.size === 0) this.#waiting.delete(threadId);
      },
    };
  }

  async #within(heard: Promise<void>, ms: number, signal: AbortSignal | undefined): Promise<void> {
    let timer: unknown;
    const late = new Promise<void>((resolve) => {
      timer = this.#clock.setTimeout(resolve, ms);
    });
    try {
      await raceAbort(Promise.race([heard, late]), signal);
    } finally {
      this.#clock.clearTimeout(timer);
    }
  }
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
