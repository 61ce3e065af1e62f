import type { Goal } from "./thread-memos.ts";

/** What the model is told when a turn toward the goal begins. The frame is Codex's, so that no version takes it for the user's. */
export const goalPrompt = ({ objective, tokenBudget, tokensUsed, timeUsedSeconds }: Goal): string =>
  `<codex_internal_context source="goal">
This turn was begun by the goal of the thread. The user has said nothing new, and may not be there.

<objective>
${objective}
</objective>

Used so far: ${tokensUsed} tokens${tokenBudget === null ? "" : ` of ${tokenBudget}`}, ${timeUsedSeconds} seconds.

- Look at what is done already, and do the next step toward the goal. Keep the whole goal in sight; do not make it smaller.
- When you believe that it is reached, check that against the files, commands and results themselves. If it holds, call update_goal with the status complete.
- If nothing can be done without the user, call update_goal with the status blocked, and say what is needed.
- Otherwise end the turn when the step is done: another turn follows.
</codex_internal_context>`;
