import type { Submission } from "../../machines/thread.machine.ts";
import type { SubmissionId } from "../protocol/ids.ts";

export type { Submission };

type Held = Submission & { readonly task: SubmissionId };

/** The ops of one thread that wait for a turn. Each is held for one task: the one that it starts, or the one it joins. */
export class Inbox {
  #held: Held[] | undefined;

  get size(): number {
    return this.#held?.length ?? 0;
  }

  /** @param task the id of the task: the op's own where it starts it */
  hold({ id, op }: Submission, task: SubmissionId): void {
    this.#held ??= [];
    this.#held.push({ id, op, task });
  }

  /** The task that the op is held for. */
  taskOf(id: SubmissionId): SubmissionId | undefined {
    return this.#held?.find((held) => held.id === id)?.task;
  }

  /** The op that starts the task, left where it is. */
  startOf(task: SubmissionId): Submission | undefined {
    return this.#held?.find((held) => held.task === task && held.id === task);
  }

  /** Takes out the op that starts the task. */
  take(task: SubmissionId): Submission | undefined {
    return this.#takeOut((held) => held.task === task && held.id === task)[0];
  }

  /** Whether input waits to join the task. */
  hasInput(task: SubmissionId): boolean {
    return this.#held?.some((held) => held.task === task && held.id !== task) ?? false;
  }

  /** Takes out all input that joins the task, in the order of its arrival. */
  takeInput(task: SubmissionId): Submission[] {
    return this.#takeOut((held) => held.task === task && held.id !== task);
  }

  #takeOut(isWanted: (held: Held) => boolean): Submission[] {
    const held = this.#held;
    if (held === undefined) return [];
    const taken = held.filter(isWanted);
    if (taken.length === held.length) this.#held = undefined;
    else if (taken.length > 0) this.#held = held.filter((one) => !isWanted(one));
    return taken;
  }
}
