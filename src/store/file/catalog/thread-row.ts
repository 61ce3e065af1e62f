/** What the catalog says of a thread, read from its files. */

import { yieldToLoop } from "../../../kernel/yield-to-loop.ts";
import type { HistoryMode } from "../../../protocol/rollout.ts";
import { type LastTurn, LastTurnSearch } from "../../last-turn.ts";
import { decodeLine } from "../../rollout/codec.ts";
import { SEARCHED_CHARS } from "../../thread-query.ts";
import { factsOf, type ModelUse, modelUseOf, previewOf, userTextOf } from "../../thread-summary.ts";
import type { FileInfo, FileSystem } from "../file-system.ts";
import type { Layout } from "../layout.ts";
import type { HistoryReader } from "../rollout/history-reader.ts";
import { linesBackwards, withFile } from "../rollout/line-reader.ts";
import type { Segment } from "../rollout/segment.ts";
import type { ThreadNotes } from "../thread-notes.ts";
import type { CatalogRow } from "./catalog.ts";

/** How much of a history is searched for the first user messages. */
const LOOKED_AT_BYTES = 1024 * 1024;

/** The first user message and the searched text, gathered line by line. */
export class SummaryText {
  preview: string;
  #text: string;

  constructor(preview = "", text = "") {
    this.preview = preview;
    this.#text = text;
  }

  get searchText(): string {
    return this.#text;
  }

  get isFull(): boolean {
    return this.#text.length >= SEARCHED_CHARS;
  }

  /** true: something changed. */
  add(userText: string): boolean {
    if (this.preview === "") this.preview = previewOf(userText);
    if (this.isFull) return false;
    const text = this.#text === "" ? userText : `${this.#text}\n${userText}`;
    this.#text = text.slice(0, SEARCHED_CHARS);
    return true;
  }
}

/** Whether a row says what its file says now. */
export const isOfFile = (row: CatalogRow, info: FileInfo | undefined): boolean =>
  info !== undefined && row.fileSize === info.size && row.mtimeMs === info.modifiedMs;

/** @throws RolloutNotFoundError, RolloutCorruptError, StoreIoError */
export async function readRow(
  env: { fs: FileSystem; layout: Layout; reader: HistoryReader },
  path: string,
  notes: ThreadNotes,
): Promise<CatalogRow> {
  const { meta, base } = env.reader.head(path);
  const git = notes.git.get(meta.id);
  const info = env.fs.infoOf(path);
  const summary = await readSummary(env.reader, await env.reader.segments(path));
  return {
    ...factsOf(meta),
    ...lastLines(env.fs, path, meta.history_mode),
    rolloutPath: path,
    updatedAt: Math.floor(info?.modifiedMs ?? 0),
    preview: summary.preview,
    searchText: summary.searchText,
    name: notes.names.get(meta.id) ?? null,
    ...(git === undefined ? {} : { gitInfo: git }),
    archived: env.layout.isArchived(path),
    baseThreadId: base?.fileId ?? null,
    fileSize: info?.size ?? 0,
    mtimeMs: info?.modifiedMs ?? 0,
  };
}

/** How much of a rollout's end is searched for its last request, and for how its last turn stands. */
const LAST_REQUEST_BYTES = 256 * 1024;
const LAST_TURN_BYTES = 16 * 1024 * 1024;

/** What the last request ran with, if it stands near the end, and how the last turn stands. */
const lastLines = (fs: FileSystem, path: string, mode: HistoryMode): Partial<ModelUse> & LastTurn =>
  withFile(fs, path, (fd) => {
    const { size } = fs.info(fd);
    const requests = Math.max(0, size - LAST_REQUEST_BYTES);
    const turn = new LastTurnSearch(mode);
    let use: ModelUse | undefined;
    for (const { text, start } of linesBackwards(fs, fd, size, Math.max(0, size - LAST_TURN_BYTES))) {
      if (turn.isKnown && (use !== undefined || start < requests)) break;
      const wantsUse = use === undefined && start >= requests && text.includes('"turn_context"');
      if (!wantsUse && !turn.wants(text)) continue;
      const decoded = decodeLine(text);
      if (!("line" in decoded)) continue;
      turn.add(decoded.line);
      use ??= modelUseOf(decoded.line);
    }
    return { ...use, ...turn.found };
  });

/** What the first user messages of these lines say. */
export async function readSummary(reader: HistoryReader, segments: readonly Segment[]): Promise<SummaryText> {
  const summary = new SummaryText();
  let bytes = 0;
  for (const segment of segments) {
    for (const page of reader.linesOf(segment)) {
      for (const { line, raw } of page) {
        const text = userTextOf(line);
        if (text !== undefined) summary.add(text);
        bytes += raw.end - raw.start;
        if (summary.isFull || bytes > LOOKED_AT_BYTES) return summary;
      }
      await yieldToLoop();
    }
  }
  return summary;
}
