/** A command at work: a process group, with its output bounded. */
import type { Clock } from "../kernel/clock.ts";
import type { Launch } from "./launch.ts";
import { OutputWindow } from "./output-window.ts";
import { ProcessGroup } from "./process-group.ts";

export type Stream = "stdout" | "stderr";

export type CommandProcessOptions = {
  readonly clock: Clock;
  /** What the command finds at its standard input; nothing unless given. */
  readonly input?: string;
  /** Given all that is written, as it comes. */
  readonly onOutput: (stream: Stream, chunk: Buffer) => void;
};

/** What a command has written so far. */
export type CommandOutput = {
  readonly stdout: string;
  readonly stderr: string;
  /** Both, as they came. */
  readonly aggregated: string;
  /** How many lines came, and how many bytes `aggregated` lacks in its middle. */
  readonly lines: number;
  readonly omittedBytes: number;
};

/** What is kept of each stream, and of both together. */
export const KEPT_BYTES = 256 * 1024;

/** A command at work, behind pipes or in a pseudo-terminal. */
export interface RunningCommand {
  /** Resolves with the exit code when the program has ended and its output is read. Rejects when it cannot be started. */
  readonly exit: Promise<number>;
  readonly output: CommandOutput;
  /** Types into it; not there where its input is closed. */
  readonly write?: (chars: string) => void;
  /** Asks the command and all that it started to end, and ends it by force soon after. */
  terminate(): void;
  /** Ends it now. */
  kill(): void;
}

export class CommandProcess implements RunningCommand {
  readonly exit: Promise<number>;
  readonly #group: ProcessGroup;
  readonly #onOutput: CommandProcessOptions["onOutput"];
  readonly #windows = { stdout: new OutputWindow(KEPT_BYTES), stderr: new OutputWindow(KEPT_BYTES) };
  readonly #both = new OutputWindow(KEPT_BYTES);

  /** @throws what `spawn` throws at once */
  constructor(launch: Launch, { onOutput, clock, input }: CommandProcessOptions) {
    this.#onOutput = onOutput;
    this.#group = new ProcessGroup(launch, { clock, stdin: input === undefined ? "ignore" : "pipe" });
    const { stdin, stdout, stderr } = this.#group.child;
    // It may end before it has read everything; its exit code tells.
    stdin?.on("error", () => undefined);
    stdin?.end(input);
    stdout?.on("data", (chunk: Buffer) => this.#take("stdout", chunk));
    stderr?.on("data", (chunk: Buffer) => this.#take("stderr", chunk));
    this.exit = this.#group.exit;
  }

  /** Whether the program has ended, read or not. */
  get hasExited(): boolean {
    return this.#group.hasExited;
  }

  get output(): CommandOutput {
    return {
      stdout: this.#windows.stdout.text(),
      stderr: this.#windows.stderr.text(),
      aggregated: this.#both.text(),
      lines: this.#both.lines,
      omittedBytes: this.#both.omittedBytes,
    };
  }

  terminate(): void {
    this.#group.terminate();
  }

  kill(): void {
    this.#group.kill();
  }

  #take(stream: Stream, chunk: Buffer): void {
    this.#windows[stream].push(chunk);
    this.#both.push(chunk);
    this.#onOutput(stream, chunk);
  }
}
