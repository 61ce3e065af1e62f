import { InvalidRequestError } from "../protocol/errors.ts";
import type { PendingApproval } from "./pending-approval.ts";

type Waiting<Answer> = PendingApproval & { readonly resolve: (answer: Answer) => void };

type QuestionWatch<Answer> = {
  /** Told how many requests wait, whenever that changes. */
  readonly onChange?: (pending: number) => void;
  /** Told of each answer, before whoever waits for it. */
  readonly onAnswer?: (callId: string, answer: Answer) => void;
  /** Told of each request that nobody has answered and nobody waits for any more. */
  readonly onWithdrawn?: (callId: string) => void;
};

/** So many answered calls are known, so that a late answer hears why it comes too late. */
const ANSWERED_KEPT = 64;

/** What a thread's turns wait for somebody to say. Each question is answered once: the first answer wins. */
export class OpenQuestions<Answer> {
  readonly #watch: QuestionWatch<Answer>;
  #waiting: Waiting<Answer>[] = [];
  /** The newest calls that were answered. */
  readonly #answered = new Set<string>();

  constructor(watch: QuestionWatch<Answer> = {}) {
    this.#watch = watch;
  }

  get pending(): readonly PendingApproval[] {
    return this.#waiting;
  }

  /** Waits for the answer. An abort withdraws the request and rejects with the signal's reason. */
  ask(request: PendingApproval, signal: AbortSignal): Promise<Answer> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason);
        return;
      }
      const waiting: Waiting<Answer> = { ...request, resolve: (answer) => settle(() => resolve(answer)) };
      const onAbort = () => {
        this.#watch.onWithdrawn?.(request.callId);
        settle(() => reject(signal.reason));
      };
      const settle = (finish: () => void) => {
        signal.removeEventListener("abort", onAbort);
        this.#waiting = this.#waiting.filter((other) => other !== waiting);
        this.#watch.onChange?.(this.#waiting.length);
        finish();
      };
      signal.addEventListener("abort", onAbort, { once: true });
      this.#waiting.push(waiting);
      this.#watch.onChange?.(this.#waiting.length);
    });
  }

  /** Answers the request of this call or turn. False when there is none (any more). */
  answer(id: string, answer: Answer): boolean {
    const waiting =
      this.#waiting.find((request) => request.callId === id) ?? this.#waiting.find((request) => request.turn === id);
    if (waiting === undefined) return false;
    this.#noteAnswered(waiting.callId);
    this.#watch.onAnswer?.(waiting.callId, answer);
    waiting.resolve(answer);
    return true;
  }

  /** Whether a request of this call or turn waits for its answer. */
  isPending(id: string): boolean {
    return this.#waiting.some(({ callId, turn }) => callId === id || turn === id);
  }

  /** @throws InvalidRequestError for an answer that nobody waits for: whoever gave it would else believe that it counts */
  checkAwaited({ type, id }: { readonly type: string; readonly id: string }): void {
    if (this.isPending(id)) return;
    throw new InvalidRequestError(
      this.wasAnswered(id)
        ? `op ${type}: call \`${id}\` has been answered already; the first answer counts`
        : `op ${type}: no call \`${id}\` waits for an answer: nobody has asked, or its turn has ended`,
    );
  }

  /** Whether the call's request was answered, as far back as is known. */
  wasAnswered(callId: string): boolean {
    return this.#answered.has(callId);
  }

  #noteAnswered(callId: string): void {
    this.#answered.delete(callId);
    this.#answered.add(callId);
    const [oldest] = this.#answered;
    if (this.#answered.size > ANSWERED_KEPT && oldest !== undefined) this.#answered.delete(oldest);
  }
}
