/**
 * What users have decided while an earlier worker ran the turn, for the next one: a call that it asks about again has its answer already. Calls
 * are told apart by their turn and by what is asked as well: models give ids again.
 */
import { createHash } from "node:crypto";
import type { ExecApprovalOp, PatchApprovalOp, UserInputAnswerOp } from "../protocol/op.ts";
import type { LiveThread } from "../thread/live-thread.ts";
import type { PendingApproval } from "../turn/pending-approval.ts";
import type { Message, Question } from "./wire.ts";

export type OpMessage = Extract<Message, { kind: "op" }>;
type Answer = ExecApprovalOp | PatchApprovalOp | UserInputAnswerOp;

export const isAnswer = (message: Message): message is OpMessage & { readonly op: Answer } =>
  message.kind === "op" && ["exec_approval", "patch_approval", "user_input_answer"].includes(message.op.type);

const questionsOf = (thread: LiveThread): readonly PendingApproval[] => [
  ...thread.pendingApprovals,
  ...thread.pendingUserQuestions,
];

const questionIn = ({ turn, callId, msg }: PendingApproval): Question => ({
  ...{ turn, callId },
  what: createHash("sha256").update(JSON.stringify(msg)).digest("base64url"),
});

const keyOf = ({ turn, callId, what }: Question): string => `${turn} ${callId} ${what}`;

/**
 * Which question it answers: an approval op may name its turn in place of the call.
 * @param agents those under the thread, whose calls may be answered at it
 */
export function answeredBy(thread: LiveThread, agents: readonly LiveThread[], message: Message): Question | undefined {
  if (!isAnswer(message)) return undefined;
  const { id } = message.op;
  const own = questionsOf(thread);
  const ofCall = ({ callId }: PendingApproval) => callId === id;
  const asked = own.find(ofCall) ?? own.find(({ turn }) => turn === id) ?? agents.flatMap(questionsOf).find(ofCall);
  return asked && questionIn(asked);
}

export class EarlierDecisions {
  readonly #answers = new Map<string, Answer>();
  readonly #listening = new Set<LiveThread>();

  /** @param question undefined where nobody knows which one it was: that one is asked again */
  note(op: Answer, question: Question | undefined): void {
    if (question !== undefined) this.#answers.set(keyOf(question), op);
  }

  /** Now, and whenever the thread asks again. */
  giveTo(thread: LiveThread): void {
    for (const question of questionsOf(thread)) {
      const key = keyOf(questionIn(question));
      const op = this.#answers.get(key);
      if (op === undefined) continue;
      this.#answers.delete(key);
      void thread.submit({ ...op, id: question.callId }).catch(() => undefined);
    }
    if (this.#listening.has(thread) || this.#answers.size === 0) return;
    this.#listening.add(thread);
    thread.observe({ event: () => this.giveTo(thread), closed: () => undefined });
  }
}
