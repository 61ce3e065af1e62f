import type { Tool } from "../../protocol/function-tool.ts";
import { ServedGoalTools } from "./served-goal-tools.ts";

/**
 * The tools by which models work with the goals of their threads. `tools` go into the options of the manager, and the whole
 * into those of its server, which answers them. One server has them at a time.
 */
export interface GoalTools {
  readonly tools: readonly Tool[];
}

/** Makes the tools for goals, for a manager and the server over it. */
export const createGoalTools = (): GoalTools => new ServedGoalTools();
