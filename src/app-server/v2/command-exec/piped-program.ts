import type { Readable } from "node:stream";
import type { Clock } from "../../../kernel/clock.ts";
import type { Launch } from "../../../process/launch.ts";
import { ProcessGroup } from "../../../process/process-group.ts";
import { invalidRequest } from "../../rpc-error.ts";
import type { OutputStream } from "./output.ts";
import type { Program } from "./plan.ts";

export class PipedProgram implements Program {
  readonly begun: Promise<void>;
  readonly exit: Promise<number>;
  readonly #group: ProcessGroup;

  /** @throws what `spawn` throws at once */
  constructor(launch: Launch, { clock, stdin }: { clock: Clock; stdin: "pipe" | "ignore" }) {
    this.#group = new ProcessGroup(launch, { clock, stdin });
    // The program may close its input, or end, before it has read everything.
    this.#group.child.stdin?.on("error", () => undefined);
    this.begun = new Promise((resolve) => this.#group.child.once("spawn", resolve));
    this.exit = this.#group.exit;
  }

  get #streams(): (Readable | null)[] {
    const { stdout, stderr } = this.#group.child;
    return [stdout, stderr];
  }

  onOutput(take: (stream: OutputStream, chunk: Buffer) => void): void {
    const { stdout, stderr } = this.#group.child;
    stdout?.on("data", (chunk: Buffer) => take("stdout", chunk));
    stderr?.on("data", (chunk: Buffer) => take("stderr", chunk));
  }

  pause(): void {
    if (this.#group.isOver) return;
    for (const stream of this.#streams) stream?.pause();
  }

  resume(): void {
    for (const stream of this.#streams) stream?.resume();
  }

  async write(bytes: Buffer): Promise<void> {
    const { stdin } = this.#group.child;
    if (stdin === null) return;
    // Called too when the program ends, or closes its input.
    await new Promise<void>((resolve) => stdin.write(bytes, () => resolve()));
  }

  end(): void {
    this.#group.child.stdin?.end();
  }

  resize(): never {
    throw invalidRequest("failed to resize PTY: process is not attached to a PTY");
  }

  kill(): void {
    this.#group.kill();
  }
}
