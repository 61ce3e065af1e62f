import * as z from "zod";
import { InvalidRequestError } from "../../protocol/errors.ts";
import type { Tool } from "../../protocol/function-tool.ts";
import type { ThreadId } from "../../protocol/ids.ts";
import { tool } from "../../turn/tool.ts";
import { type Goals, shownGoal } from "./goals.ts";
import type { Goal } from "./thread-memos.ts";

/** The tools, and the goals of the server that answers them. Their JSON Schemas are written out: zod's way to them takes 4 % of a start. */
export class ServedGoalTools {
  readonly tools = toolsOf(() => this.#goals);
  #goals: Goals | undefined;

  serveFrom(goals: Goals): void {
    this.#goals = goals;
  }
}

/** The tools are answered from these goals from now on. @throws InvalidRequestError for tools that createGoalTools has not made */
export function serveGoals(tools: object, goals: Goals): void {
  if (!(tools instanceof ServedGoalTools))
    throw new InvalidRequestError("goalTools: has to be made by createGoalTools");
  tools.serveFrom(goals);
}

function toolsOf(goalsOf: () => Goals | undefined): readonly Tool[] {
  const goals = (): Goals => {
    const found = goalsOf();
    if (found === undefined) throw new InvalidRequestError("goals are not supported here");
    return found;
  };
  const tools = [
    tool({
      name: "get_goal",
      description:
        "Gives the goal of this thread, with its status, its budget and what was used of it; null: there is none.",
      inputJsonSchema: { type: "object", properties: {} },
      execute: async (_, { threadId }) => reportOf(threadId, await goals().read(threadId)),
    }),
    tool({
      name: "create_goal",
      description:
        "Sets a goal that this thread works toward over several turns. Only where the user asks for that, and only while no other goal is being worked on.",
      input: z.object({ objective: z.string(), token_budget: z.int().nullish() }),
      inputJsonSchema: {
        type: "object",
        properties: { objective: { type: "string" }, token_budget: { type: ["integer", "null"] } },
        required: ["objective"],
      },
      execute: async ({ objective, token_budget }, call) => {
        const { threadId } = call;
        const before = await goals().read(threadId);
        if (before !== null && before.status !== "complete") {
          throw new InvalidRequestError("this thread has a goal already; it has to be completed or cleared first");
        }
        if (before !== null) await goals().clear(threadId);
        const change = { objective, status: "active" as const, tokenBudget: token_budget ?? null };
        return reportOf(threadId, await goals().setByModel(call, change));
      },
    }),
    tool({
      name: "update_goal",
      description:
        "Says that the goal of this thread is reached (complete), that it cannot be reached without the user (blocked), or that the work is to rest (paused).",
      input: z.object({ status: z.enum(["complete", "blocked", "paused"]) }),
      inputJsonSchema: {
        type: "object",
        properties: { status: { type: "string", enum: ["complete", "blocked", "paused"] } },
        required: ["status"],
      },
      execute: async ({ status }, call) => reportOf(call.threadId, await goals().setByModel(call, { status })),
    }),
  ];
  return tools.map((each) => ({ ...each, isQuiet: true }));
}

function reportOf(threadId: ThreadId, goal: Goal | null) {
  const budget = goal?.tokenBudget ?? null;
  const remainingTokens = goal === null || budget === null ? null : Math.max(0, budget - goal.tokensUsed);
  return {
    goal: goal === null ? null : shownGoal(threadId, goal),
    remainingTokens,
    completionBudgetReport: null,
  };
}
