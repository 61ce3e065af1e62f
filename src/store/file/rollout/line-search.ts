import type { FileSystem } from "../file-system.ts";
import { linesBackwards, type RawLine, readExactly } from "./line-reader.ts";

const BLOCK_BYTES = 1024 * 1024;
const LINE_FEED = 0x0a;

/**
 * The lines before `end` that hold `needle`, the last one first. Lines that do not are never looked at one by one, so
 * that a file is searched at the speed at which it is read.
 */
export function* linesHolding(fs: FileSystem, fd: number, end: number, needle: Buffer): Generator<RawLine> {
  let before = end;
  for (let at = lastIndexOf(fs, fd, before, needle); at !== undefined; at = lastIndexOf(fs, fd, before, needle)) {
    const [line] = linesBackwards(fs, fd, endOfLine(fs, fd, at, end));
    if (line === undefined) return;
    yield line;
    before = line.start;
  }
}

/** Where the last occurrence that ends at or before `end` begins. */
function lastIndexOf(fs: FileSystem, fd: number, end: number, needle: Buffer): number | undefined {
  let upTo = end;
  while (upTo >= needle.length) {
    const start = Math.max(0, upTo - BLOCK_BYTES);
    const found = readExactly(fs, fd, start, upTo - start).lastIndexOf(needle);
    if (found !== -1) return start + found;
    // An occurrence may lie across the border of two blocks.
    upTo = start === 0 ? 0 : start + needle.length - 1;
  }
  return undefined;
}

/** Behind the feed of the line that `at` lies in. */
function endOfLine(fs: FileSystem, fd: number, at: number, end: number): number {
  for (let start = at; start < end; start += BLOCK_BYTES) {
    const feed = readExactly(fs, fd, start, Math.min(BLOCK_BYTES, end - start)).indexOf(LINE_FEED);
    if (feed !== -1) return start + feed + 1;
  }
  return end;
}
