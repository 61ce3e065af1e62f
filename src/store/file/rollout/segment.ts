/**
 * A stretch of lines in one file: what a thread inherits from an ancestor, or its own lines.
 *
 * - The segments of a thread, the oldest first, cover its ordinals from 0 on without overlap.
 * - A position on the border of two segments is the end of the earlier one, so a fork never shares more than it needs.
 */
import type { ThreadId } from "../../../protocol/ids.ts";
import { peekOrdinal } from "../../rollout/codec.ts";
import type { FilePosition } from "../file-position.ts";

import type { FileSystem } from "../file-system.ts";
import type { RolloutHead } from "./head.ts";
import { linesBackwards, readExactly } from "./line-reader.ts";
import { readTail } from "./tail.ts";

export type Segment = {
  /** What `history_base.thread_id` of its heirs says. */
  readonly fileId: ThreadId;
  readonly head: RolloutHead;
  readonly firstOrdinal: number;
  /** Exclusive. undefined: up to the end of the file. A byte offset of undefined: wherever that ordinal comes. */
  readonly end: { readonly ordinal: number; readonly byteOffset: number | undefined } | undefined;
};

/** The segment of a position, and the position as a place in that segment's file. */
export function segmentAt(
  segments: readonly Segment[],
  position: FilePosition,
): { segment: Segment; end: FilePosition } | undefined {
  for (const segment of segments) {
    if (segment.end !== undefined && position.ordinal > segment.end.ordinal) continue;
    if (segment.end?.ordinal === position.ordinal && segment.end.byteOffset !== undefined) {
      return { segment, end: { ordinal: position.ordinal, byteOffset: segment.end.byteOffset } };
    }
    return { segment, end: position };
  }
  return undefined;
}

const PEEK_BYTES = 256;
const ORDINAL_IN_HEAD = /^\{"timestamp":"[^"]*","ordinal":(\d+),/;

export type EndCheck = "good" | "wrong" | "short";

/**
 * Whether a file has the end of a line, and the lines up to that ordinal, where a fork's base says. Where lines do not count up,
 * the one before the place decides: a fork takes its place behind a line that it has read.
 */
export function checkEnd(fs: FileSystem, fd: number, head: RolloutHead, end: FilePosition): EndCheck {
  const { size } = fs.info(fd);
  if (end.byteOffset > size) return ordinalAtEnd(fs, fd, head) < end.ordinal ? "short" : "wrong";
  const around = readExactly(fs, fd, end.byteOffset - 1, PEEK_BYTES);
  if (end.byteOffset === 0 || around[0] !== 0x0a) return "wrong";
  if (!head.numbered) return "good";
  if (end.byteOffset === size) {
    const last = ordinalAtEnd(fs, fd, head);
    if (last === end.ordinal || isBehindLine(fs, fd, end)) return "good";
    return last < end.ordinal ? "short" : "wrong";
  }
  const next = ORDINAL_IN_HEAD.exec(around.toString("utf8", 1, around.length));
  // A line that cannot be peeked at (torn, garbage, of another form) says nothing against the offset.
  return next === null || Number(next[1]) === end.ordinal || isBehindLine(fs, fd, end) ? "good" : "wrong";
}

function isBehindLine(fs: FileSystem, fd: number, { ordinal, byteOffset }: FilePosition): boolean {
  for (const { text } of linesBackwards(fs, fd, byteOffset)) return peekOrdinal(text) === ordinal - 1;
  return false;
}

/** Behind the last line that ends at or before a byte of the file; undefined: nothing there says an ordinal. */
export function ordinalBefore(fs: FileSystem, fd: number, byteOffset: number): number | undefined {
  if (byteOffset > fs.info(fd).size) return undefined;
  for (const { text, complete } of linesBackwards(fs, fd, byteOffset)) {
    const ordinal = complete ? peekOrdinal(text) : undefined;
    if (ordinal !== undefined) return ordinal + 1;
  }
  return undefined;
}

const ordinalAtEnd = (fs: FileSystem, fd: number, head: RolloutHead): number => readTail(fs, fd, head).end.ordinal;

/** Where to begin to read for an ordinal: a line's start at or before it. Bisects; 0 for files without ordinals. */
export function seekOrdinal(fs: FileSystem, fd: number, head: RolloutHead, ordinal: number, size: number): number {
  if (!head.numbered) return 0;
  let low = 0;
  let high = size;
  while (high - low > 64 * 1024) {
    const middle = Math.floor((low + high) / 2);
    const found = nextNumberedLine(fs, fd, middle, high);
    if (found === undefined || found.ordinal > ordinal) high = middle;
    else low = found.start;
  }
  return low;
}

function nextNumberedLine(
  fs: FileSystem,
  fd: number,
  from: number,
  to: number,
): { start: number; ordinal: number } | undefined {
  const bytes = readExactly(fs, fd, from, Math.min(64 * 1024, to - from));
  for (let feed = bytes.indexOf(10); feed !== -1; feed = bytes.indexOf(10, feed + 1)) {
    const head = ORDINAL_IN_HEAD.exec(
      bytes.toString("latin1", feed + 1, Math.min(bytes.length, feed + 1 + PEEK_BYTES)),
    );
    if (head !== null) return { start: from + feed + 1, ordinal: Number(head[1]) };
  }
  return undefined;
}
