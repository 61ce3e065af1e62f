/** What the catalog says of a thread, read from its files. */

import type { HistoryMode } from "../../../protocol/rollout.ts";
import { type LastTurn, LastTurnSearch } from "../../last-turn.ts";
import { decodeLine } from "../../rollout/codec.ts";
import { factsOf, type ModelUse, modelUseOf } from "../../thread-summary.ts";
import type { FileInfo, FileSystem } from "../file-system.ts";
import type { Layout } from "../layout.ts";
import type { HistoryReader } from "../rollout/history-reader.ts";
import { linesBackwards, withFile } from "../rollout/line-reader.ts";
import type { ThreadNotes } from "../thread-notes.ts";
import type { CatalogRow } from "./catalog.ts";
import { InheritedSummaries } from "./inherited-summaries.ts";
import { saidWith } from "./said.ts";

/** Whether a row says what its file says now. */
export const isOfFile = (row: CatalogRow, info: FileInfo | undefined): boolean =>
  info !== undefined && row.fileSize === info.size && row.mtimeMs === info.modifiedMs;

/** @throws RolloutNotFoundError, RolloutCorruptError, StoreIoError */
export async function readRow(
  env: { fs: FileSystem; layout: Layout; reader: HistoryReader },
  path: string,
  notes: ThreadNotes,
  inherited = new InheritedSummaries(env.reader),
): Promise<CatalogRow> {
  const own = env.reader.own(path);
  const { meta, base } = own.head;
  const git = notes.git.get(meta.id);
  const info = env.fs.infoOf(path);
  const said = await saidWith(env.reader, await inherited.before(own.head), own);
  return {
    ...factsOf(meta),
    ...lastLines(env.fs, path, meta.history_mode),
    rolloutPath: path,
    updatedAt: Math.floor(info?.modifiedMs ?? 0),
    preview: said.preview,
    searchText: said.text,
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
