const NEWLINE = 10;

/**
 * The beginning and the end of a stream of bytes: bounded memory, however much flows through. What falls out of the
 * middle is counted.
 */
export class OutputWindow {
  readonly #headLimit: number;
  readonly #tailLimit: number;
  readonly #head: Buffer[] = [];
  #headSize = 0;
  #tail: Buffer[] = [];
  #tailSize = 0;
  #dropped = 0;
  #lines = 0;
  #endsLine = true;

  constructor(limitBytes: number) {
    this.#headLimit = Math.ceil(limitBytes / 2);
    this.#tailLimit = Math.floor(limitBytes / 2);
  }

  /** The bytes that fell out. */
  get omittedBytes(): number {
    return this.#dropped;
  }

  /** All lines that came, those that fell out too. */
  get lines(): number {
    return this.#endsLine ? this.#lines : this.#lines + 1;
  }

  push(chunk: Buffer): void {
    for (let at = chunk.indexOf(NEWLINE); at !== -1; at = chunk.indexOf(NEWLINE, at + 1)) this.#lines += 1;
    this.#endsLine = chunk.at(-1) === NEWLINE;
    const room = this.#headLimit - this.#headSize;
    if (room > 0) {
      const first = chunk.subarray(0, room);
      this.#head.push(Buffer.from(first));
      this.#headSize += first.length;
    }
    const rest = room > 0 ? chunk.subarray(room) : chunk;
    if (rest.length === 0) return;
    this.#tail.push(Buffer.from(rest.subarray(-this.#tailLimit)));
    this.#dropped += Math.max(0, rest.length - this.#tailLimit);
    this.#tailSize += Math.min(rest.length, this.#tailLimit);
    this.#trim();
  }

  #trim(): void {
    let excess = this.#tailSize - this.#tailLimit;
    if (excess <= 0) return;
    this.#dropped += excess;
    this.#tailSize -= excess;
    let whole = 0;
    for (const chunk of this.#tail) {
      if (chunk.length > excess) break;
      excess -= chunk.length;
      whole += 1;
    }
    this.#tail.splice(0, whole);
    const [partial] = this.#tail;
    if (excess > 0 && partial !== undefined) this.#tail[0] = partial.subarray(excess);
  }

  /** The text; a byte that is no UTF-8 becomes the replacement character. */
  text(): string {
    const head = Buffer.concat(this.#head);
    const tail = Buffer.concat(this.#tail);
    if (this.#dropped === 0) return Buffer.concat([head, tail]).toString("utf8");
    return `${head.toString("utf8")}\n[... ${this.#dropped} bytes omitted ...]\n${tail.toString("utf8")}`;
  }
}
