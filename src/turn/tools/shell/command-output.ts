/** A command's output as the model gets it, in Codex's form. */
import { truncateMiddle } from "../../tool-output.ts";
import type { CommandResult } from "./command-run.ts";

/** The text that exec_command_end shows: with a note of the timeout, cut to the model's budget. */
export const shownOutput = (result: CommandResult): string => truncateMiddle(contentOf(result));

export function outputForModel(
  result: Pick<CommandResult, "ending" | "exitCode" | "aggregated" | "durationMs">,
): string {
  const content = contentOf(result);
  const shown = truncateMiddle(content);
  const lines = lineCount(content);
  return [
    `Exit code: ${result.exitCode}`,
    `Wall time: ${Math.round(result.durationMs / 100) / 10} seconds`,
    ...(lines === lineCount(shown) ? [] : [`Total output lines: ${lines}`]),
    "Output:",
    shown,
  ].join("\n");
}

const contentOf = ({ ending, aggregated, durationMs }: Pick<CommandResult, "ending" | "aggregated" | "durationMs">) =>
  ending === "timedOut" ? `command timed out after ${durationMs} milliseconds\n${aggregated}` : aggregated;

function lineCount(text: string): number {
  let count = 0;
  for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", at + 1)) count += 1;
  return text === "" || text.endsWith("\n") ? count : count + 1;
}
