import { columnsOf } from "./io.ts";

/**
 * A block of lines at the end of a terminal that is drawn again in place. The cursor is hidden while it lives, and back
 * on every way out: `close`, an exception, or the end of the process.
 */
export class Screen implements Disposable {
  readonly #stream: NodeJS.WriteStream;
  /** Lines that stand there now; the cursor is below them. */
  #height = 0;
  #open = true;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
    stream.write(HIDE_CURSOR);
    process.on("exit", this.#showCursor);
    stream.on("resize", this.#startOver);
  }

  get width(): number {
    return columnsOf(this.#stream);
  }

  /** How many lines can be drawn again in place: all but the one of the cursor. */
  get maxHeight(): number {
    return Math.max(1, (this.#stream.rows || 24) - 1);
  }

  /** Puts these lines, none wider than `width`, in place of the last ones. */
  draw(lines: readonly string[]): void {
    const shown = lines.slice(0, this.maxHeight);
    const up = this.#height === 0 ? "" : `\x1b[${this.#height}A`;
    this.#stream.write(`${up}\r${shown.map((line) => `${line}${CLEAR_LINE}\n`).join("")}${CLEAR_BELOW}`);
    this.#height = shown.length;
  }

  /** Lets the last lines stand. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    process.off("exit", this.#showCursor);
    this.#stream.off("resize", this.#startOver);
    this.#showCursor();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  readonly #showCursor = (): void => {
    this.#stream.write(SHOW_CURSOR);
  };

  /** After a change of size nobody knows where the lines stand now. */
  readonly #startOver = (): void => {
    this.#height = 0;
    this.#stream.write(CLEAR_SCREEN);
  };
}

const HIDE_CURSOR = "\x1b[?25l";
const SHOW_CURSOR = "\x1b[?25h";
const CLEAR_LINE = "\x1b[K";
const CLEAR_BELOW = "\x1b[J";
const CLEAR_SCREEN = "\x1b[2J\x1b[H";
