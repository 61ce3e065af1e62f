/** A command's output as the model gets it, in Codex's form. */
import { truncateMiddle } from "../../tool-output.ts";
import type { CommandResult } from "./command-run.ts";

type Shown = Pick<CommandResult, "ending" | "exitCode" | "aggregated" | "lines" | "omittedBytes" | "durationMs">;

/** The text that exec_command_end shows: with a note of the timeout, cut to the model's budget. */
export const shownOutput = (result: Shown): string => truncateMiddle(contentOf(result), result.omittedBytes);

export function outputForModel(result: Shown): string {
  const shown = shownOutput(result);
  const isWhole = result.omittedBytes === 0 && shown.length === contentOf(result).length;
  return [
    `Exit code: ${result.exitCode}`,
    `Wall time: ${Math.round(result.durationMs / 100) / 10} seconds`,
    ...(isWhole ? [] : [`Total output lines: ${result.lines}`]),
    "Output:",
    shown,
  ].join("\n");
}

const contentOf = ({ ending, aggregated, durationMs }: Shown) =>
  ending === "timedOut" ? `command timed out after ${durationMs} milliseconds\n${aggregated}` : aggregated;
