/** What a model asks the user, as v2 puts it. */
import { NO_ANSWERS, type UserAnswers, userAnswersSchema } from "../../protocol/user-question.ts";
import type { QuestionMsg } from "../asked-msg.ts";
import type { OpenRequest } from "../open-request.ts";

export function userInputRequest({ msg, feed, turnId }: OpenRequest<QuestionMsg>): { method: string; params: unknown } {
  const questions = msg.questions.map(({ id, header, question, is_other, is_secret, options }) => ({
    ...{ id, header, question, isOther: is_other, isSecret: is_secret, options },
  }));
  const place = { threadId: feed.threadId, turnId, itemId: msg.call_id };
  return {
    method: "item/tool/requestUserInput",
    params: { ...place, questions, isBlocking: true, autoResolutionMs: null },
  };
}

/** What is no answer counts as none. */
export const answersOf = (result: unknown): UserAnswers => userAnswersSchema.safeParse(result).data ?? NO_ANSWERS;
