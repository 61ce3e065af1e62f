/** What the catalog says of a thread, read from its files. */

import { yieldToLoop } from "../../../kernel/yield-to-loop.ts";
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
    ...lastModelUse(env.fs, path),
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

/** How much of a rollout's end is searched for its last request. */
const LAST_BYTES = 256 * 1024;

/** What the last request ran with, if it stands near the end. */
const lastModelUse = (fs: FileSystem, path: string): ModelUse | undefined =>
  withFile(fs, path, (fd) => {
    const { size } = fs.info(fd);
    for (const { text } of linesBackwards(fs, fd, size, Math.max(0, size - LAST_BYTES))) {
      if (!text.includes('"turn_context"')) continue;
      const decoded = decodeLine(text);
      const use = "line" in decoded ? modelUseOf(decoded.line) : undefined;
      if (use !== undefined) return use;
    }
    return undefined;
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
