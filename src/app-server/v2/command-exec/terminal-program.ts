import { constants } from "node:fs";
import { access } from "node:fs/promises";
import { resolve } from "node:path";
import type { IPty } from "@lydell/node-pty";
import type { Clock } from "../../../kernel/clock.ts";
import { endedBy } from "../../../process/exit-code.ts";
import { findProgram } from "../../../process/find-program.ts";
import type { Launch } from "../../../process/launch.ts";
import { GroupLeash } from "../../../process/process-group.ts";
import { loadPty, type PtyLibrary, startInTerminal } from "../../../process/pty-process.ts";
import { terminalLaunch } from "../../../process/terminal-launch.ts";
import { invalidRequest } from "../../rpc-error.ts";
import type { OutputStream } from "./output.ts";
import type { Program, TerminalSize } from "./plan.ts";

const DEFAULT_SIZE: TerminalSize = { rows: 24, cols: 80 };

/** A new line, and the end of the file where a terminal is read by lines. */
const END_OF_INPUT = Buffer.from("\n\x04");

/** Starts a program in a pseudo-terminal. @throws RpcError where there are none; an IO error when it cannot be started */
export async function terminalProgram(
  launch: Launch,
  { clock, size }: { clock: Clock; size: TerminalSize | undefined },
): Promise<Program> {
  const library = await loadPty().catch((cause: unknown) => {
    const why = "there is no pseudo-terminal here (the package @lydell/node-pty is not installed)";
    throw invalidRequest(`tty: ${why}`, { cause });
  });
  await checkProgram(launch);
  return new TerminalProgram(library, await terminalLaunch(launch), { clock, size: size ?? DEFAULT_SIZE });
}

/** The library would start a process that fails, and tell of it on the terminal alone. */
async function checkProgram({ argv: [program = ""], cwd, env }: Launch): Promise<void> {
  await access(cwd);
  const isFound = !program.includes("/") && (await findProgram(program, env.PATH ?? "")) !== undefined;
  if (!isFound) await access(resolve(cwd, program), constants.X_OK);
}

/** Everything that it writes is one stream. */
class TerminalProgram implements Program {
  readonly begun = Promise.resolve();
  readonly exit: Promise<number>;
  readonly #pty: IPty;
  readonly #leash: GroupLeash;

  constructor(library: PtyLibrary, launch: Launch, { clock, size }: { clock: Clock; size: TerminalSize }) {
    this.#pty = startInTerminal(library, launch, size);
    this.#leash = new GroupLeash(this.#pty.pid, clock, launch.release);
    this.exit = new Promise((resolve) => {
      this.#pty.onExit(({ exitCode, signal }) => {
        this.#leash.finish();
        resolve(signal ? endedBy(signal) : exitCode);
      });
    });
  }

  onOutput(take: (stream: OutputStream, chunk: Buffer) => void): void {
    // Without an encoding the library gives bytes, whatever its types say.
    this.#pty.onData((chunk: string | Buffer) =>
      take("stdout", typeof chunk === "string" ? Buffer.from(chunk) : chunk),
    );
  }

  pause(): void {
    if (!this.#leash.isOver) this.#pty.pause();
  }

  resume(): void {
    if (!this.#leash.isOver) this.#pty.resume();
  }

  async write(bytes: Buffer): Promise<void> {
    this.#type(bytes);
  }

  end(): void {
    this.#type(END_OF_INPUT);
  }

  /** The library hands on bytes as they are, though its types know of texts alone. */
  #type(bytes: Buffer): void {
    if (!this.#leash.isOver) this.#pty.write(bytes as unknown as string);
  }

  resize({ rows, cols }: TerminalSize): void {
    if (!this.#leash.isOver) this.#pty.resize(cols, rows);
  }

  kill(): void {
    this.#leash.kill();
  }
}
