import type { ThreadId } from "../protocol/ids.ts";
import type { ExecApprovalOp, PatchApprovalOp } from "../protocol/op.ts";
import type { ReviewDecision } from "../protocol/policy.ts";
import type { Approvals } from "../turn/approvals.ts";
import type { QuestionAnswered, ThreadApproval } from "../turn/pending-approval.ts";
import { ByThread, type Subtree } from "./by-thread.ts";
import type { SubmittedOp } from "./own-turns.ts";

/** A thread whose turns ask for approvals. */
export interface AskingThread {
  readonly threadId: ThreadId;
  readonly questions: { readonly approvals: Approvals };
  take(event: SubmittedOp): void;
}

/** The threads of a manager that wait for approvals, so that a sub-agent's are reachable at those above it. */
export class ApprovalBoard {
  readonly #waiting = new ByThread<AskingThread>();
  readonly #subtreeOf: (threadId: ThreadId) => Subtree;

  /** Who hears of each answer, whoever has given it. */
  readonly watchers = new Set<(answered: QuestionAnswered) => void>();

  /** @param subtreeOf a thread and those that were started by it, or by one that it started */
  constructor(subtreeOf: (threadId: ThreadId) => Subtree) {
    this.#subtreeOf = subtreeOf;
  }

  note(thread: AskingThread, pending: number): void {
    const { threadId } = thread;
    if (pending > 0) this.#waiting.set(threadId, thread);
    else if (this.#waiting.get(threadId) === thread) this.#waiting.delete(threadId);
  }

  answered(answered: QuestionAnswered): void {
    for (const watcher of [...this.watchers]) watcher(answered);
  }

  /** What the thread and its sub-agents wait for, oldest thread first. */
  pendingAt(ancestor: ThreadId): ThreadApproval[] {
    return this.#waiting
      .within(this.#subtreeOf(ancestor))
      .flatMap(({ threadId, value }) =>
        value.questions.approvals.pending.map(({ turn, callId, msg }) => ({ threadId, turn, callId, msg })),
      );
  }

  /**
   * @throws InvalidRequestError for an answer that nobody waits for: the thread's own calls, or those of a sub-agent. Whoever
   *   gave it would else believe that it counts.
   */
  checkAwaited(
    thread: Pick<AskingThread, "threadId" | "questions">,
    { type, id }: ExecApprovalOp | PatchApprovalOp,
  ): void {
    if (this.#askingBelow(thread.threadId, id) === undefined) thread.questions.approvals.checkAwaited({ type, id });
  }

  /** Answers a sub-agent's request by its call id. The thread that had asked; undefined when none did. */
  answerBelow(ancestor: ThreadId, callId: string, decision: ReviewDecision): AskingThread | undefined {
    const thread = this.#askingBelow(ancestor, callId);
    thread?.questions.approvals.answer(callId, decision);
    return thread;
  }

  #askingBelow(ancestor: ThreadId, id: string): AskingThread | undefined {
    const asks = ({ questions }: AskingThread) => questions.approvals.pending.some(({ callId }) => callId === id);
    const all = this.#waiting.within(this.#subtreeOf(ancestor));
    return all.find(({ threadId, value }) => threadId !== ancestor && asks(value))?.value;
  }
}
