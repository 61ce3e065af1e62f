import { yieldToLoop } from "../../../kernel/yield-to-loop.ts";
import type { ExportOptions } from "../../movable-store.ts";
import { encodeLine, timestampOf } from "../../rollout/codec.ts";
import { flatMeta, flatRawLines } from "../../rollout/flatten.ts";
import type { HistoryReader } from "./history-reader.ts";

/** A thread as one self-contained rollout file, in pieces of whole lines: what it inherits is written out. */
export async function* exportLines(
  reader: HistoryReader,
  path: string,
  { format = "legacy", signal }: ExportOptions = {},
): AsyncGenerator<string> {
  const { meta, stored } = reader.head(path);
  const segments = await reader.segments(path);
  const started = Date.parse(meta.timestamp);
  const header = { type: "session_meta" as const, payload: flatMeta(stored, format) };
  const at = timestampOf(Number.isNaN(started) ? 0 : started);
  let text = encodeLine(header, at, format === "paginated" ? 0 : undefined);
  let ordinal = 1;
  for (const segment of segments) {
    for (const page of reader.rawLinesOf(segment)) {
      signal?.throwIfAborted();
      for (const placed of page) {
        for (const line of flatRawLines(placed, format, ordinal)) {
          text += line.text;
          ordinal += 1;
        }
      }
      if (text !== "") yield text;
      text = "";
      await yieldToLoop();
    }
  }
  if (text !== "") yield text;
}
