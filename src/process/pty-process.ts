/** A command in a pseudo-terminal: its output is one stream, and it can be typed into. */

import type { IPty } from "@lydell/node-pty";
import { importOptional } from "../kernel/optional-package.ts";
import { InvalidRequestError } from "../protocol/errors.ts";
import { type CommandOutput, type CommandProcessOptions, KEPT_BYTES, type RunningCommand } from "./command-process.ts";
import { endedBy } from "./exit-code.ts";
import { untilLastWriter } from "./last-writers.ts";
import type { Launch } from "./launch.ts";
import { OutputWindow } from "./output-window.ts";
import { GroupLeash } from "./process-group.ts";

export type PtyLibrary = typeof import("@lydell/node-pty");

/** Loaded with the first command that asks for a terminal. @throws InvalidRequestError where it is not installed */
export const loadPty = (): Promise<PtyLibrary> =>
  importOptional("@lydell/node-pty", (cause) => {
    const message =
      "exec_command failed: there is no pseudo-terminal here (the package @lydell/node-pty is not installed); leave out `tty`";
    return new InvalidRequestError(message, { cause });
  });

const SIZE = { cols: 80, rows: 24 };

/** @throws what cannot be started; the launch is then let go of */
export function startInTerminal(
  library: PtyLibrary,
  { argv, cwd, env, handles, release }: Launch,
  size: { readonly cols: number; readonly rows: number },
): IPty {
  // What is handed handles is a sandbox, and awaits within it what it leaves behind.
  const [program = "", ...args] = handles === undefined ? untilLastWriter(argv) : argv;
  try {
    return library.spawn(program, args, { name: env.TERM ?? "dumb", ...size, cwd, env, encoding: null });
  } catch (error) {
    release?.();
    throw error;
  }
}

export class PtyProcess implements RunningCommand {
  readonly exit: Promise<number>;
  readonly #pty: IPty;
  readonly #leash: GroupLeash;
  readonly #window = new OutputWindow(KEPT_BYTES);

  /** @param launch one that a terminal can start. @throws what cannot be started */
  constructor(library: PtyLibrary, launch: Launch, { clock, onOutput }: CommandProcessOptions) {
    this.#pty = startInTerminal(library, launch, SIZE);
    this.#leash = new GroupLeash(this.#pty.pid, clock, launch.release);
    // Without an encoding the library gives bytes, whatever its types say.
    this.#pty.onData((chunk: string | Buffer) => {
      const bytes = typeof chunk === "string" ? Buffer.from(chunk) : chunk;
      this.#window.push(bytes);
      onOutput("stdout", bytes);
    });
    this.exit = new Promise((resolve) => {
      this.#pty.onExit(({ exitCode, signal }) => {
        this.#leash.finish();
        resolve(signal ? endedBy(signal) : exitCode);
      });
    });
  }

  get output(): CommandOutput {
    const { lines, omittedBytes } = this.#window;
    const text = this.#window.text();
    return { stdout: text, stderr: "", aggregated: text, lines, omittedBytes };
  }

  readonly write = (chars: string): void => this.#pty.write(chars);

  terminate(): void {
    this.#leash.terminate();
  }

  kill(): void {
    this.#leash.kill();
  }
}
