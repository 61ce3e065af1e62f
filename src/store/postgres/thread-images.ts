/** Threads as they lie in the database, for other stores to take over, and those of other stores as rows. */
import { randomUUID } from "node:crypto";
import { InvalidForkPointError, InvalidRequestError, RolloutNotFoundError } from "../../protocol/errors.ts";
import type { ImageRead, StoredImage, StoredLine, ThreadImage } from "../movable-store.ts";
import { decodeLine, timestampOf, withBaseBytes } from "../rollout/codec.ts";
import { PostgresAnchors } from "./anchors.ts";
import { type BatchWriter, batchStatement, partOf } from "./batch.ts";
import type { PostgresDatabase, Statements } from "./database.ts";
import { type Segment, segmentsOf, textsOf } from "./reader.ts";
import { headerOf, NOTHING_SAID, summaryBefore, summaryOf, type ThreadRow } from "./thread-row.ts";
import { type Beginning, ThreadTable } from "./thread-table.ts";
import type { PendingLine } from "./writer.ts";

/** So much waits before it is given to the server. */
const HELD_CHARS = 4 * 1024 * 1024;

export async function imageOf(database: Statements, threads: ThreadTable, row: ThreadRow): Promise<StoredImage> {
  const meta = headerOf(row);
  const { base, owner } = await threads.ties(row.t);
  const own: Segment = { ...row, upto: row.next };
  return {
    threadId: row.id,
    meta,
    historyMode: meta.history_mode ?? "paginated",
    updatedAt: row.updated,
    archived: row.archived,
    name: row.name,
    git: row.git?.git,
    base: base === null ? null : { threadId: base, end: row.start },
    size: row.next,
    owner,
    lines: (read) => linesOf(database, own, read),
    history: (read) => historyOf(database, row, read),
  };
}

async function* historyOf(database: Statements, row: ThreadRow, read?: ImageRead) {
  for (const segment of await segmentsOf(database, row, 0, row.next)) yield* linesOf(database, segment, read);
}

/** A thread that came from elsewhere has its header's line as it was; else the row says it. */
async function* linesOf(
  database: Statements,
  segment: Segment,
  { signal }: ImageRead = {},
): AsyncGenerator<readonly StoredLine[]> {
  const { start, began, header } = segment;
  let isFirst = true;
  for await (const lines of textsOf(database, segment, start, signal)) {
    if (isFirst && lines[0]?.ordinal !== start) yield [headerLine(start, began, header)];
    isFirst = false;
    yield lines;
  }
  if (isFirst) yield [headerLine(start, began, header)];
}

const headerLine = (ordinal: number, began: string, header: string): StoredLine => ({
  ordinal,
  text: `{"timestamp":"${began}","ordinal":${ordinal},"type":"session_meta","payload":${header}}`,
});

/** The thread with all of its lines, in one transaction: as the writer's batches would have stored it. */
export async function placeThread(
  database: PostgresDatabase,
  holder: number,
  thread: ThreadImage,
  signal: AbortSignal | undefined,
): Promise<void> {
  await database.transaction(async (statements) => {
    const threads = new ThreadTable(statements, holder);
    const anchors = new PostgresAnchors(statements);
    const beginning = await beginningOf(thread, threads, anchors);
    const meta = unplacedMeta(thread);
    const t = await threads.insert({ meta, beginning, now: thread.updatedAt, claim: randomUUID() });
    const rows = new PlacedRows(statements, anchors, { t, historyMode: thread.historyMode, ...beginning });
    let began: string | undefined;
    for await (const page of thread.lines({ signal })) {
      for (const line of page) {
        if (began === undefined) began = await rows.header(line, thread);
        else await rows.add(line);
      }
    }
    await rows.end();
    const { updatedAt, archived } = thread;
    await threads.settle(t, { began: began ?? timestampOf(updatedAt), updatedAt, archived });
    if (thread.name !== null) await threads.rename(thread.threadId, thread.name);
    if (thread.git !== undefined) await threads.setGitInfo(thread.threadId, thread.git);
  }, signal);
}

/** Bytes of a base are of its file: here there are none. */
const unplacedMeta = ({ meta }: ThreadImage): ThreadImage["meta"] =>
  meta.history_base === undefined || meta.history_base === null
    ? meta
    : { ...meta, history_base: { ...meta.history_base, end_byte_offset: 0 } };

async function beginningOf({ base }: ThreadImage, threads: ThreadTable, anchors: PostgresAnchors): Promise<Beginning> {
  if (base === null) return { base: null, start: 0, summary: NOTHING_SAID };
  const named = await threads.find(base.threadId);
  if (named === undefined) throw new RolloutNotFoundError(`no rollout found for thread id ${base.threadId}`);
  if (base.end > named.next)
    throw new InvalidForkPointError(`thread ${named.id} has ${named.next} lines, not ${base.end}`);
  const holder = base.end > named.start ? named : await anchors.holderOf(named.t, base.end);
  if (holder === undefined) throw new RolloutNotFoundError(`no rollout found for thread id ${base.threadId}`);
  const state = await anchors.stateBefore(holder.t, base.end);
  return { base: holder.t, start: base.end, summary: summaryBefore(summaryOf(named), base.end, state) };
}

/** Gathers lines and gives them to the server in batches. */
class PlacedRows {
  readonly #statements: Statements;
  readonly #anchors: PostgresAnchors;
  #writer: BatchWriter;
  readonly #waiting: PendingLine[] = [];
  #chars = 0;

  constructor(
    statements: Statements,
    anchors: PostgresAnchors,
    { t, historyMode, start, summary }: Beginning & Pick<BatchWriter, "t" | "historyMode">,
  ) {
    this.#statements = statements;
    this.#anchors = anchors;
    this.#writer = { t, epoch: 1, historyMode, stored: start + 1, pending: this.#waiting, summary };
  }

  /** Keeps the header's line as it is. @returns its time */
  async header({ ordinal, text }: StoredLine, { base }: ThreadImage): Promise<string> {
    const line = base === null ? text : withBaseBytes(text, 0);
    const { schema } = this.#statements;
    await this.#statements.run({
      text: `INSERT INTO ${schema}.lines (t, ordinal, line) VALUES ($1, $2, $3)`,
      values: [this.#writer.t, ordinal, line],
    });
    const decoded = decodeLine(text);
    if ("line" in decoded) return decoded.line.timestamp;
    throw new InvalidRequestError("the header of this thread cannot be read");
  }

  async add({ ordinal, text }: StoredLine): Promise<void> {
    const decoded = decodeLine(text);
    // What cannot be read says nothing, and is kept for those who can.
    const item =
      "line" in decoded ? decoded.line : ({ type: "unread", payload: null } as unknown as PendingLine["item"]);
    const at = "line" in decoded ? Date.parse(decoded.line.timestamp) || 0 : 0;
    this.#waiting.push({ ordinal, at, text, item });
    this.#chars += text.length;
    if (this.#chars > HELD_CHARS) await this.end();
  }

  async end(): Promise<void> {
    while (this.#waiting.length > 0) {
      const part = await partOf(this.#writer, this.#anchors);
      await this.#statements.run(batchStatement(this.#statements.schema, [part]));
      this.#waiting.splice(0, part.lines.length);
      this.#writer = { ...this.#writer, stored: part.next, summary: part.summary };
    }
    this.#chars = 0;
  }
}
