import type { ThreadId } from "../protocol/ids.ts";
import type { ExecApprovalOp, PatchApprovalOp } from "../protocol/op.ts";
import type { ReviewDecision } from "../protocol/policy.ts";
import type { Approvals } from "../turn/approvals.ts";
import type { QuestionAnswered, ThreadApproval } from "../turn/pending-approval.ts";
import type { SubmittedOp } from "./own-turns.ts";

/** A thread whose turns ask for approvals. */
export interface AskingThread {
  readonly threadId: ThreadId;
  readonly approvals: Approvals;
  take(event: SubmittedOp): void;
}

/** The threads of a manager that wait for approvals, so that a sub-agent's are reachable at those above it. */
export class ApprovalBoard {
  readonly #waiting = new Set<AskingThread>();
  readonly #isUnder: (threadId: ThreadId, ancestor: ThreadId) => boolean;

  /** Who hears of each answer, whoever has given it. */
  readonly watchers = new Set<(answered: QuestionAnswered) => void>();

  /** @param isUnder whether a thread was started by another, or by one that it started */
  constructor(isUnder: (threadId: ThreadId, ancestor: ThreadId) => boolean) {
    this.#isUnder = isUnder;
  }

  note(thread: AskingThread, pending: number): void {
    if (pending > 0) this.#waiting.add(thread);
    else this.#waiting.delete(thread);
  }

  answered(answered: QuestionAnswered): void {
    for (const watcher of [...this.watchers]) watcher(answered);
  }

  /** What the thread and its sub-agents wait for, oldest thread first. */
  pendingAt(ancestor: ThreadId): ThreadApproval[] {
    return [...this.#waiting]
      .filter(({ threadId }) => threadId === ancestor || this.#isUnder(threadId, ancestor))
      .flatMap(({ threadId, approvals }) =>
        approvals.pending.map(({ turn, callId, msg }) => ({ threadId, turn, callId, msg })),
      );
  }

  /**
   * @throws InvalidRequestError for an answer that nobody waits for: the thread's own calls, or those of a sub-agent. Whoever
   *   gave it would else believe that it counts.
   */
  checkAwaited(
    thread: Pick<AskingThread, "threadId" | "approvals">,
    { type, id }: ExecApprovalOp | PatchApprovalOp,
  ): void {
    const below = [...this.#waiting].some(
      (other) =>
        other.approvals.pending.some(({ callId }) => callId === id) && this.#isUnder(other.threadId, thread.threadId),
    );
    if (!below) thread.approvals.checkAwaited({ type, id });
  }

  /** Answers a sub-agent's request by its call id. The thread that had asked; undefined when none did. */
  answerBelow(ancestor: ThreadId, callId: string, decision: ReviewDecision): AskingThread | undefined {
    for (const thread of this.#waiting) {
      if (!thread.approvals.pending.some((request) => request.callId === callId)) continue;
      if (!this.#isUnder(thread.threadId, ancestor)) continue;
      thread.approvals.answer(callId, decision);
      return thread;
    }
    return undefined;
  }
}
