/** Lines of a thread as they go into a file of their own. */

import type { EventMsg } from "../../protocol/event.ts";
import { legacyEventsOf } from "../../protocol/legacy-events.ts";
import { isPersisted } from "../../protocol/persistence.ts";
import type { HistoryMode, RolloutItem, RolloutLine, SessionMeta } from "../../protocol/rollout.ts";
import { encodeLine, reordinal } from "./codec.ts";

/** A line as it is stored: its text without the line feed, and what it says where it can be read. */
export type StoredText = { readonly line?: RolloutLine | undefined; readonly raw: { readonly text: string } };

type FlatLine = { readonly item: RolloutItem; readonly text: string };

/** As {@link flatLines}. A line that says nothing to us goes along as it stands, since somebody else may read it. */
export function flatRawLines(
  placed: StoredText,
  mode: HistoryMode,
  ordinal: number,
  timestamp?: string,
): readonly { readonly item?: RolloutItem; readonly text: string }[] {
  const { line, raw } = placed;
  if (line !== undefined) return flatLines({ line, raw }, mode, ordinal, timestamp);
  return [{ text: `${reordinal(placed.raw.text, mode === "paginated" ? ordinal : undefined)}\n` }];
}

/**
 * The lines, with their line feeds, that stand for one line in a self-contained file: headers are left out, since the
 * file has its own; in a legacy file the events that 0.80 and 0.87 know stand in for completed items.
 *
 * @param ordinal that the first of them gets in a paginated file.
 */
function flatLines(
  { line, raw }: { readonly line: RolloutLine } & StoredText,
  mode: HistoryMode,
  ordinal: number,
  timestamp = line.timestamp,
): FlatLine[] {
  if (line.type === "session_meta") return [];
  if (mode === "paginated") return [{ item: line, text: `${reordinal(raw.text, ordinal, timestamp)}\n` }];
  if (line.type === "event_msg" && line.payload.type === "item_completed") {
    return legacyEventsOf(line.payload.item)
      .filter((event) => isPersisted(event, "legacy"))
      .map((event) => legacyLine(event, timestamp));
  }
  return [{ item: line, text: `${reordinal(raw.text, undefined, timestamp)}\n` }];
}

function legacyLine(event: EventMsg, timestamp: string): FlatLine {
  const item: RolloutItem = { type: "event_msg", payload: event };
  return { item, text: encodeLine(item, timestamp, undefined) };
}

/** A header for a file that shares nothing. */
export function flatMeta(meta: SessionMeta, mode: HistoryMode): SessionMeta {
  const { history_base: _base, forked_from_ordinal_exclusive: _ordinal, ...own } = meta;
  return { ...own, history_mode: mode };
}
