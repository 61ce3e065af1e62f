/** One client over two streams: one message a line, UTF-8. */
import type { Readable, Writable } from "node:stream";
import { StringDecoder } from "node:string_decoder";
import type { Wire, WireListener } from "../wire.ts";
import { type Listener, type ListenOptions, MAX_MESSAGE_BYTES } from "./listener.ts";

export type Streams = { readonly input: Readable; readonly output: Writable };

export function listenOnStdio(streams: Streams, { accept, logger }: ListenOptions): Listener {
  const wire = new StreamWire(streams, () => logger.warn("a line was too long and was passed over"));
  accept(wire);
  wire.start();
  return { url: "stdio://", close: async () => wire.close() };
}

const MAX_UNSENT_CHARS = 256 * 1024;

class StreamWire implements Wire {
  listener: WireListener | undefined;
  readonly #input: Readable;
  readonly #output: Writable;
  readonly #lines: LineSplitter;
  #isEnded = false;
  /** What is said within one turn of the event loop goes out with one write: a system call costs what ten messages do. */
  #unsent = "";
  #tick: NodeJS.Immediate | undefined;
  #isTaking = true;

  constructor({ input, output }: Streams, onTooLong: () => void) {
    this.#input = input;
    this.#output = output;
    this.#lines = new LineSplitter((line) => this.listener?.onText(line), onTooLong);
    // From the first moment, and for good: a peer that has gone is no failure of ours.
    input.on("error", () => this.#end());
    output.on("error", () => this.#end());
  }

  start(): void {
    this.#input.on("data", (chunk: Buffer) => this.#lines.push(chunk));
    this.#input.once("end", () => this.listener?.onEnded());
    this.#output.on("drain", () => {
      this.#isTaking = true;
      this.listener?.onDrain();
    });
  }

  send(text: string): boolean {
    this.#unsent += `${text}\n`;
    if (this.#unsent.length > MAX_UNSENT_CHARS) return this.#flush();
    this.#tick ??= setImmediate(() => this.#flush());
    return this.#isTaking;
  }

  #flush(): boolean {
    if (this.#tick !== undefined) clearImmediate(this.#tick);
    this.#tick = undefined;
    if (this.#unsent !== "") this.#isTaking = this.#output.write(this.#unsent);
    this.#unsent = "";
    return this.#isTaking;
  }

  pause(): void {
    this.#input.pause();
  }

  resume(): void {
    this.#input.resume();
  }

  close(): void {
    this.#flush();
    this.#input.destroy();
    this.#end();
  }

  #end(): void {
    if (this.#isEnded) return;
    this.#isEnded = true;
    this.listener?.onClosed();
  }
}

/** Cuts a stream of bytes into lines. A line that is too long is passed over whole. */
export class LineSplitter {
  readonly #onLine: (line: string) => void;
  readonly #onTooLong: () => void;
  readonly #maxChars: number;
  readonly #decoder = new StringDecoder("utf8");
  #parts: string[] = [];
  #length = 0;

  constructor(onLine: (line: string) => void, onTooLong: () => void, maxChars = MAX_MESSAGE_BYTES) {
    this.#onLine = onLine;
    this.#onTooLong = onTooLong;
    this.#maxChars = maxChars;
  }

  push(chunk: Buffer): void {
    const text = this.#decoder.write(chunk);
    let from = 0;
    for (let at = text.indexOf("\n"); at !== -1; at = text.indexOf("\n", from)) {
      this.#take(text.slice(from, at));
      this.#endLine();
      from = at + 1;
    }
    this.#take(text.slice(from));
  }

  #take(part: string): void {
    this.#length += part.length;
    if (this.#length > this.#maxChars) this.#parts.length = 0;
    else if (part !== "") this.#parts.push(part);
  }

  #endLine(): void {
    const isTooLong = this.#length > this.#maxChars;
    const line = this.#parts.join("");
    this.#parts = [];
    this.#length = 0;
    if (isTooLong) this.#onTooLong();
    else this.#onLine(line.endsWith("\r") ? line.slice(0, -1) : line);
  }
}
