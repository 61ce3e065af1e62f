/**
 * Reads a thread's history: the prefixes of its ancestors' files, then its own lines.
 *
 * - Whatever is wrong in a file is reported and passed over; only a thread without any header cannot be read.
 * - Memory is bounded by the longest line and a block, whatever the length of the history.
 * - Lines are given in the order of the files. Each has an ordinal; in legacy files that is the line's index.
 */
import { LRUCache } from "lru-cache";
import { yieldToLoop } from "../../../kernel/yield-to-loop.ts";
import type { ThreadId } from "../../../protocol/ids.ts";
import type { RolloutLine } from "../../../protocol/rollout.ts";
import { decodeLine, type LineProblem, ordinalOf, peekOrdinal } from "../../rollout/codec.ts";
import type { ProblemSink } from "../../rollout-problem.ts";
import type { LoadRange } from "../../thread-store.ts";
import { isUnwantedAtHead, isWanted } from "../../wanted-lines.ts";
import type { FilePosition } from "../file-position.ts";
import type { FileSystem } from "../file-system.ts";
import { parseRolloutName } from "../layout.ts";
import type { RolloutLocator } from "../rollout-locator.ts";
import { type RolloutHead, readHead } from "./head.ts";
import { LineReader, type RawLine, withFile } from "./line-reader.ts";
import { linesHolding } from "./line-search.ts";
import { checkEnd, ordinalBefore, type Segment, seekOrdinal } from "./segment.ts";

/** A line, where it lies, and its bytes as text. */
export type PlacedLine = { readonly line: RolloutLine; readonly ordinal: number; readonly raw: RawLine };
/** A line that is there and says nothing to us. */
export type UnreadLine = { readonly line?: undefined; readonly ordinal: number | undefined; readonly raw: RawLine };
type LineRange = { from?: number; to?: number; start?: FilePosition; wants?: LoadRange["wants"] };

/** So many ancestors are followed. */
export const DEEPEST = 10_000;
const REMEMBERED_HEADS = 256;

/** As every writer writes the type of such a line; a line that holds it elsewhere is told apart by decoding it. */
const COMPACTED = Buffer.from('"compacted"');

export class HistoryReader {
  readonly #fs: FileSystem;
  readonly #locator: RolloutLocator;
  readonly #report: ProblemSink;
  /** Nobody changes a header in place. */
  readonly #heads = new LRUCache<string, { head: RolloutHead; inode: number }>({
    maxSize: REMEMBERED_HEADS,
    sizeCalculation: () => 1,
  });

  constructor(fs: FileSystem, locator: RolloutLocator, report: ProblemSink) {
    this.#fs = fs;
    this.#locator = locator;
    this.#report = report;
  }

  /** @throws RolloutNotFoundError, RolloutCorruptError, StoreIoError */
  head(path: string): RolloutHead {
    const known = this.#heads.get(path);
    const info = this.#fs.infoOf(path);
    if (known !== undefined && known.inode === info?.inode && info.size >= known.head.bytes) return known.head;
    const head = readHead(this.#fs, path);
    if (info !== undefined) this.#heads.set(path, { head, inode: info.inode });
    return head;
  }

  /**
   * What the thread of a file consists of, the oldest segment first. Stops, reporting it, where an ancestor is missing, and
   * where the files lead back to one that was there before.
   */
  async segments(path: string, report = this.#report): Promise<Segment[]> {
    const head = this.head(path);
    const segments = [segmentOf(head, undefined)];
    const seen = new Set([fileIdOf(head)]);
    reportBase(report, head);
    for (let heir = head; heir.base !== null; ) {
      const { fileId } = heir.base;
      if (seen.has(fileId) || seen.size >= DEEPEST) {
        const why = seen.has(fileId) ? `${fileId} inherits from itself` : `it has more than ${DEEPEST} ancestors`;
        report({ kind: "base_loop", path: head.path, offset: 0, detail: `${unseen(heir.base.end)}: ${why}` });
        break;
      }
      seen.add(fileId);
      await yieldToLoop();
      const ancestor = await this.ancestor(heir, heir.base, report);
      if (ancestor === undefined) break;
      segments.push(ancestor);
      heir = ancestor.head;
      reportBase(report, heir);
    }
    return segments.reverse();
  }

  /** What a thread holds in the file itself. @throws RolloutNotFoundError, RolloutCorruptError, StoreIoError */
  own(path: string): Segment {
    const head = this.head(path);
    reportBase(this.#report, head);
    return segmentOf(head, undefined);
  }

  /** What it inherits of its base's own lines; undefined, having reported it, where that is not there. */
  async ancestor(
    heir: RolloutHead,
    base: { fileId: ThreadId; end: FilePosition },
    report = this.#report,
  ): Promise<Segment | undefined> {
    const path = await this.#locator.findFile(base.fileId);
    const missing = (why: string) => {
      const detail = `${unseen(base.end)}: they are in ${base.fileId}, ${why}`;
      report({ kind: "base_missing", path: heir.path, offset: 0, detail });
    };
    if (path === undefined) return missing("and there is no such file") as undefined;
    try {
      const head = this.head(path);
      const check = withFile(this.#fs, path, (fd) => checkEnd(this.#fs, fd, head, base.end));
      if (check === "good") return segmentOf(head, base.end, base.fileId);
      const kind = check === "short" ? "base_short" : "base_offset";
      const detail = `${path} has ${check === "short" ? "not that many lines" : "no line's end there"}: ${base.end.ordinal} at ${base.end.byteOffset}`;
      report({ kind, path: heir.path, offset: 0, detail });
      // Codex reads up to the byte. Whatever either of the two leads to is there for the model.
      const before = withFile(this.#fs, path, (fd) => ordinalBefore(this.#fs, fd, base.end.byteOffset)) ?? 0;
      return segmentOf(head, { ordinal: Math.max(base.end.ordinal, before), byteOffset: undefined }, base.fileId);
    } catch (error) {
      return missing(`which cannot be read (${error instanceof Error ? error.message : error})`) as undefined;
    }
  }

  async *pages(path: string, range: LoadRange = {}): AsyncGenerator<readonly RolloutLine[]> {
    const { signal } = range;
    signal?.throwIfAborted();
    const report = this.#reporter(range.onProblem);
    const segments = await this.segments(path, report);
    this.#limitToNow(segments);
    const to = range.toOrdinal ?? Number.POSITIVE_INFINITY;
    const from = this.#start(segments, range.from ?? "start", to);
    for (const segment of segments) {
      const last = Math.min(to, segment.end?.ordinal ?? Number.POSITIVE_INFINITY);
      if (last <= from || segment.firstOrdinal >= to) continue;
      for (const page of this.linesOf(segment, { from, to: last, wants: range.wants }, report)) {
        const lines = page.map((placed) => placed.line);
        if (lines.length > 0) yield lines;
        signal?.throwIfAborted();
        await yieldToLoop();
      }
    }
  }

  #reporter(onProblem: ProblemSink | undefined): ProblemSink {
    if (onProblem === undefined) return this.#report;
    return (problem) => {
      this.#report(problem);
      onProblem(problem);
    };
  }

  /** What is appended from now on is left out. */
  #limitToNow(segments: Segment[]): void {
    const own = segments.pop();
    if (own === undefined) return;
    const byteOffset = this.#fs.infoOf(own.head.path)?.size;
    segments.push({ ...own, end: { ordinal: Number.POSITIVE_INFINITY, byteOffset } });
  }

  #start(segments: readonly Segment[], from: NonNullable<LoadRange["from"]>, to: number): number {
    if (from === "start") return 0;
    if (from !== "compaction") return Math.max(0, from.ordinal);
    for (const segment of [...segments].reverse()) {
      const found = this.#lastCompaction(segment, Math.min(to, segment.end?.ordinal ?? Number.POSITIVE_INFINITY));
      if (found !== undefined) return found;
    }
    return 0;
  }

  #lastCompaction(segment: Segment, to: number): number | undefined {
    return withFile(this.#fs, segment.head.path, (fd) => {
      const end = segment.end?.byteOffset ?? this.#fs.info(fd).size;
      for (const raw of linesHolding(this.#fs, fd, end, COMPACTED)) {
        const decoded = decodeLine(raw.text);
        if ("problem" in decoded || decoded.line.type !== "compacted") continue;
        const ordinal = ordinalOf(decoded.line) ?? this.#legacyOrdinal(segment, raw);
        if (ordinal < to) return ordinal;
      }
      return undefined;
    });
  }

  #legacyOrdinal(segment: Segment, raw: RawLine): number {
    let ordinal = segment.firstOrdinal;
    for (const page of this.#rawPages(segment, 0)) {
      for (const line of page) {
        if (line.start >= raw.start) return ordinal;
        ordinal += 1;
      }
    }
    return ordinal;
  }

  *#rawPages(segment: Segment, start: number): Generator<RawLine[]> {
    const fd = this.#fs.open(segment.head.path, "read");
    try {
      const reader = new LineReader(this.#fs, fd, { start, end: segment.end?.byteOffset });
      for (let page = reader.next(); page !== undefined; page = reader.next()) yield page;
    } finally {
      this.#fs.close(fd);
    }
  }

  /** The lines of one segment that can be read, a page for each block, with what is wrong in it reported. */
  *linesOf(segment: Segment, range: LineRange = {}, report = this.#report): Generator<PlacedLine[]> {
    for (const page of this.rawLinesOf(segment, range, report)) {
      const lines = page.filter((placed): placed is PlacedLine => placed.line !== undefined);
      if (lines.length > 0 || range.wants !== undefined) yield lines;
    }
  }

  /** As {@link linesOf}, with the lines that cannot be read: for those who copy a file. */
  *rawLinesOf(segment: Segment, range: LineRange = {}, report = this.#report): Generator<(PlacedLine | UnreadLine)[]> {
    const { head } = segment;
    const from = range.from ?? 0;
    const to = Math.min(range.to ?? Number.POSITIVE_INFINITY, segment.end?.ordinal ?? Number.POSITIVE_INFINITY);
    // A segment that is read up to its end is what lies before that byte, however its lines are numbered.
    const endsAtByte = segment.end?.byteOffset !== undefined && to === segment.end.ordinal;
    const start = range.start?.byteOffset ?? this.#seek(segment, from);
    let index = range.start?.ordinal ?? (start === 0 ? segment.firstOrdinal : undefined);
    let previous: { ordinal: number; text: string } | undefined;
    // A line whose ordinal is too low is not before what was asked for, but misnumbered.
    let hasBegun = from <= segment.firstOrdinal;
    for (const page of this.#rawPages(segment, start)) {
      const lines: (PlacedLine | UnreadLine)[] = [];
      for (const raw of page) {
        const decoded = isUnwanted(raw, range.wants, head) ? UNWANTED : decodeLine(raw.text);
        if ("problem" in decoded) {
          reportLine(report, head.path, raw, decoded);
          const isAsked = hasBegun || (index !== undefined && index >= from);
          if (isAsked && decoded.problem !== "blank" && raw.complete && raw.isCut === undefined) {
            lines.push({ ordinal: head.numbered ? peekOrdinal(raw.text) : index, raw });
          }
          if (!head.numbered && index !== undefined) index += 1;
          continue;
        }
        const { line, without } = decoded;
        const ordinal = (line === undefined ? peekOrdinal(raw.text) : ordinalOf(line)) ?? index ?? 0;
        if (ordinal >= to && !endsAtByte) {
          if (lines.length > 0) yield lines;
          return;
        }
        if (head.numbered && isRepeated(report, head.path, raw, ordinal, previous, index)) continue;
        previous = { ordinal, text: raw.text };
        index = ordinal + 1;
        hasBegun ||= ordinal >= from;
        if (!hasBegun || line === undefined) continue;
        if (range.wants !== undefined && !isWanted(line, range.wants)) continue;
        if (without !== undefined) report({ kind: "partial", path: head.path, offset: raw.start, detail: without });
        line.ordinal = ordinal;
        lines.push({ line, ordinal, raw });
      }
      // Where much is left out, a page of nothing lets the reader take a breath.
      if (lines.length > 0 || range.wants !== undefined) yield lines;
    }
  }

  #seek(segment: Segment, from: number): number {
    if (from <= segment.firstOrdinal) return 0;
    return withFile(this.#fs, segment.head.path, (fd) =>
      seekOrdinal(this.#fs, fd, segment.head, from, segment.end?.byteOffset ?? this.#fs.info(fd).size),
    );
  }
}

/** Counted as the line that it is, and not read. */
const UNWANTED = { line: undefined, without: undefined };

/** A line whose head says its type and its place, so that it need not be parsed to be left out. */
function isUnwanted(raw: RawLine, wants: LoadRange["wants"], { numbered }: RolloutHead): boolean {
  if (wants === undefined || !raw.complete || raw.isCut !== undefined) return false;
  return isUnwantedAtHead(raw.text, wants) && (!numbered || peekOrdinal(raw.text) !== undefined);
}

/** Reports ordinals that do not follow each other. true: the same line once more, to be left out. */
function isRepeated(
  report: ProblemSink,
  path: string,
  raw: RawLine,
  ordinal: number,
  previous: { ordinal: number; text: string } | undefined,
  expected: number | undefined,
): boolean {
  if (expected === undefined || ordinal === expected) return false;
  const repeated = previous !== undefined && previous.ordinal === ordinal && previous.text === raw.text;
  const kind = repeated ? "duplicate" : ordinal > expected ? "gap" : "reused";
  report({ kind, path, offset: raw.start, detail: `ordinal ${ordinal} where ${expected} was expected` });
  return repeated;
}

function reportLine(
  report: ProblemSink,
  path: string,
  raw: RawLine,
  { problem, why }: { problem: LineProblem; why?: string },
): void {
  if (problem === "blank" && raw.complete) return;
  const kind = raw.complete ? (problem === "blank" ? "garbage" : problem) : "torn";
  const reason = raw.isCut ? "it is longer than a line may be" : why;
  const detail = `${raw.end - raw.start} bytes${reason === undefined ? "" : `: ${reason}`}`;
  report({ kind, path, offset: raw.start, detail });
}

const unseen = (end: FilePosition): string => `the lines before ${end.ordinal} are not there for the model`;

function reportBase(report: ProblemSink, { path, hasLostBase, misnamedEnd, without, base }: RolloutHead): void {
  const at = { path, offset: 0 };
  if (hasLostBase) {
    const detail = `the lines before its own are not there for the model: its history_base does not say which (${without})`;
    report({ kind: "base_missing", ...at, detail });
  }
  if (misnamedEnd === undefined) return;
  const detail = `its history_base ends at ${JSON.stringify(misnamedEnd)}, and its lines begin at ${base?.end.ordinal}`;
  report({ kind: "base_offset", ...at, detail });
}

function segmentOf(head: RolloutHead, end: Segment["end"], fileId?: ThreadId): Segment {
  return { fileId: fileId ?? fileIdOf(head), head, firstOrdinal: head.firstOrdinal, end };
}

/** What a fork of this file names in its `history_base`. */
export function fileIdOf(head: RolloutHead): ThreadId {
  const name = parseRolloutName(head.path.slice(Math.max(head.path.lastIndexOf("/"), head.path.lastIndexOf("\\")) + 1));
  return name !== undefined && name.threadId === head.meta.id ? name.fileId : head.meta.id;
}
