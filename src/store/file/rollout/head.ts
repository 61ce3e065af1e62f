import { RolloutCorruptError, RolloutNotFoundError, SkeinError, StoreIoError } from "../../../protocol/errors.ts";
import { isUuid, type ThreadId } from "../../../protocol/ids.ts";
import type { HistoryBase, HistoryMode, RolloutLine, SessionMeta } from "../../../protocol/rollout.ts";
import { isJsonObject } from "../../../protocol/unknown-kind.ts";
import { type DecodedLine, decodeLine, ordinalOf, peekOrdinal } from "../../rollout/codec.ts";
import type { FilePosition } from "../file-position.ts";
import { type FileSystem, isMissing } from "../file-system.ts";
import { LineReader, type RawLine, withFile } from "./line-reader.ts";

/** What a rollout's first session_meta says. */
export type RolloutHead = {
  readonly path: string;
  /** With the mode that follows from the file where it names none. */
  readonly meta: SessionMeta & { readonly history_mode: HistoryMode };
  /** How long the file is at least, for this to be in it. */
  readonly bytes: number;
  /** Whether the file's lines carry ordinals. In legacy files a line's ordinal is its index. */
  readonly numbered: boolean;
  /** The ordinal of the file's first line: the end of what it inherits. */
  readonly firstOrdinal: number;
  readonly base: { readonly fileId: ThreadId; readonly end: FilePosition } | null;
  /** It inherits lines, and does not say which. */
  readonly hasLostBase: boolean;
  /** The end of its base that the header names, where its lines say another. */
  readonly misnamedEnd: unknown;
  /** What of the header does not fit; it is read without. */
  readonly without: string | undefined;
  /** The header as it stands in the file. */
  readonly stored: SessionMeta;
};

const HEAD_BLOCK_BYTES = 8 * 1024;
/** How far into a file its head is looked for: whatever a client names is read in one go, and has to be answered soon. */
const HEAD_WITHIN_BYTES = 8 * 1024 * 1024;
const HEAD_WITHIN_LINES = 4_096;
/** For fields that Codex always writes, where a header lacks them. */
const NO_FACTS = { timestamp: "", cwd: "", originator: "", cli_version: "" };

/**
 * Reads the head of a rollout: the first session_meta that can be read, within its first 8 MiB and 4,096 lines.
 *
 * @throws RolloutNotFoundError; RolloutCorruptError when there is none; InvalidRequestError for no regular file; StoreIoError
 */
export function readHead(fs: FileSystem, path: string): RolloutHead {
  let head: ReturnType<typeof headOf>;
  try {
    head = withFile(fs, path, (fd) => headOf(fs, fd, path));
  } catch (error) {
    if (error instanceof SkeinError) throw error;
    if (isMissing(error)) throw new RolloutNotFoundError(`no rollout found at ${path}`, { cause: error });
    throw new StoreIoError(`cannot read ${path}: ${error instanceof Error ? error.message : error}`, { cause: error });
  }
  if (typeof head === "string") throw new RolloutCorruptError(path, head);
  return head;
}

function headOf(fs: FileSystem, fd: number, path: string): RolloutHead | RolloutCorruptError["problem"] {
  let isBlank = true;
  let seen = 0;
  // Up to the size that it has now: what lies in /proc has none, and may go on without end.
  const end = Math.min(fs.info(fd).size, HEAD_WITHIN_BYTES);
  const reader = new LineReader(fs, fd, { start: 0, end, blockBytes: HEAD_BLOCK_BYTES });
  for (let lines = reader.next(); lines !== undefined; lines = reader.next()) {
    for (const [at, raw] of lines.entries()) {
      seen += 1;
      if (seen > HEAD_WITHIN_LINES) return "headless";
      if (raw.text.trim() !== "") isBlank = false;
      const decoded = decodeLine(raw.text);
      if (!isHeader(decoded)) continue;
      const ordinalBehind = () => peekOrdinal((lines[at + 1] ?? reader.next()?.[0])?.text ?? "");
      return headFrom(path, { raw, ...decoded }, ordinalBehind);
    }
  }
  return isBlank ? "empty" : "headless";
}

type HeaderLine = RolloutLine & { type: "session_meta" };

const isHeader = (decoded: DecodedLine): decoded is { line: HeaderLine; without?: string } =>
  "line" in decoded && decoded.line.type === "session_meta";

type Header = { readonly line: HeaderLine; readonly raw: RawLine; readonly without?: string };

/** @param ordinalBehind what the line behind the header says; asked for only where the header is at odds with itself */
function headFrom(path: string, { line, raw, without }: Header, ordinalBehind: () => number | undefined): RolloutHead {
  const { payload } = line;
  const own = ordinalOf(line);
  const numbered = own !== undefined || ordinalBehind() !== undefined;
  const stored: SessionMeta = without === undefined ? payload : JSON.parse(raw.text).payload;
  const said = payload.history_base ?? partOfBase(stored.history_base);
  const end = said === undefined ? undefined : inheritedEnd(said.end_ordinal_exclusive, own, ordinalBehind);
  const history_base = said === undefined || end === undefined ? undefined : { ...said, end_ordinal_exclusive: end };
  const meta = {
    ...NO_FACTS,
    ...payload,
    ...(history_base && { history_base }),
    history_mode: payload.history_mode ?? (numbered ? "paginated" : "legacy"),
  };
  const base = baseOf(history_base);
  return {
    path,
    meta,
    stored,
    bytes: raw.end,
    numbered,
    base,
    firstOrdinal: base?.end.ordinal ?? 0,
    hasLostBase: history_base === undefined && isJsonObject(stored.history_base),
    misnamedEnd: said !== undefined && said.end_ordinal_exclusive !== end ? said.end_ordinal_exclusive : undefined,
    without,
  };
}

type NamedBase = Omit<HistoryBase, "end_ordinal_exclusive"> & { readonly end_ordinal_exclusive: unknown };

/** A base whose end can be told without the part of it that does not fit. An offset of 0 is no line's end. */
function partOfBase(base: unknown): NamedBase | undefined {
  if (!isJsonObject(base)) return undefined;
  const { thread_id, end_byte_offset, end_ordinal_exclusive = null } = base;
  if (typeof thread_id !== "string" || !isUuid(thread_id)) return undefined;
  if (!isCount(end_byte_offset) && !isCount(end_ordinal_exclusive)) return undefined;
  const end = isCount(end_byte_offset) ? end_byte_offset : 0;
  return { thread_id: thread_id as ThreadId, end_byte_offset: end, end_ordinal_exclusive };
}

/**
 * Where what a file inherits ends is the ordinal of its own first line as well. Of two that differ the line behind decides. A
 * first line of 0 denies no base: that is how damaged files are numbered.
 */
function inheritedEnd(
  said: unknown,
  own: number | undefined,
  ordinalBehind: () => number | undefined,
): number | undefined {
  if (!isCount(said)) return own === 0 ? undefined : own;
  if (own === undefined || own === 0 || own === said) return said;
  return ordinalBehind() === own + 1 ? own : said;
}

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;

const baseOf = (base: HistoryBase | null | undefined): RolloutHead["base"] =>
  base === null || base === undefined || base.end_ordinal_exclusive === 0
    ? null
    : {
        fileId: base.thread_id,
        end: { ordinal: base.end_ordinal_exclusive, byteOffset: base.end_byte_offset },
      };
