import type { OutputStream } from "./command-output.ts";

export type TerminalSize = { readonly rows: number; readonly cols: number };

/** A program that runs for a client, with pipes or in a terminal. */
export interface Program {
  /** Its exit code, in the way of shells, once all of its output has come. @throws when it could not be started */
  readonly exit: Promise<number>;
  /** Called once, before anything comes. */
  onOutput(take: (stream: OutputStream, chunk: Buffer) => void): void;
  pause(): void;
  resume(): void;
  /** Resolves when the program has taken it, or takes nothing more. */
  write(bytes: Buffer): Promise<void>;
  /** Ends its input. */
  end(): void;
  /** @throws RpcError -32600 when it has no terminal */
  resize(size: TerminalSize): void;
  /** Ends it now, with everything that it started. */
  kill(): void;
}
