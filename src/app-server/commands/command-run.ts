/**
 * One run of a client's command.
 *
 * X1  It belongs to its connection: it ends, with everything that it started, when the client has gone or sends no more.
 * X2  Its id can be used from the moment the request is taken: what is written before the program runs waits for it.
 * X3  A client that reads slowly holds up the program, not this process's memory.
 */
import type { Readable, Writable } from "node:stream";
import type { Clock } from "../../kernel/clock.ts";
import { ioText } from "../../services/io-failure.ts";
import { ProcessGroup } from "../../turn/tools/process-group.ts";
import { exitOf, streamsClosed } from "../../turn/tools/shell/command-process.ts";
import { INTERNAL_ERROR, invalidRequest, RpcError } from "../rpc-error.ts";
import { CommandOutput, type OutputStream } from "./command-output.ts";
import type { CommandPlan } from "./command-plan.ts";

export type CommandRunOptions = {
  readonly clock: Clock;
  /** Whether the client may write to the program; otherwise there is nothing to read for it. */
  readonly stdin: "pipe" | "ignore";
  /** undefined: it may take as long as it likes. */
  readonly timeoutMs: number | undefined;
  /** Of each stream. */
  readonly capBytes: number;
  /** Told of what the program writes; without it, the answer has it. */
  readonly onOutput: ((stream: OutputStream, chunk: Buffer, capReached: boolean) => void) | undefined;
  /** A promise while the client lags behind. */
  readonly congestion: () => Promise<void> | undefined;
  /** Ends the program. */
  readonly signal: AbortSignal;
  /** How the text begins that says why a program could not be started. */
  readonly failure: string;
};

export type CommandEnding = {
  readonly how: "exited" | "timedOut";
  readonly exitCode: number;
  readonly stdout: string;
  readonly stderr: string;
};

export class CommandRun {
  readonly #options: CommandRunOptions;
  readonly #started = Promise.withResolvers<ProcessGroup>();
  readonly #over = new AbortController();
  #isInputClosed = false;
  #hasEnded = false;

  constructor(options: CommandRunOptions) {
    this.#options = options;
    // Whoever waits for a start that fails is told by the answer of the run.
    this.#started.promise.catch(() => undefined);
  }

  /**
   * Runs the program to its end, its timeout or its termination.
   * @param plan what is to run, once that is known
   * @throws RpcError -32603 that it could not be started, and what `plan` rejects with
   */
  async run(plan: Promise<CommandPlan>): Promise<CommandEnding> {
    try {
      const group = this.#start(await plan);
      this.#started.resolve(group);
      return await this.#follow(group);
    } catch (error) {
      this.#started.reject(error);
      throw error;
    }
  }

  #start({ argv, cwd, env }: CommandPlan): ProcessGroup {
    if (argv[0] === "") throw this.#failed("missing program for pipe spawn");
    const { clock, stdin } = this.#options;
    try {
      return new ProcessGroup(argv, { cwd, env, clock, stdin });
    } catch (error) {
      throw this.#failed(isNulByte(error) ? "nul byte found in provided data" : ioText(error), error);
    }
  }

  async #follow(group: ProcessGroup): Promise<CommandEnding> {
    const { clock, timeoutMs, signal } = this.#options;
    const { child } = group;
    const stdout = this.#output("stdout", child.stdout);
    const stderr = this.#output("stderr", child.stderr);
    // The program may close its input, or end, before it has read everything.
    child.stdin?.on("error", () => undefined);
    let how: CommandEnding["how"] = "exited";
    const timer =
      timeoutMs === undefined
        ? undefined
        : clock.setTimeout(() => {
            how = "timedOut";
            group.kill();
          }, timeoutMs);
    const end = AbortSignal.any([signal, this.#over.signal]);
    const onEnd = () => group.kill();
    end.addEventListener("abort", onEnd, { once: true });
    if (end.aborted) onEnd();
    try {
      const exitCode = await exitOf(group).catch((error: unknown) => {
        throw this.#failed(ioText(error), error);
      });
      // What the pipes still hold is little: a slow client holds up nothing any more.
      this.#hasEnded = true;
      for (const stream of [child.stdout, child.stderr]) stream?.resume();
      await streamsClosed([child.stdout, child.stderr], clock);
      return { how, exitCode, stdout: stdout.text(), stderr: stderr.text() };
    } finally {
      if (timer !== undefined) clock.clearTimeout(timer);
      end.removeEventListener("abort", onEnd);
    }
  }

  #output(name: OutputStream, stream: Readable | null): CommandOutput {
    const { capBytes, onOutput } = this.#options;
    const output = new CommandOutput(
      capBytes,
      onOutput &&
        ((chunk, capReached) => {
          onOutput(name, chunk, capReached);
          this.#heedCongestion(stream);
        }),
    );
    output.listen(stream);
    return output;
  }

  #heedCongestion(stream: Readable | null): void {
    const congestion = this.#options.congestion();
    if (congestion === undefined || this.#hasEnded) return;
    stream?.pause();
    void congestion.then(() => stream?.resume());
  }

  /** @throws RpcError -32600 when the program takes no input, or no more of it */
  async write(bytes: Buffer): Promise<void> {
    const stdin = await this.#input();
    if (this.#isInputClosed) throw invalidRequest("stdin is already closed");
    // The answer waits for the program to read, so that a client that heeds its answers never piles up input here.
    if (!stdin.write(bytes)) await drained(stdin);
  }

  /** Writes the last of the input. @throws RpcError -32600 when the program takes no input, or no more of it */
  async finishInput(bytes: Buffer): Promise<void> {
    const stdin = await this.#input();
    if (this.#isInputClosed && bytes.length > 0) throw invalidRequest("stdin is already closed");
    this.#isInputClosed = true;
    if (bytes.length > 0) stdin.write(bytes);
    stdin.end();
  }

  async #input(): Promise<Writable> {
    if (this.#options.stdin === "ignore") throw invalidRequest("stdin streaming is not enabled for this command/exec");
    const { stdin } = (await this.#started.promise).child;
    if (stdin === null) throw invalidRequest("stdin streaming is not enabled for this command/exec");
    return stdin;
  }

  #failed(why: string, cause?: unknown): RpcError {
    return new RpcError(INTERNAL_ERROR, `${this.#options.failure}: ${why}`, { code: "invalid_request", cause });
  }

  terminate(): void {
    this.#over.abort();
  }
}

/** Resolves too when the program ends, or closes its input. */
function drained(stdin: Writable): Promise<void> {
  return new Promise((resolve) => {
    if (stdin.destroyed) return resolve();
    stdin.once("drain", resolve);
    stdin.once("close", resolve);
  });
}

const isNulByte = (error: unknown): boolean => error instanceof Error && error.message.includes("null bytes");
