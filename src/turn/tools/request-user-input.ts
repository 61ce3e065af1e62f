import * as z from "zod";
import { InvalidRequestError } from "../../protocol/errors.ts";
import type { BuiltInTool } from "./built-in-tool.ts";

const argumentsSchema = z.looseObject({
  questions: z
    .array(
      z.looseObject({
        id: z.string(),
        header: z.string(),
        question: z.string(),
        options: z.array(z.looseObject({ label: z.string(), description: z.string() })).nullish(),
      }),
    )
    .min(1),
});

const text = (description: string) => ({ type: "string", description });

/** Codex's `request_user_input`: asks the user, and waits for the answers. In plan mode only. */
export const requestUserInput: BuiltInTool = {
  idempotent: true,
  spec: {
    type: "function",
    name: "request_user_input",
    description:
      "Asks the user one to three short questions, and waits for the answers. Can be used in Plan mode only.",
    strict: false,
    parameters: {
      type: "object",
      properties: {
        questions: {
          type: "array",
          description: "The questions; one is best, three at most.",
          items: {
            type: "object",
            properties: {
              id: text("The name of the answer: snake_case, another one for each question."),
              header: text("A few words that stand above the question."),
              question: text("The question, in one sentence."),
              options: {
                type: "array",
                description:
                  'Two or three answers that exclude each other, the one that you would take first, its label ending in (Recommended). No "Other": the user can always say something else.',
                items: {
                  type: "object",
                  properties: {
                    label: text("One to five words."),
                    description: text("What choosing it means, in one sentence."),
                  },
                  required: ["label", "description"],
                  additionalProperties: false,
                },
              },
            },
            required: ["id", "header", "question", "options"],
            additionalProperties: false,
          },
        },
      },
      required: ["questions"],
      additionalProperties: false,
    },
  },
  async run(call) {
    if (call.config.collaborationMode?.mode !== "plan") {
      throw new InvalidRequestError("request_user_input is unavailable in Default mode");
    }
    const { questions } = call.argumentsAs(argumentsSchema);
    const response = await call.askUser(
      questions.map(({ id, header, question, options }) => ({
        ...{ id, header, question, is_other: true, is_secret: false },
        options: options?.map(({ label, description }) => ({ label, description })) ?? null,
      })),
    );
    return JSON.stringify(response);
  },
};
