export type OutputStream = "stdout" | "stderr";

/** What a command wrote to one stream: kept for the answer, or told as it comes, and no more of it than its cap. */
export class CommandOutput {
  readonly #capBytes: number;
  readonly #tell: ((chunk: Buffer, capReached: boolean) => void) | undefined;
  readonly #kept: Buffer[] = [];
  #seen = 0;

  /** @param tell called with every piece within the cap; without it, the pieces are kept */
  constructor(capBytes: number, tell?: (chunk: Buffer, capReached: boolean) => void) {
    this.#capBytes = capBytes;
    this.#tell = tell;
  }

  /** What comes beyond the cap is dropped, and the command goes on. */
  take(chunk: Buffer): void {
    const room = this.#capBytes - this.#seen;
    if (room <= 0 && this.#seen > 0) return;
    const piece = chunk.subarray(0, Math.max(0, room));
    this.#seen += chunk.length;
    if (this.#tell === undefined) this.#kept.push(piece);
    else this.#tell(piece, this.isFull);
  }

  get isFull(): boolean {
    return this.#seen > 0 && this.#seen >= this.#capBytes;
  }

  text(): string {
    return Buffer.concat(this.#kept).toString("utf8");
  }
}
