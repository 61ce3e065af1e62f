/**
 * Lines for a pipe, gathered into large writes. A reader that has gone (`skein ... | head`) is no error: what is left
 * to say is dropped.
 */
export class LineWriter {
  readonly #stream: NodeJS.WriteStream;
  #waiting: string[] = [];
  #size = 0;
  #scheduled = false;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  line(text: string): void {
    this.#waiting.push(text, "\n");
    this.#size += text.length;
    if (this.#size >= LARGE) this.flush();
    else if (!this.#scheduled) {
      this.#scheduled = true;
      setImmediate(() => this.flush());
    }
  }

  json(value: unknown): void {
    this.line(JSON.stringify(value));
  }

  flush(): void {
    this.#scheduled = false;
    const waiting = this.#waiting.join("");
    this.#waiting = [];
    this.#size = 0;
    if (waiting !== "" && this.#stream.writable) this.#stream.write(waiting);
  }
}

const LARGE = 64 * 1024;
