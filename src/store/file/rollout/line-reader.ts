import { MAX_LINE_BYTES } from "../../rollout/codec.ts";
import type { FileSystem } from "../file-system.ts";

/** One line of a file as it lies there: from `start` up to `end`, its line feed included. */
export type RawLine = {
  readonly text: string;
  readonly start: number;
  readonly end: number;
  readonly complete: boolean;
  /** It is longer than any line may be (MAX_LINE_BYTES): `text` is a piece of it, and no JSON. */
  readonly isCut?: true;
};

const LINE_FEED = 10;
const CUT_TEXT_BYTES = 256;
const BLOCK_BYTES = 256 * 1024;
const TAIL_BLOCK_BYTES = 64 * 1024;

/** Reads the lines of a range of an open file forwards, a block at a time. */
export class LineReader {
  readonly #fs: FileSystem;
  readonly #fd: number;
  readonly #limit: number;
  #buffer: Buffer;
  #filled = 0;
  /** Where in the file the buffer's first byte lies. */
  #offset: number;
  #ended = false;
  /** The beginning of a line that is too long to be held. */
  #cut: { readonly text: string; readonly start: number } | undefined;

  /** `range.end`: exclusive; the end of the file without it. */
  constructor(fs: FileSystem, fd: number, range: { start: number; end?: number | undefined; blockBytes?: number }) {
    this.#fs = fs;
    this.#fd = fd;
    this.#offset = range.start;
    this.#limit = range.end ?? Number.POSITIVE_INFINITY;
    // No more than there is to read: most files are small.
    const there = (range.end ?? fs.info(fd).size) - range.start;
    this.#buffer = Buffer.allocUnsafe(Math.max(1, Math.min(range.blockBytes ?? BLOCK_BYTES, there)));
  }

  /** The lines of the next block; undefined at the end. The last line of the range may be incomplete. */
  next(): RawLine[] | undefined {
    while (!this.#ended) {
      const before = this.#offset + this.#filled;
      if (!this.#fill()) break;
      const lines = this.#takeLines(before - this.#offset);
      if (lines.length > 0) return lines;
    }
    return this.#takeRest();
  }

  #fill(): boolean {
    if (this.#filled >= MAX_LINE_BYTES) {
      this.#cut ??= { text: this.#buffer.toString("utf8", 0, CUT_TEXT_BYTES), start: this.#offset };
      this.#offset += this.#filled;
      this.#filled = 0;
    } else if (this.#filled === this.#buffer.length) {
      const larger = Buffer.allocUnsafe(this.#buffer.length * 2);
      this.#buffer.copy(larger, 0, 0, this.#filled);
      this.#buffer = larger;
    }
    const position = this.#offset + this.#filled;
    const room = Math.min(this.#buffer.length - this.#filled, this.#limit - position);
    const count = room <= 0 ? 0 : this.#fs.read(this.#fd, this.#buffer, this.#filled, room, position);
    this.#filled += count;
    this.#ended = count === 0;
    return count > 0;
  }

  #takeLines(searchFrom: number): RawLine[] {
    const lines: RawLine[] = [];
    const bytes = this.#buffer.subarray(0, this.#filled);
    let start = 0;
    let feed = bytes.indexOf(LINE_FEED, searchFrom);
    if (this.#cut !== undefined && feed !== -1) {
      lines.push({ ...this.#cut, end: this.#offset + feed + 1, complete: true, isCut: true });
      this.#cut = undefined;
      start = feed + 1;
      feed = bytes.indexOf(LINE_FEED, start);
    }
    while (feed !== -1) {
      lines.push({
        text: bytes.toString("utf8", start, feed),
        start: this.#offset + start,
        end: this.#offset + feed + 1,
        complete: true,
      });
      start = feed + 1;
      feed = bytes.indexOf(LINE_FEED, start);
    }
    if (start > 0) {
      this.#buffer.copyWithin(0, start, this.#filled);
      this.#filled -= start;
      this.#offset += start;
    }
    return lines;
  }

  #takeRest(): RawLine[] | undefined {
    if (this.#cut !== undefined) {
      const rest = { ...this.#cut, end: this.#offset + this.#filled, complete: false, isCut: true } as const;
      this.#cut = undefined;
      this.#filled = 0;
      return [rest];
    }
    if (this.#filled === 0) return undefined;
    const start = this.#offset;
    const rest = {
      text: this.#buffer.toString("utf8", 0, this.#filled),
      start,
      end: start + this.#filled,
      complete: false,
    };
    this.#offset += this.#filled;
    this.#filled = 0;
    return [rest];
  }
}

/** The lines of a file from `end` backwards, the last one first. The very last may be incomplete. */
export function* linesBackwards(fs: FileSystem, fd: number, end: number, from = 0): Generator<RawLine> {
  const pieces = new LinePieces();
  let lineEnd = end;
  let complete = false;
  let position = end;
  while (position > from) {
    const length = Math.min(TAIL_BLOCK_BYTES, position - from);
    position -= length;
    const block = readExactly(fs, fd, position, length);
    let cut = block.length;
    for (let feed = feedBefore(block, cut); feed !== -1; feed = feedBefore(block, cut)) {
      pieces.add(block.subarray(feed + 1, cut));
      const start = position + feed + 1;
      if (start < lineEnd || complete)
        yield { ...pieces.take(), start, end: complete ? lineEnd + 1 : lineEnd, complete };
      lineEnd = start - 1;
      complete = true;
      cut = feed;
    }
    pieces.add(block.subarray(0, cut));
  }
  if (pieces.bytes > 0 || complete) {
    yield { ...pieces.take(), start: from, end: complete ? lineEnd + 1 : lineEnd, complete };
  }
}

/** A line that is gathered from its end on, as far as a line may be long. */
class LinePieces {
  #pieces: Buffer[] = [];
  bytes = 0;

  add(piece: Buffer): void {
    this.bytes += piece.length;
    if (this.bytes <= MAX_LINE_BYTES) this.#pieces.unshift(piece);
    else this.#pieces = [Buffer.from("a part of a line that is too long")];
  }

  take(): { text: string; isCut?: true } {
    const isCut = this.bytes > MAX_LINE_BYTES;
    const text = Buffer.concat(this.#pieces).toString("utf8");
    this.#pieces = [];
    this.bytes = 0;
    return isCut ? { text, isCut } : { text };
  }
}

const feedBefore = (block: Buffer, cut: number): number => (cut === 0 ? -1 : block.lastIndexOf(LINE_FEED, cut - 1));

/** The bytes of a range; fewer where the file ends before. */
export function readExactly(fs: FileSystem, fd: number, position: number, length: number): Buffer {
  const bytes = Buffer.allocUnsafe(length);
  let filled = 0;
  while (filled < length) {
    const count = fs.read(fd, bytes, filled, length - filled, position + filled);
    if (count === 0) break;
    filled += count;
  }
  return bytes.subarray(0, filled);
}

/** How many line feeds a range holds. */
export function countLines(fs: FileSystem, fd: number, start: number, end: number): number {
  const block = Buffer.allocUnsafe(Math.max(1, Math.min(1024 * 1024, end - start)));
  let count = 0;
  let position = start;
  while (position < end) {
    const read = fs.read(fd, block, 0, Math.min(block.length, end - position), position);
    if (read === 0) break;
    const bytes = block.subarray(0, read);
    for (let feed = bytes.indexOf(LINE_FEED); feed !== -1; feed = bytes.indexOf(LINE_FEED, feed + 1)) count += 1;
    position += read;
  }
  return count;
}

/** Opens a file for reading for as long as `use` runs. */
export function withFile<T>(fs: FileSystem, path: string, use: (fd: number) => T): T {
  const fd = fs.open(path, "read");
  try {
    return use(fd);
  } finally {
    fs.close(fd);
  }
}
