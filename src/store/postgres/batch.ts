/** What one batch stores of a thread, and the statement that stores it. */
import { lastTurnAfter } from "../last-turn.ts";
import { modelUseOf } from "../thread-summary.ts";
import type { MarkLookups } from "./anchors.ts";
import { BRIEFLY, FEW, type Statement } from "./database.ts";
import { type Mark, markOf, rollbackMark, rollbackOf } from "./marks.ts";
import { columnText, ROW_COLUMNS, type Summary, searchedText, searchedWords, summarize } from "./thread-row.ts";
import type { PendingLine, PostgresWriter } from "./writer.ts";

const MAX_LINES = 2_000;
const MAX_CHARS = 8 * 1024 * 1024;

/** What a batch knows of a thread that it stores lines of. */
export type BatchWriter = Pick<PostgresWriter, "t" | "epoch" | "historyMode" | "stored" | "pending" | "summary">;

export type Part<W extends BatchWriter = PostgresWriter> = {
  readonly writer: W;
  readonly from: number;
  /** The ordinal that the next line will have. */
  readonly next: number;
  readonly at: number;
  readonly lines: readonly PendingLine[];
  readonly marks: readonly Mark[];
  readonly summary: Summary;
};

/** What waits of a thread, or so much of it as one statement should hold. A rollback begins a batch: it looks at what is stored. */
export async function partOf<W extends BatchWriter>(writer: W, lookups: MarkLookups): Promise<Part<W>> {
  const lines: PendingLine[] = [];
  const marks: Mark[] = [];
  let { summary } = writer;
  let chars = 0;
  for (const line of writer.pending) {
    if (lines.length > 0 && (rollbackOf(line.item) !== undefined || lines.length >= MAX_LINES || chars > MAX_CHARS))
      break;
    const mark = await markFor(writer, line, summary, lookups);
    if (mark !== undefined) marks.push(mark);
    summary = {
      ...summarize(summary, line.item, line.ordinal, modelUseOf(line.item)),
      lastTurn: lastTurnAfter(summary.lastTurn, line.item, writer.historyMode),
      state: mark?.state ?? summary.state,
    };
    lines.push(line);
    chars += line.text.length;
  }
  const last = lines.at(-1);
  const next = (last?.ordinal ?? writer.stored - 1) + 1;
  return { writer, from: writer.stored, next, at: last?.at ?? 0, lines, marks, summary };
}

async function markFor(
  { t }: BatchWriter,
  { item, ordinal }: PendingLine,
  { state }: Summary,
  lookups: MarkLookups,
): Promise<Mark | undefined> {
  const rollback = rollbackOf(item);
  if (rollback === undefined) return markOf(item, ordinal, state);
  const kept = await lookups.stateAfterRollback({ t, end: ordinal, state }, rollback);
  return kept && rollbackMark(ordinal, kept);
}

const jsonOr = (value: unknown): string | null => (value === null ? null : JSON.stringify(value));

/** The rows of the input, a column each: `unnest` makes them rows again. */
const columns = <T>(rows: readonly T[], ...of: readonly ((row: T) => unknown)[]): unknown[] =>
  of.map((value) => rows.map(value));

/** PB2: one statement. It gives back the threads that took their part. */
export function batchStatement(schema: string, parts: readonly Part<BatchWriter>[]): Statement & { values: unknown[] } {
  const sorted = parts.toSorted((a, b) => a.writer.t - b.writer.t);
  const lines = sorted.flatMap(({ writer: { t }, lines }) => lines.map((line) => ({ t, ...line })));
  const marks = sorted.flatMap(({ writer: { t }, marks }) => marks.map((mark) => ({ t, ...mark })));
  const told = sorted.map((part) => {
    const { summary, writer } = part;
    const hasWords = summary.messages !== writer.summary.messages;
    const words = hasWords ? searchedWords(searchedText(summary)) : undefined;
    return { ...part, hasWords, words };
  });
  return {
    text: batchText(schema),
    values: [
      ...columns(
        told,
        ({ writer }) => writer.t,
        ({ writer }) => writer.epoch,
        ({ from }) => from,
        ({ next }) => next,
        ({ at }) => at,
        ({ summary }) => JSON.stringify(summary.state),
        ({ summary, hasWords }) => (hasWords ? jsonOr(summary.preview) : null),
        ({ summary, hasWords }) => (hasWords ? summary.previewAt : null),
        ({ summary, hasWords }) => (hasWords ? JSON.stringify(summary.messages) : null),
        ({ words }) => words?.words ?? null,
        ({ words }) => words?.index.join(" ") ?? null,
        ({ summary, writer }) => (summary.model === writer.summary.model ? null : jsonOr(summary.model)),
        ({ summary }) => summary.lastTurn.interrupted,
        ({ summary: { lastTurn } }) => (lastTurn.openTurn === null ? null : columnText(lastTurn.openTurn.turnId ?? "")),
      ),
      ...columns(
        lines,
        ({ t }) => t,
        ({ ordinal }) => ordinal,
        ({ text }) => text,
      ),
      ...columns(
        marks,
        ({ t }) => t,
        ({ ordinal }) => ordinal,
        ({ kind }) => kind,
        ({ height }) => height,
        ({ cut }) => cut,
        ({ turn }) => (turn === null ? null : columnText(turn)),
        ({ begun }) => begun,
        ({ state }) => JSON.stringify(state),
      ),
      told.length,
    ],
  };
}

const batchText = (s: string): string => `
  WITH given AS (
    SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::text[],
      $8::bigint[], $9::text[], $10::text[], $11::text[], $12::text[], $13::boolean[], $14::text[])
      AS g (t, epoch, start, next, at, state, preview, preview_at, messages, words, index, model, interrupted, open_turn)
      WHERE ${BRIEFLY} ${FEW(26)}
  ), fenced AS (
    UPDATE ${s}.threads AS h SET
      next = g.next, updated = g.at, state = g.state, preview = coalesce(g.preview, h.preview),
      preview_at = coalesce(g.preview_at, h.preview_at), messages = coalesce(g.messages, h.messages),
      model = coalesce(g.model, h.model), interrupted = g.interrupted, open_turn = g.open_turn
    FROM given AS g
    WHERE h.t = g.t AND h.epoch = g.epoch AND h.next = g.start AND h.holder IS NOT NULL AND NOT h.deleted
    RETURNING h.t
  ), worded AS (
    INSERT INTO ${s}.words (t, text_words, text_index)
    SELECT g.t, g.words, array_to_tsvector(string_to_array(g.index, ' ')) FROM given AS g JOIN fenced USING (t)
    WHERE g.words IS NOT NULL
    ON CONFLICT (t) DO UPDATE SET text_words = excluded.text_words, text_index = excluded.text_index
  ), stored AS (
    INSERT INTO ${s}.lines (t, ordinal, line)
    SELECT l.t, l.ordinal, l.line FROM unnest($15::bigint[], $16::bigint[], $17::text[]) AS l (t, ordinal, line)
    JOIN fenced USING (t)
  ), marked AS (
    INSERT INTO ${s}.marks (t, ordinal, kind, height, cut, turn, begun, state)
    SELECT m.* FROM unnest($18::bigint[], $19::bigint[], $20::text[], $21::integer[], $22::bigint[], $23::text[],
      $24::bigint[], $25::text[]) AS m (t, ordinal, kind, height, cut, turn, begun, state)
    JOIN fenced USING (t)
  )
  SELECT t FROM fenced`;

export const stateStatement = (schema: string, parts: readonly Part[]): Statement => ({
  text: `SELECT ${ROW_COLUMNS} FROM ${schema}.threads WHERE t = ANY($1::bigint[])`,
  values: [parts.map(({ writer }) => writer.t)],
});
