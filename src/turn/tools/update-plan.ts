import * as z from "zod";
import { InvalidRequestError } from "../../protocol/errors.ts";
import type { BuiltInTool } from "./built-in-tool.ts";

const argumentsSchema = z.looseObject({
  explanation: z.string().nullish(),
  plan: z.array(z.object({ step: z.string(), status: z.enum(["pending", "in_progress", "completed"]) })),
});

/** Codex's `update_plan`: shows the model's plan to watchers, and does nothing else. */
export const updatePlan: BuiltInTool = {
  idempotent: true,
  spec: {
    type: "function",
    name: "update_plan",
    description:
      "Shows the user the plan as it stands: all of its steps, each with a status, of which one at most is in_progress.",
    strict: false,
    parameters: {
      type: "object",
      properties: {
        explanation: { type: "string" },
        plan: {
          type: "array",
          items: {
            type: "object",
            properties: {
              status: { type: "string", description: "One of: pending, in_progress, completed" },
              step: { type: "string" },
            },
            required: ["step", "status"],
            additionalProperties: false,
          },
          description: "The list of steps",
        },
      },
      required: ["plan"],
      additionalProperties: false,
    },
  },
  async run(call) {
    if (call.config.collaborationMode?.mode === "plan") {
      throw new InvalidRequestError("update_plan is a list of steps under way, and cannot be used in Plan mode");
    }
    const { explanation, plan } = call.argumentsAs(argumentsSchema);
    call.publish({ type: "plan_update", explanation: explanation ?? null, plan });
    return "Plan updated";
  },
};
