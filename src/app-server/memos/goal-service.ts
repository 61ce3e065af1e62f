/** Which goals the tools of a manager work on: those of the server over it. */
import type { Goals } from "./goals.ts";

const served = new WeakMap<object, Goals>();

/** The tools are answered from these goals from now on. */
export const serveGoals = (tools: object, goals: Goals): void => {
  served.set(tools, goals);
};

export const goalsOf = (tools: object): Goals | undefined => served.get(tools);
