/** What a thread waits for people to say: approvals of its calls, what the model asks the user, and what MCP servers do. */
import type { ElicitationAnswer } from "../protocol/elicitation.ts";
import type { AnswerOp } from "../protocol/op.ts";
import type { UserAnswers } from "../protocol/user-question.ts";
import { Approvals } from "../turn/approvals.ts";
import { OpenQuestions } from "../turn/open-questions.ts";
import type { PendingApproval } from "../turn/pending-approval.ts";
import type { CallQuestions } from "../turn/tools/call-host.ts";
import type { ApprovalBoard, AskingThread } from "./approval-board.ts";

/** Who asks. */
export interface QuestioningThread extends AskingThread {
  readonly env: { readonly approvals: ApprovalBoard };
}

/** Nobody writes its fields but these methods. */
export class ThreadQuestions implements CallQuestions {
  readonly #thread: QuestioningThread;
  #approvals: Approvals | undefined;
  #ofModel: OpenQuestions<UserAnswers> | undefined;
  #ofServers: OpenQuestions<ElicitationAnswer> | undefined;

  constructor(thread: QuestioningThread) {
    this.#thread = thread;
  }

  get approvals(): Approvals {
    const { threadId, env } = this.#thread;
    this.#approvals ??= new Approvals({
      onChange: (pending) => env.approvals.note(this.#thread, pending),
      onAnswer: (callId, decision) => env.approvals.answered({ threadId, callId, decision }),
    });
    return this.#approvals;
  }

  get ofModel(): OpenQuestions<UserAnswers> {
    this.#ofModel ??= new OpenQuestions({ onAnswer: this.#over });
    return this.#ofModel;
  }

  get ofServers(): OpenQuestions<ElicitationAnswer> {
    this.#ofServers ??= new OpenQuestions({ onAnswer: this.#over, onWithdrawn: this.#over });
    return this.#ofServers;
  }

  get #over(): (callId: string) => void {
    const { threadId, env } = this.#thread;
    return (callId) => env.approvals.answered({ threadId, callId, decision: null });
  }

  /** What the user is asked beside approvals. */
  get toUser(): readonly PendingApproval[] {
    return [...this.ofModel.pending, ...this.ofServers.pending];
  }

  /** @throws InvalidRequestError for an answer that nobody waits for */
  checkAwaited(op: AnswerOp): void {
    if (op.type === "user_input_answer") this.ofModel.checkAwaited(op);
    else if (op.type === "resolve_elicitation")
      this.ofServers.checkAwaited({ type: op.type, id: String(op.request_id) });
    else this.#thread.env.approvals.checkAwaited(this.#thread, op);
  }
}
