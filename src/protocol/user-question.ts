import * as z from "zod";

/** What a model asks the user, with the answers that it proposes. */
export type UserQuestion = {
  id: string;
  /** A few words above the question. */
  header: string;
  question: string;
  /** Whether the user may answer in words of their own. */
  is_other: boolean;
  /** Whether the answer is not to be shown as it is typed. */
  is_secret: boolean;
  options: { label: string; description: string }[] | null;
};

/** The user's answers by the ids of the questions; a question that is not answered is left out. */
export type UserAnswers = { answers: { [questionId: string]: { answers: string[] } } };

export const userAnswersSchema: z.ZodType<UserAnswers> = z.object({
  answers: z.record(z.string(), z.object({ answers: z.array(z.string()) })),
});

/** Nobody has answered anything. */
export const NO_ANSWERS: UserAnswers = { answers: {} };
