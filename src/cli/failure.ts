import { CommanderError } from "commander";
import { SkeinError, StoreIoError } from "../protocol/errors.ts";
import { withoutSecretShapes } from "../protocol/secrets.ts";
import { harmless } from "./terminal/harmless.ts";

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

/** For what the system says when it is to write a file that the user named. @throws StoreIoError */
export const notWritten =
  (path: string) =>
  (error: NodeJS.ErrnoException): never => {
    const why = error.code === "EEXIST" ? "it exists already" : error.message;
    throw new StoreIoError(`cannot write ${path}: ${why}`, { cause: error });
  };

export function describe(error: unknown): string {
  const text = harmless(withoutSecretShapes(error instanceof Error ? error.message : String(error)));
  return error instanceof SkeinError ? `${text} (${error.code})` : text;
}

/** What the process answers its caller with. */
export const EXIT = { ok: 0, failed: 1, usage: 2, hungUp: 129, interrupted: 130, terminated: 143 } as const;

/** Ends a command with an exit code after it has said all that there is to say. */
export class Exit extends Error {
  readonly exitCode: number;
  constructor(exitCode: number) {
    super(`exit ${exitCode}`);
    this.exitCode = exitCode;
  }
}
