import { RolloutCorruptError, RolloutNotFoundError, SkeinError, StoreIoError } from "../../../protocol/errors.ts";
import type { ThreadId } from "../../../protocol/ids.ts";
import type { HistoryBase, HistoryMode, RolloutLine, SessionMeta } from "../../../protocol/rollout.ts";
import { isJsonObject } from "../../../protocol/unknown-kind.ts";
import { type DecodedLine, decodeLine, ordinalOf } from "../../rollout/codec.ts";
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
    for (const raw of lines) {
      seen += 1;
      if (seen > HEAD_WITHIN_LINES) return "headless";
      if (raw.text.trim() !== "") isBlank = false;
      const decoded = decodeLine(raw.text);
      if (!isHeader(decoded)) continue;
      return headFrom(path, decoded.line, raw, decoded.without);
    }
  }
  return isBlank ? "empty" : "headless";
}

type HeaderLine = RolloutLine & { type: "session_meta" };

const isHeader = (decoded: DecodedLine): decoded is { line: HeaderLine; without?: string } =>
  "line" in decoded && decoded.line.type === "session_meta";

function headFrom(path: string, line: HeaderLine, raw: RawLine, without: string | undefined): RolloutHead {
  const { payload } = line;
  const base = baseOf(payload.history_base);
  const numbered = ordinalOf(line) !== undefined;
  const meta = { ...NO_FACTS, ...payload, history_mode: payload.history_mode ?? (numbered ? "paginated" : "legacy") };
  const stored: SessionMeta = without === undefined ? payload : JSON.parse(raw.text).payload;
  const hasLostBase = base === null && isJsonObject(stored.history_base) && payload.history_base === undefined;
  const firstOrdinal = base?.end.ordinal ?? 0;
  return { path, meta, stored, bytes: raw.end, numbered, base, firstOrdinal, hasLostBase, without };
}

const baseOf = (base: HistoryBase | null | undefined): RolloutHead["base"] =>
  base === null || base === undefined || base.end_ordinal_exclusive === 0
    ? null
    : {
        fileId: base.thread_id,
        end: { ordinal: base.end_ordinal_exclusive, byteOffset: base.end_byte_offset },
      };
