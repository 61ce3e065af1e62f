import type { ReviewDecision } from "../protocol/policy.ts";
import { Consents } from "./consents.ts";
import type { PendingApproval } from "./pending-approval.ts";

type Waiting = PendingApproval & { readonly resolve: (decision: ReviewDecision) => void };

/** So many answered calls are known, so that a late answer hears why it comes too late. */
const ANSWERED_KEPT = 64;

/** The approvals that a thread waits for. Each is answered once: the first answer wins. */
export class Approvals {
  readonly consents = new Consents();
  readonly #onChange: ((pending: number) => void) | undefined;
  #waiting: Waiting[] = [];
  /** The newest calls that were answered. */
  readonly #answered = new Set<string>();

  /** @param onChange told how many requests wait, whenever that changes */
  constructor(onChange?: (pending: number) => void) {
    this.#onChange = onChange;
  }

  get pending(): readonly PendingApproval[] {
    return this.#waiting;
  }

  /** Waits for the answer. An abort withdraws the request and rejects with the signal's reason. */
  ask(request: PendingApproval, signal: AbortSignal): Promise<ReviewDecision> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(signal.reason);
        return;
      }
      const waiting: Waiting = { ...request, resolve: (decision) => settle(() => resolve(decision)) };
      const onAbort = () => settle(() => reject(signal.reason));
      const settle = (finish: () => void) => {
        signal.removeEventListener("abort", onAbort);
        this.#waiting = this.#waiting.filter((other) => other !== waiting);
        this.#onChange?.(this.#waiting.length);
        finish();
      };
      signal.addEventListener("abort", onAbort, { once: true });
      this.#waiting.push(waiting);
      this.#onChange?.(this.#waiting.length);
    });
  }

  /** Answers the request of this call or turn. False when there is none (any more). */
  answer(id: string, decision: ReviewDecision): boolean {
    const waiting =
      this.#waiting.find((request) => request.callId === id) ?? this.#waiting.find((request) => request.turn === id);
    if (waiting === undefined) return false;
    this.#noteAnswered(waiting.callId);
    waiting.resolve(decision);
    return true;
  }

  /** Whether a request of this call or turn waits for its answer. */
  isPending(id: string): boolean {
    return this.#waiting.some(({ callId, turn }) => callId === id || turn === id);
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
