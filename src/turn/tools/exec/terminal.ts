/** A command that may outlive the call that started it: a session of exec_command, read in pieces. */
import { raceAbort } from "../../../kernel/cancellation.ts";
import { type Clock, elapsedBy, sleep } from "../../../kernel/clock.ts";
import {
  type CommandOutput,
  type CommandProcessOptions,
  KEPT_BYTES,
  type RunningCommand,
} from "../../../process/command-process.ts";
import { OutputWindow } from "../../../process/output-window.ts";

export type TerminalOptions = {
  /** The session's id, as the model gives it. */
  readonly id: number;
  /** The call that started it. */
  readonly callId: string;
  readonly script: string;
  readonly cwd: string;
  readonly clock: Clock;
  readonly start: (onOutput: CommandProcessOptions["onOutput"]) => RunningCommand;
  readonly onOutput: CommandProcessOptions["onOutput"];
};

/** What came since the last look. */
export type Piece = {
  readonly text: string;
  readonly lines: number;
  /** All bytes that came, those too that `text` lacks in its middle. */
  readonly bytes: number;
  readonly omittedBytes: number;
};

export class Terminal {
  readonly id: number;
  readonly callId: string;
  readonly script: string;
  readonly cwd: string;
  /** As {@link elapsedBy} measures. */
  readonly startedAt: number;
  /** When a call has looked at it last. */
  usedAt: number;
  /** Set when the command has ended and its output is read. */
  exitCode: number | undefined;
  /** How long it ran; known with its end. */
  durationMs = 0;
  /** Resolves with the exit code. Rejects when the command cannot be started. */
  readonly ended: Promise<number>;
  readonly #clock: Clock;
  readonly #command: RunningCommand;
  #unread = new OutputWindow(KEPT_BYTES);
  #unreadBytes = 0;
  #isTerminated = false;
  readonly #onEnds = new Set<() => void>();

  /** @throws what `start` throws */
  constructor({ id, callId, script, cwd, clock, start, onOutput }: TerminalOptions) {
    this.id = id;
    this.callId = callId;
    this.script = script;
    this.cwd = cwd;
    this.#clock = clock;
    this.startedAt = elapsedBy(clock);
    this.usedAt = this.startedAt;
    this.#command = start((stream, chunk) => {
      this.#unread.push(chunk);
      this.#unreadBytes += chunk.length;
      onOutput(stream, chunk);
    });
    this.ended = this.#command.exit.then(
      (code) => this.#end(this.#isTerminated ? NO_EXIT_CODE : code),
      (error) => {
        this.#end(NO_EXIT_CODE);
        throw error;
      },
    );
    // Waiters hear of it; nobody has to wait.
    this.ended.catch(() => undefined);
  }

  #end(exitCode: number): number {
    this.durationMs = elapsedBy(this.#clock) - this.startedAt;
    this.exitCode = exitCode;
    for (const onEnd of this.#onEnds) onEnd();
    return exitCode;
  }

  get output(): CommandOutput {
    return this.#command.output;
  }

  /**
   * Waits until the command has ended, or for so long. Rejects with the signal's reason; the command then goes on.
   * @param onEnd called when the command ends meanwhile, before its end is told
   */
  async settle(ms: number, signal: AbortSignal, onEnd?: () => void): Promise<void> {
    const timer = new AbortController();
    if (onEnd !== undefined) this.#onEnds.add(onEnd);
    try {
      await raceAbort(Promise.race([this.ended, sleep(this.#clock, ms, timer.signal)]), signal);
    } finally {
      timer.abort();
      if (onEnd !== undefined) this.#onEnds.delete(onEnd);
    }
  }

  noteUse(now: number): void {
    this.usedAt = now;
  }

  /** What came since the last look; it is not given again. */
  take(): Piece {
    const unread = this.#unread;
    const bytes = this.#unreadBytes;
    this.#unread = new OutputWindow(KEPT_BYTES);
    this.#unreadBytes = 0;
    return { text: unread.text(), lines: unread.lines, bytes, omittedBytes: unread.omittedBytes };
  }

  /** Types into the command. False where its input is closed. */
  write(chars: string): boolean {
    this.#command.write?.(chars);
    return this.#command.write !== undefined;
  }

  /** Ends the command and all that it started. Its exit code is then -1. */
  terminate(): void {
    if (this.exitCode !== undefined) return;
    this.#isTerminated = true;
    this.#command.terminate();
  }

  /** Ends it now. */
  kill(): void {
    this.#isTerminated = true;
    this.#command.kill();
  }
}

/** Of a command that was ended from here, or could not be started. */
const NO_EXIT_CODE = -1;
