/** What a thread was given to do: the ids that it has seen, and what waits in it. */
import { type SubmissionId, toSubmissionId } from "../protocol/ids.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";
import { Inbox } from "../turn/inbox.ts";
import type { OpenWork } from "./open-work.ts";
import { type LedgerThread, SubmissionLedger } from "./submission-ledger.ts";

/** Who is given it. */
export interface IntakeThread extends LedgerThread {
  readonly config: Pick<ResolvedThreadConfig, "recovery">;
}

/** Nobody writes its fields but these methods. */
export class Intake {
  readonly #thread: IntakeThread;
  /** How many ids the thread's own counter has given. */
  #given = 0;
  #ledger: SubmissionLedger | undefined;
  #inbox: Inbox | undefined;
  /** What earlier lives have left undone; until it is taken up. */
  #work: OpenWork | undefined;

  constructor(thread: IntakeThread, work: OpenWork | undefined) {
    this.#thread = thread;
    this.#work = work;
  }

  get inbox(): Inbox {
    this.#inbox ??= new Inbox();
    return this.#inbox;
  }

  /** The submissions that the thread has seen. */
  get ledger(): SubmissionLedger {
    this.#ledger ??= new SubmissionLedger(this.#thread);
    return this.#ledger;
  }

  /** How many ops wait in the inbox. */
  get waiting(): number {
    return this.#inbox?.size ?? 0;
  }

  /** The task that the op is held for. */
  taskOf(id: SubmissionId): SubmissionId | undefined {
    return this.#inbox?.taskOf(id);
  }

  /** From "0" on as Codex does, past the ids that callers have taken. */
  nextId(): SubmissionId {
    for (;;) {
      const id = toSubmissionId(String(this.#given++));
      if (this.ledger.newest(id) === undefined) return id;
    }
  }

  /** Whether the id is one that the thread's counter has given already. */
  hasGiven(id: SubmissionId): boolean {
    return Number(id) < this.#given && String(Number(id)) === id;
  }

  noteTaken(id: SubmissionId): void {
    this.#ledger?.noteTaken(id);
  }

  /** Older lines are not read any more: what waits has to stand behind the place where reading begins. */
  noteCompacted(): void {
    this.#ledger?.repeat();
  }

  /** The turn's end is about to be stored: what waits behind it is to be found by whoever goes on. */
  noteEnding(): void {
    if (this.#thread.config.recovery === "continue") this.#ledger?.repeat();
  }

  /** Whether this life goes on with what the submission has asked for in an earlier one. */
  goesOnWith(id: SubmissionId): boolean {
    const { task, queue = [], held = [] } = this.#work ?? {};
    return task?.id === id || queue.some((each) => each.id === id) || held.some((op) => op.submission.id === id);
  }

  /** What earlier lives have left undone: once, for whoever has this life take it up. */
  claimWork(): OpenWork | undefined {
    const work = this.#work;
    this.#work = undefined;
    return work;
  }
}
