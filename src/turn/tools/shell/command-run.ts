/** Runs one command to its end, its timeout or its interruption. */
import { elapsedBy } from "../../../kernel/clock.ts";
import { type CommandOutput, CommandProcess, type CommandProcessOptions } from "../../../process/command-process.ts";
import type { Launch } from "../../../process/launch.ts";

export type CommandOptions = CommandProcessOptions & {
  readonly timeoutMs: number;
  readonly signal: AbortSignal;
};

export type CommandResult = CommandOutput & {
  readonly ending: "exited" | "timedOut" | "aborted";
  readonly exitCode: number;
  readonly durationMs: number;
};

/** GNU timeout's exit code, as Codex gives it. */
export const TIMEOUT_EXIT_CODE = 124;

/** @throws when the program cannot be started. An abort ends the command and resolves with what it wrote until then. */
export async function runCommand(launch: Launch, options: CommandOptions): Promise<CommandResult> {
  const { clock, signal, timeoutMs } = options;
  const startedAt = elapsedBy(clock);
  const command = new CommandProcess(launch, options);
  let ending = "exited" as CommandResult["ending"];
  const end = (how: "timedOut" | "aborted") => {
    if (command.hasExited) return command.kill();
    ending = how;
    command.terminate();
  };
  const timer = clock.setTimeout(() => end("timedOut"), timeoutMs);
  const onAbort = () => end("aborted");
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  try {
    const exitCode = await command.exit;
    return {
      ending,
      exitCode: ending === "timedOut" ? TIMEOUT_EXIT_CODE : exitCode,
      ...command.output,
      durationMs: elapsedBy(clock) - startedAt,
    };
  } finally {
    clock.clearTimeout(timer);
    signal.removeEventListener("abort", onAbort);
  }
}
