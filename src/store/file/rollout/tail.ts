/**
 * The end of a rollout: where the next line goes, and what is torn there.
 *
 * What follows the last line feed is torn unless it reads as a whole line: then only its line feed is missing.
 */
import { InvalidRequestError } from "../../../protocol/errors.ts";
import { decodeLine, ordinalOf } from "../../rollout/codec.ts";
import type { FilePosition } from "../file-position.ts";
import type { FileSystem } from "../file-system.ts";
import type { RolloutHead } from "./head.ts";
import { countLines, linesBackwards, readExactly } from "./line-reader.ts";

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
  let ordinal: number | undefined;
  for (const raw of linesBackwards(fs, fd, size)) {
    const decoded = decodeLine(raw.text);
    if ("problem" in decoded) {
      if (!raw.complete) {
        torn = { start: raw.start, bytes: raw.end - raw.start };
        whole = raw.start;
      }
      continue;
    }
    missingFeed = !raw.complete;
    ordinal = ordinalOf(decoded.line);
    break;
  }
  if (!head.numbered || ordinal === undefined) {
    ordinal = countedOrdinal(fs, fd, head, whole, known) + (missingFeed ? 0 : -1);
  }
  const byteOffset = missingFeed ? whole + 1 : whole;
  return { end: { ordinal: ordinal + 1, byteOffset }, size: whole, missingFeed, torn };
}

function countedOrdinal(fs: FileSystem, fd: number, head: RolloutHead, end: number, known?: FilePosition): number {
  const from = known !== undefined && known.byteOffset <= end ? known : undefined;
  return (from?.ordinal ?? head.firstOrdinal) + countLines(fs, fd, from?.byteOffset ?? 0, end);
}
