import type { RolloutLine } from "../../protocol/rollout.ts";
import type { StoredLine } from "../movable-store.ts";
import { decodeLine } from "../rollout/codec.ts";
import type { LoadRange } from "../thread-store.ts";
import { isUnwantedAtHead, isWanted } from "../wanted-lines.ts";
import type { Statements } from "./database.ts";
import { headerOf, type Origin } from "./thread-row.ts";

/** Of the first page, whose lines nobody has seen. */
const PAGE_LINES = 256;
const MOST_LINES = 2_048;
/** What a page should hold: so long ones make short pages, and a history of short ones takes few round trips. */
const PAGE_CHARS = 1024 * 1024;

function nextPage(lines: readonly StoredLine[]): number {
  const chars = lines.reduce((sum, { text }) => sum + text.length, 0);
  return Math.min(MOST_LINES, Math.ceil((PAGE_CHARS * lines.length) / Math.max(1, chars)));
}

/** The lines of a thread's own, its header at `start`, up to where they are seen. */
export type Segment = Pick<Origin, "id" | "header" | "began"> & {
  readonly t: number;
  readonly start: number;
  readonly upto: number;
};

/** The lines of a thread from an ordinal up to another, inherited ones first, in pages. */
export async function* readLines(
  database: Statements,
  row: Origin,
  {
    from,
    to,
    wants = () => true,
    signal,
    onProblem,
  }: Pick<LoadRange, "wants" | "signal" | "onProblem"> & { readonly from: number; readonly to: number },
): AsyncGenerator<readonly RolloutLine[]> {
  if (from >= to) return;
  for (const segment of await segmentsOf(database, row, from, to)) {
    const { start, upto, began: timestamp } = segment;
    if (start >= from && start < upto && wants("session_meta", undefined)) {
      yield [{ timestamp, ordinal: start, type: "session_meta", payload: headerOf(segment) }];
    }
    for await (const texts of textsOf(database, segment, Math.max(from, start + 1), signal)) {
      const page: RolloutLine[] = [];
      for (const { ordinal, text } of texts) {
        if (isUnwantedAtHead(text, wants)) continue;
        const decoded = decodeLine(text);
        if ("line" in decoded && !isWanted(decoded.line, wants)) continue;
        // Lines of a legacy file that came here say no ordinal.
        if ("line" in decoded) page.push({ ...decoded.line, ordinal });
        const detail = "line" in decoded ? decoded.without : (decoded.why ?? "it cannot be read");
        if (detail === undefined) continue;
        const kind = "line" in decoded ? "partial" : "unreadable";
        onProblem?.({ kind, path: `thread ${segment.id}, line ${ordinal}`, offset: 0, detail });
      }
      if (page.length > 0) yield page;
    }
  }
}

/** What is stored of a segment from an ordinal on, as it is stored. */
export async function* textsOf(
  database: Statements,
  { t, upto }: Pick<Segment, "t" | "upto">,
  from: number,
  signal?: AbortSignal,
): AsyncGenerator<readonly StoredLine[]> {
  let most = PAGE_LINES;
  for (let at = from; at < upto; ) {
    signal?.throwIfAborted();
    const text = `SELECT ordinal, line FROM ${database.schema}.lines
      WHERE t = $1 AND ordinal >= $2 AND ordinal < $3 ORDER BY ordinal LIMIT $4::bigint`;
    const rows = await database.run({ text, values: [t, at, upto, most], signal });
    if (rows.length === 0) return;
    const lines = rows.map(({ ordinal, line }) => ({ ordinal: Number(ordinal), text: String(line) }));
    yield lines;
    most = nextPage(lines);
    at = (lines.at(-1)?.ordinal ?? upto) + 1;
  }
}

/** The threads that hold the lines, the first ones first, each up to where it is seen. */
export async function segmentsOf(database: Statements, row: Origin, from: number, to: number): Promise<Segment[]> {
  if (row.base === null || from >= row.start) return [{ ...row, upto: to }];
  const s = database.schema;
  const text = `
    WITH RECURSIVE chain (t, base, start, upto) AS (
      SELECT t, base, start, $2::bigint FROM ${s}.threads WHERE t = $1
      UNION ALL
      SELECT b.t, b.base, b.start, least(c.start, c.upto) FROM chain AS c JOIN ${s}.threads AS b ON b.t = c.base
      WHERE c.start > $3::bigint
    )
    SELECT c.t, c.start, c.upto, h.id, h.header, h.began FROM chain AS c JOIN ${s}.threads AS h USING (t)
    WHERE c.start < c.upto ORDER BY c.start`;
  const rows = await database.run({ text, values: [row.t, to, from] });
  return rows.map(({ t, start, upto, id, header, began }) => ({
    t: Number(t),
    start: Number(start),
    upto: Number(upto),
    id: row.id === id ? row.id : (id as Origin["id"]),
    header: String(header),
    began: String(began),
  }));
}
