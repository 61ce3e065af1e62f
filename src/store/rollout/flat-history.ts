import type { HistoryMode } from "../../protocol/rollout.ts";
import type { ImageRead, StoredImage, StoredLine } from "../movable-store.ts";
import { decodeLine, encodeLine, timestampOf } from "./codec.ts";
import { flatMeta, flatRawLines } from "./flatten.ts";

/** A thread's lines as a file of its own has them: what it inherits is written out, and counted anew. */
export async function* flatHistory(
  image: Pick<StoredImage, "meta" | "history">,
  mode: HistoryMode,
  read: ImageRead = {},
): AsyncGenerator<readonly StoredLine[]> {
  const { meta } = image;
  const started = Date.parse(meta.timestamp);
  const at = timestampOf(Number.isNaN(started) ? 0 : started);
  const header = { type: "session_meta", payload: flatMeta(meta, mode) } as const;
  yield [{ ordinal: 0, text: encodeLine(header, at, mode === "paginated" ? 0 : undefined).trimEnd() }];
  let ordinal = 1;
  for await (const page of image.history(read)) {
    const lines: StoredLine[] = [];
    for (const raw of page) {
      const decoded = decodeLine(raw.text);
      for (const { text } of flatRawLines({ line: "line" in decoded ? decoded.line : undefined, raw }, mode, ordinal)) {
        lines.push({ ordinal, text: text.slice(0, -1) });
        ordinal += 1;
      }
    }
    yield lines;
  }
}
