/**
 * Threads that are given back: by their writers, and those of which nobody knows whether this store has taken or made them. Each is
 * known by the claim under which it was taken, so a release meets only the row that it is meant for. One that cannot be told now is owed,
 * and told later: the thread would else stay taken for as long as this store lives, with nobody who writes it.
 */
import { backoffDelay } from "../../kernel/backoff.ts";
import type { Clock } from "../../kernel/clock.ts";
import type { ThreadId } from "../../protocol/ids.ts";
import type { OnLock } from "./database.ts";
import { Gathered } from "./gathered.ts";

const RETRY = { baseMs: 100, factor: 2, maxMs: 5_000 } as const;

/** A thread that was taken under a claim, which no other taking has. */
export type Hold = { readonly threadId: ThreadId; readonly claim: string };

/** What becomes of it: it is free for others, or goes, since nobody was told that it was made. */
export type Ending = "release" | "unmake";

type Debt = { readonly hold: Hold; readonly ending: Ending };

/** The statements: each the same when it is given twice. */
export interface Endings {
  release(holds: readonly Hold[], onLock: OnLock): Promise<void>;
  unmake(hold: Hold): Promise<void>;
}

export class Releases {
  readonly #clock: Clock;
  readonly #endings: Endings;
  readonly #lateMs: number;
  readonly #gathered: Gathered<Hold, undefined>;
  /** By claim. */
  readonly #owed = new Map<string, Debt>();
  #retry: unknown;
  #attempts = 0;
  #isClosed = false;

  /** @param lateMs how long a statement may take, whose answer nobody waits for any more */
  constructor(clock: Clock, endings: Endings, lateMs: number) {
    this.#clock = clock;
    this.#endings = endings;
    this.#lateMs = lateMs;
    this.#gathered = new Gathered(async (holds, onLock) => {
      await endings.release(holds, onLock);
      return holds.map(() => undefined);
    });
  }

  /** Never rejects. @returns whether the database has been told; if not, it is owed */
  end({ threadId, claim }: Hold, ending: Ending): Promise<boolean> {
    const debt = { hold: { threadId, claim }, ending };
    this.#owed.set(claim, debt);
    return this.#tell(debt);
  }

  /** Of what may have come to pass, and may yet: it is told at once, and again when it must have. */
  disown(hold: Hold, ending: Ending): void {
    void this.end(hold, ending);
    this.#clock.background(() => void (this.#isClosed || this.end(hold, ending)), this.#lateMs);
  }

  async #tell({ hold, ending }: Debt): Promise<boolean> {
    try {
      await (ending === "unmake" ? this.#endings.unmake(hold) : this.#gathered.ask(hold));
      this.#owed.delete(hold.claim);
      this.#attempts = 0;
      return true;
    } catch {
      this.#later();
      return false;
    }
  }

  /** Before a thread is taken, or made anew: what is owed of it is told first. */
  async tell(threadId: ThreadId): Promise<void> {
    if (this.#owed.size === 0) return;
    const owed = [...this.#owed.values()].filter(({ hold }) => hold.threadId === threadId);
    await Promise.all(owed.map((debt) => this.#tell(debt)));
  }

  #later(): void {
    if (this.#retry !== undefined || this.#isClosed) return;
    this.#attempts += 1;
    this.#retry = this.#clock.background(
      () => {
        this.#retry = undefined;
        for (const debt of this.#owed.values()) void this.#tell(debt);
      },
      backoffDelay(this.#attempts, RETRY),
    );
  }

  /** The store's end lets go of all that it holds; what was made for nobody goes now, where that can be told. */
  async close(): Promise<void> {
    this.#isClosed = true;
    if (this.#retry !== undefined) this.#clock.clearTimeout(this.#retry);
    const unmade = [...this.#owed.values()].filter(({ ending }) => ending === "unmake");
    await Promise.all(unmade.map((debt) => this.#tell(debt)));
    this.#owed.clear();
  }
}
