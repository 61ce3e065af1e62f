/** Messages that were given to threads and are not handled yet: by thread, each with the life that has it. */
import { InvalidRequestError } from "../protocol/errors.ts";
import type { SubmissionId, ThreadId } from "../protocol/ids.ts";
import type { LifeEnd } from "../thread/life-end.ts";
import type { Handled, ReceivedMessage } from "../thread/messaging.ts";

/** What became of a message: its receiver has handled it, or the life that had it ended before that. */
export type MessageOutcome = Handled | { readonly lost: LifeEnd };

type Open = {
  readonly received: ReceivedMessage;
  readonly settle: (outcome: MessageOutcome) => void;
  /** undefined: it waits in line for a life that takes it. */
  epoch: number | undefined;
};

export class OpenMessages {
  readonly #open = new Map<ThreadId, Map<SubmissionId, Open>>();

  /** How many there are: for tests, which expect none once all are handled. */
  get size(): number {
    let size = 0;
    for (const open of this.#open.values()) size += open.size;
    return size;
  }

  /** @param settle is told once what became of it, unless it is taken back */
  add(to: ThreadId, received: ReceivedMessage, settle: Open["settle"]): void {
    const open = this.#open.get(to) ?? new Map<SubmissionId, Open>();
    open.set(received.id, { received, settle, epoch: undefined });
    this.#open.set(to, open);
  }

  #take(to: ThreadId, id: SubmissionId): Open | undefined {
    const open = this.#open.get(to);
    const found = open?.get(id);
    open?.delete(id);
    if (open?.size === 0) this.#open.delete(to);
    return found;
  }

  /** It is not given to the thread after all. @returns false when a life of it has taken it already */
  takeBack(to: ThreadId, id: SubmissionId): boolean {
    if (this.#open.get(to)?.get(id)?.epoch !== undefined) return false;
    this.#take(to, id);
    return true;
  }

  /** A logic that says nothing of messages has handled one that it has taken and lived on. */
  noteSurvived(to: ThreadId, id: SubmissionId): void {
    this.#take(to, id)?.settle({ value: undefined });
  }

  find(to: ThreadId, id: SubmissionId): ReceivedMessage | undefined {
    return this.#open.get(to)?.get(id)?.received;
  }

  /** @throws InvalidRequestError when it is not open: it was handled already, or there is no such message */
  settle(to: ThreadId, id: SubmissionId, handled: Handled): void {
    const open = this.#take(to, id);
    if (open === undefined) {
      throw new InvalidRequestError(
        `reply: message ${id} does not wait at thread ${to}; it was answered already, or is none`,
      );
    }
    open.settle(handled);
  }

  isBusy(to: ThreadId): boolean {
    for (const { epoch } of this.#open.get(to)?.values() ?? []) if (epoch !== undefined) return true;
    return false;
  }

  noteTaken(to: ThreadId, id: SubmissionId, epoch: number): void {
    const open = this.#open.get(to)?.get(id);
    if (open !== undefined) open.epoch = epoch;
  }

  noteLifeEnded(to: ThreadId, end: LifeEnd): void {
    for (const [id, open] of [...(this.#open.get(to) ?? [])]) {
      if (open.epoch !== end.epoch) continue;
      this.#take(to, id);
      open.settle({ lost: end });
    }
  }
}
