/**
 * One run of a client's command.
 *
 * - It belongs to its connection: it ends, with everything that it started, when the client has gone or sends no more.
 * - Its id can be used from the moment the request is taken: what is written before the program runs waits for it.
 * - A client that reads slowly holds up the program, not this process's memory.
 */
import type { Clock } from "../../../kernel/clock.ts";
import type { Launch } from "../../../process/launch.ts";
import { ioText } from "../../../services/io-failure.ts";
import { INTERNAL_ERROR, invalidRequest, RpcError } from "../../rpc-error.ts";
import { CommandOutput, type OutputStream } from "./output.ts";
import { PipedProgram } from "./piped-program.ts";
import type { Program, TerminalSize } from "./plan.ts";
import { terminalProgram } from "./terminal-program.ts";

export type CommandRunOptions = {
  readonly clock: Clock;
  /** Without one, the client cannot write to the program, and there is nothing to read for it. */
  readonly stdin: "pipe" | "ignore" | { readonly terminal: TerminalSize | undefined };
  /** undefined: it may take as long as it likes. */
  readonly timeoutMs: number | undefined;
  /** Of each stream. */
  readonly capBytes: number;
  /** Called with what the program writes; without it, the answer has it. */
  readonly onOutput: ((stream: OutputStream, chunk: Buffer, capReached: boolean) => void) | undefined;
  /** A promise while the client lags behind. */
  readonly congestion: () => Promise<void> | undefined;
  /** Ends the program. */
  readonly signal: AbortSignal;
  /** How the text begins that says why a program could not be started. */
  readonly failure: string;
  /** What the program is to its client. */
  readonly called: string;
};

export type CommandEnding = {
  readonly how: "exited" | "timedOut";
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Whether a stream has reached its cap. */
  readonly isFull: Readonly<Record<OutputStream, boolean>>;
};

export class CommandRun {
  readonly #options: CommandRunOptions;
  readonly #started = Promise.withResolvers<Program>();
  readonly #over = new AbortController();
  #isInputClosed = false;

  constructor(options: CommandRunOptions) {
    this.#options = options;
    // A start that fails is reported by the answer of the run.
    this.#started.promise.catch(() => undefined);
  }

  /** Resolves once it runs; where it cannot be started, `run` says why. */
  async begun(): Promise<void> {
    await (await this.#started.promise).begun;
  }

  /**
   * Runs the program to its end, its timeout or its termination.
   * @param launch what is to run, once that is known; it is let go of when that has ended
   * @throws RpcError -32603 that it could not be started, and what `launch` rejects with
   */
  async run(launch: Promise<Launch>): Promise<CommandEnding> {
    try {
      const program = await this.#start(await launch);
      const ending = this.#follow(program);
      this.#started.resolve(program);
      return await ending;
    } catch (error) {
      const failure =
        error instanceof RpcError || !(error instanceof Error) ? error : this.#failed(reasonOf(error), error);
      this.#started.reject(failure);
      throw failure;
    }
  }

  async #start(launch: Launch): Promise<Program> {
    if (launch.argv[0] === "") throw this.#failed("missing program for pipe spawn");
    const { clock, stdin } = this.#options;
    try {
      if (typeof stdin === "object") return await terminalProgram(launch, { clock, size: stdin.terminal });
      return new PipedProgram(launch, { clock, stdin });
    } catch (error) {
      launch.release?.();
      throw error;
    }
  }

  async #follow(program: Program): Promise<CommandEnding> {
    const { clock, timeoutMs, signal } = this.#options;
    const outputs = { stdout: this.#output("stdout", program), stderr: this.#output("stderr", program) };
    program.onOutput((stream, chunk) => outputs[stream].take(chunk));
    let how: CommandEnding["how"] = "exited";
    const timer =
      timeoutMs === undefined
        ? undefined
        : clock.setTimeout(() => {
            how = "timedOut";
            program.kill();
          }, timeoutMs);
    const end = AbortSignal.any([signal, this.#over.signal]);
    const onEnd = () => program.kill();
    end.addEventListener("abort", onEnd, { once: true });
    if (end.aborted) onEnd();
    try {
      const exitCode = await program.exit;
      const { stdout, stderr } = outputs;
      const isFull = { stdout: stdout.isFull, stderr: stderr.isFull };
      return { how, exitCode, stdout: stdout.text(), stderr: stderr.text(), isFull };
    } finally {
      if (timer !== undefined) clock.clearTimeout(timer);
      end.removeEventListener("abort", onEnd);
    }
  }

  #output(stream: OutputStream, program: Program): CommandOutput {
    const { capBytes, onOutput } = this.#options;
    if (onOutput === undefined) return new CommandOutput(capBytes);
    return new CommandOutput(capBytes, (chunk, capReached) => {
      onOutput(stream, chunk, capReached);
      const congestion = this.#options.congestion();
      if (congestion === undefined) return;
      program.pause();
      void congestion.then(() => program.resume());
    });
  }

  /** @throws RpcError -32600 when the program takes no input, or no more of it */
  async write(bytes: Buffer): Promise<void> {
    const program = await this.#writable();
    if (this.#isInputClosed) throw invalidRequest("stdin is already closed");
    // The answer waits for the program to read, so that a client that heeds its answers never piles up input here.
    await program.write(bytes);
  }

  /** Writes the last of the input. @throws RpcError -32600 when the program takes no input, or no more of it */
  async finishInput(bytes: Buffer): Promise<void> {
    const program = await this.#writable();
    if (this.#isInputClosed && bytes.length > 0) throw invalidRequest("stdin is already closed");
    if (this.#isInputClosed) return;
    this.#isInputClosed = true;
    if (bytes.length > 0) void program.write(bytes);
    program.end();
  }

  #writable(): Promise<Program> {
    const { stdin, called } = this.#options;
    if (stdin === "ignore") {
      throw invalidRequest(`stdin streaming is not enabled for this ${called}`);
    }
    return this.#started.promise;
  }

  /** @throws RpcError -32600 when the program has no terminal */
  async resize(size: TerminalSize): Promise<void> {
    (await this.#started.promise).resize(size);
  }

  terminate(): void {
    this.#over.abort();
  }

  #failed(why: string, cause?: unknown): RpcError {
    return new RpcError(INTERNAL_ERROR, `${this.#options.failure}: ${why}`, { code: "invalid_request", cause });
  }
}

/** A name with a NUL byte in it never gets to the system. */
const reasonOf = (error: Error): string =>
  error.message.includes("null bytes") ? "nul byte found in provided data" : ioText(error);
