import { CommanderError } from "commander";
import { SkeinError } from "../index.ts";
import { EXIT, Exit } from "./exit-code.ts";
import { harmless } from "./text-width.ts";

/** Input on the command line that cannot be meant: told like commander's own errors, with exit code 2. */
export class UsageError extends Error {}

/** What to exit with after a command threw; what went wrong is told on `stderr` in one line. */
export function exitCodeOf(error: unknown, stderr: NodeJS.WritableStream): number {
  if (error instanceof Exit) return error.exitCode;
  // Commander has told its own errors by now.
  if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
  stderr.write(`error: ${describe(error)}\n`);
  return error instanceof UsageError ? EXIT.usage : EXIT.failed;
}

export function describe(error: unknown): string {
  if (error instanceof SkeinError) return `${harmless(error.message)} (${error.code})`;
  return harmless(error instanceof Error ? error.message : String(error));
}
