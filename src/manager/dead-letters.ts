import type { Clock } from "../kernel/clock.ts";
import type { SkeinLogger } from "../kernel/log.ts";
import { type ErrorCode, SkeinError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";

/** What was said: an op, or a message of another kind. */
export type LetterContent = { readonly type: string };

/** A message that reached nobody. */
export type DeadLetter = {
  /** null: a caller of the library, whom a reply came too late for. */
  readonly to: ThreadId | null;
  /** The thread that sent it; null for a caller of the library. */
  readonly from: ThreadId | null;
  /** The name that its sender gave it. */
  readonly id: string | null;
  readonly message: LetterContent;
  /** The code of the error that its sender got; `unknown` for an error that is none of Skein's. */
  readonly why: ErrorCode | "unknown";
  readonly error: unknown;
  /** Unix milliseconds. */
  readonly at: number;
  /** How many there have been, this one included. */
  readonly count: number;
};

/** What has to be known of a message that could not be given to its thread. */
export type Undelivered = Pick<DeadLetter, "to" | "message" | "error"> & Partial<Pick<DeadLetter, "from" | "id">>;

/** So many are kept for whoever looks later; they hold what was said. */
const KEPT = 100;

/**
 * Messages that reached nobody: each is told to those who watch, counted, and kept for a while. A sender that withdrew its message
 * (signal, deadline) has lost nothing, so that is none.
 */
export class DeadLetters {
  readonly watchers = new Set<(letter: DeadLetter) => void>();
  readonly #clock: Clock;
  readonly #logger: SkeinLogger;
  #recent: DeadLetter[] = [];
  #total = 0;

  constructor({ clock, logger }: { readonly clock: Clock; readonly logger: SkeinLogger }) {
    this.#clock = clock;
    this.#logger = logger;
  }

  note({ to, message, error, from = null, id = null }: Undelivered): void {
    this.#total += 1;
    const why = error instanceof SkeinError ? error.code : "unknown";
    const letter: DeadLetter = { to, from, id, message, why, error, at: this.#clock.now(), count: this.#total };
    this.#recent = [...this.#recent.slice(1 - KEPT), letter];
    this.#logger.debug({ threadId: to ?? undefined, from, message: message.type, why }, "a message reached nobody");
    for (const watcher of this.watchers) watcher(letter);
  }

  /** How many there have been. */
  get total(): number {
    return this.#total;
  }

  /** The newest ones, oldest first. */
  get recent(): readonly DeadLetter[] {
    return this.#recent;
  }
}
