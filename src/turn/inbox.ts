import type { SubmissionId } from "../protocol/ids.ts";
import type { Op } from "../protocol/op.ts";

export type Submission = { readonly id: SubmissionId; readonly op: Op };

/** The ops of one thread that wait for a turn: the one that starts it first, then those that join it, in order. */
export class Inbox {
  #waiting: Submission[] | undefined;

  get size(): number {
    return this.#waiting?.length ?? 0;
  }

  push(submission: Submission): void {
    if (this.#waiting === undefined) this.#waiting = [submission];
    else this.#waiting.push(submission);
  }

  /** Takes out the op that starts the task of this id. */
  take(id: SubmissionId): Submission | undefined {
    const at = this.#waiting?.findIndex((submission) => submission.id === id) ?? -1;
    return at === -1 ? undefined : this.#waiting?.splice(at, 1)[0];
  }

  /** Whether input waits to join the running turn. */
  get hasInput(): boolean {
    return this.#waiting?.some(isInput) ?? false;
  }

  /** Takes out all input that joins the running turn, in the order of its arrival. */
  takeInput(): Submission[] {
    const waiting = this.#waiting;
    if (waiting === undefined) return [];
    const rest = waiting.filter((submission) => !isInput(submission));
    this.#waiting = rest.length === 0 ? undefined : rest;
    return waiting.filter(isInput);
  }
}

const isInput = ({ op }: Submission): boolean => op.type === "user_input" || op.type === "user_turn";
