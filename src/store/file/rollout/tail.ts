/**
 * The end of a rollout: where the next line goes, and what is torn there.
 *
 * - What follows the last line feed is torn unless it reads as a whole line: then only its line feed is missing.
 * - The next ordinal lies above all that the file has. Where the last lines do not count up, all of them are looked at: a
 *   position that lies before lines would hide these from forks, and from whoever goes on.
 */
import { InvalidRequestError } from "../../../protocol/errors.ts";
import { decodeLine, ordinalOf, peekOrdinal } from "../../rollout/codec.ts";
import type { FilePosition } from "../file-position.ts";
import type { FileSystem } from "../file-system.ts";
import type { RolloutHead } from "./head.ts";
import { countLines, LineReader, linesBackwards, readExactly } from "./line-reader.ts";

export type RolloutTail = {
  /** Where the next line goes when the tail is mended. */
  readonly end: FilePosition;
  /** Bytes of `end.byteOffset` that are there; one fewer when the last line lacks its line feed. */
  readonly size: number;
  readonly missingFeed: boolean;
  /** What lies behind the last whole line. */
  readonly torn: { readonly start: number; readonly bytes: number } | null;
};

/** What is torn is kept, so more than a line can have is not taken for a tail: a hole has any length. */
const LONGEST_TAIL_BYTES = 256 * 1024 * 1024;
const BLOCK_BYTES = 256 * 1024;

function assertLineEndNear(fs: FileSystem, fd: number, size: number): void {
  for (let end = size; end > 0; end -= BLOCK_BYTES) {
    const start = Math.max(0, end - BLOCK_BYTES);
    if (readExactly(fs, fd, start, end - start).includes(0x0a)) return;
    if (size - start > LONGEST_TAIL_BYTES) {
      throw new InvalidRequestError(
        `no line of this rollout ends within its last ${LONGEST_TAIL_BYTES} bytes; cut off what does not belong to it`,
      );
    }
  }
}

/**
 * @param known a place in the file up to which its lines were counted before; spares counting a legacy file's
 * @throws InvalidRequestError where the file's last line is longer than a line may be
 */
export function readTail(fs: FileSystem, fd: number, head: RolloutHead, known?: FilePosition): RolloutTail {
  const { size } = fs.info(fd);
  assertLineEndNear(fs, fd, size);
  let torn: RolloutTail["torn"] = null;
  let missingFeed = false;
  let whole = size;
  const last: (number | undefined)[] = [];
  for (const raw of linesBackwards(fs, fd, size)) {
    const decoded = decodeLine(raw.text);
    if ("problem" in decoded) {
      if (!raw.complete) {
        torn = { start: raw.start, bytes: raw.end - raw.start };
        whole = raw.start;
      }
      continue;
    }
    if (last.length === 0) missingFeed = !raw.complete;
    last.push(ordinalOf(decoded.line));
    if (last.length === 2 || !head.numbered) break;
  }
  const ordinal = head.numbered
    ? (countedUp(head, last) ?? highestOrdinal(fs, fd, head, whole))
    : countedOrdinal(fs, fd, head, whole, known) + (missingFeed ? 0 : -1);
  const byteOffset = missingFeed ? whole + 1 : whole;
  return { end: { ordinal: ordinal + 1, byteOffset }, size: whole, missingFeed, torn };
}

/** The last line's ordinal, where it is the one after the line before it; undefined: it says nothing. */
function countedUp(head: RolloutHead, [last, before]: readonly (number | undefined)[]): number | undefined {
  const expected = before === undefined ? head.firstOrdinal : before + 1;
  return last === expected && last >= head.firstOrdinal ? last : undefined;
}

/** Of a numbered file's lines; one whose number is too low counts as the one after the line before it. */
function highestOrdinal(fs: FileSystem, fd: number, head: RolloutHead, end: number): number {
  const reader = new LineReader(fs, fd, { start: 0, end });
  let highest = head.firstOrdinal - 1;
  for (let lines = reader.next(); lines !== undefined; lines = reader.next()) {
    for (const { text } of lines) {
      if (text.trim() !== "") highest = Math.max(highest + 1, peekOrdinal(text) ?? 0);
    }
  }
  return highest;
}

function countedOrdinal(fs: FileSystem, fd: number, head: RolloutHead, end: number, known?: FilePosition): number {
  const from = known !== undefined && known.byteOffset <= end ? known : undefined;
  return (from?.ordinal ?? head.firstOrdinal) + countLines(fs, fd, from?.byteOffset ?? 0, end);
}
