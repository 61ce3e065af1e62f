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

  /** JSON leaves signs as they are that a terminal obeys, and that turn the order of a line: they are escaped. */
  json(value: unknown): void {
    this.line(
      JSON.stringify(value).replace(OBEYED, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`),
    );
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
const OBEYED = /[\u007f-\u009f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;
