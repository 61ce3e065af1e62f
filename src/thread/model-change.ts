import type { EventMsg } from "../protocol/event.ts";

/** Codex's warning that a thread goes on with another model (SPEC 5.1). */
export const modelChanged = (recorded: string, model: string): EventMsg => ({
  type: "warning",
  message: `This session was recorded with model \`${recorded}\` but is resuming with \`${model}\`. Consider switching back to \`${recorded}\` as it may affect Codex performance.`,
});
