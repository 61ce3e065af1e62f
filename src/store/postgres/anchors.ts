/** Where forks begin, looked up by marks: no line is read, however long the history is. */
import type { ThreadRolledBackEvent } from "../../protocol/event.ts";
import { type ThreadId, toTurnId } from "../../protocol/ids.ts";
import type { ForkAnchor } from "../../protocol/initial-history.ts";
import {
  assertMessageNumber,
  isBeyondMessages,
  type TurnAnchor,
  turnMissing,
  turnStillRuns,
} from "../fork-point-refusals.ts";
import type { OpenTurn, TurnPlace } from "../thread-store.ts";
import type { SqlRow, Statements } from "./database.ts";
import { type MarkState, NO_MARKS, readState, runningOf } from "./marks.ts";
import { columnText } from "./thread-row.ts";

/** A thread as it stands before the line `end`. */
export type View = { readonly t: number; readonly end: number; readonly state: MarkState };

/** A place in a view; the thread that holds the line before it is looked up by who needs it. */
export type AnchoredPlace = { readonly end: number; readonly openTurn: OpenTurn | null };

/** What a rollback needs of the lines before it. */
export type MarkLookups = {
  /** What stands of a view after a rollback; undefined: all of it. */
  stateAfterRollback(view: View, rollback: ThreadRolledBackEvent): Promise<MarkState | undefined>;
};

/** The thread `$1` and those that it inherits from, each up to where it is seen before the line `$2`. */
const chain = (s: string): string => `
  WITH RECURSIVE chain (t, base, start, upto) AS (
    SELECT t, base, start, $2::bigint FROM ${s}.threads WHERE t = $1
    UNION ALL
    SELECT b.t, b.base, b.start, least(c.start, c.upto) FROM chain AS c JOIN ${s}.threads AS b ON b.t = c.base
  )`;

/** The last mark that passes, of the whole chain. */
const lastMark = (s: string, columns: string, passes: string): string => `${chain(s)}
  SELECT m.* FROM chain AS c CROSS JOIN LATERAL (
    SELECT ${columns} FROM ${s}.marks AS m WHERE m.t = c.t AND m.ordinal < c.upto AND ${passes}
    ORDER BY m.ordinal DESC LIMIT 1
  ) AS m ORDER BY m.ordinal DESC LIMIT 1`;

const numberOr = <T>(value: unknown, otherwise: T): number | T =>
  value === null || value === undefined ? otherwise : Number(value);

export class PostgresAnchors implements MarkLookups {
  readonly #database: Statements;

  constructor(database: Statements) {
    this.#database = database;
  }

  async #one(text: string, ...values: unknown[]): Promise<SqlRow | undefined> {
    return (await this.#database.run({ text, values }))[0];
  }

  async stateBefore(t: number, end: number): Promise<MarkState> {
    const row = await this.#one(lastMark(this.#database.schema, "m.ordinal, m.state", "true"), t, end);
    return row === undefined ? NO_MARKS : readState(String(row.state));
  }

  async stateAfterRollback(view: View, rollback: ThreadRolledBackEvent): Promise<MarkState | undefined> {
    const cut = await this.#cutOf(view, rollback);
    if (cut === undefined) return undefined;
    const state = await this.stateBefore(view.t, cut);
    if (state.turn === null || state.turn.hasEnded) return state;
    const stop = await this.#stopOf(view.t, view.end, state.turn.start);
    return { ...state, turn: { ...state.turn, hasEnded: stop !== null } };
  }

  /** Where what goes begins; undefined: nothing goes. */
  async #cutOf(view: View, rollback: ThreadRolledBackEvent): Promise<number | undefined> {
    const { num_turns: count, before_turn_id: turnId } = rollback;
    const turn = turnId === undefined ? undefined : await this.findTurn(view, turnId);
    if (turn !== undefined) return turn.start.ordinal;
    const { messages } = view.state;
    if (count <= 0 || messages === 0) return undefined;
    return (await this.#message(view.t, view.end, Math.max(0, messages - count)))?.end ?? 0;
  }

  /** Where a fork before the message of that height ends. */
  async #message(t: number, end: number, height: number): Promise<AnchoredPlace | undefined> {
    const text = lastMark(
      this.#database.schema,
      "m.ordinal, m.cut, m.turn",
      "m.kind = 'message' AND m.height = $3::integer",
    );
    const row = await this.#one(text, t, end, height);
    if (row === undefined) return undefined;
    return { end: Number(row.cut), openTurn: row.turn === null ? null : { turnId: toTurnId(String(row.turn)) } };
  }

  async #stopOf(t: number, end: number, begun: number): Promise<number | null> {
    const text = lastMark(this.#database.schema, "m.ordinal", "m.kind = 'stop' AND m.begun = $3::bigint");
    const row = await this.#one(text, t, end, begun);
    return row === undefined ? null : Number(row.ordinal) + 1;
  }

  /** Of the turns of this id that stand, the first. */
  async findTurn({ t, end, state }: View, turnId: string): Promise<TurnPlace | undefined> {
    const s = this.#database.schema;
    const text = `${chain(s)}
      SELECT b.ordinal FROM chain AS c JOIN ${s}.marks AS b ON b.t = c.t AND b.kind = 'begin' AND b.turn = $3
        AND b.ordinal < c.upto
      WHERE b.height < $4::integer AND NOT EXISTS (
        SELECT FROM chain AS d JOIN ${s}.marks AS l ON l.t = d.t AND l.kind = 'begin' AND l.height = b.height
        WHERE l.ordinal > b.ordinal AND l.ordinal < d.upto)
      ORDER BY b.ordinal LIMIT 1`;
    const row = await this.#one(text, t, end, columnText(turnId), state.turns);
    if (row === undefined) return undefined;
    const start = Number(row.ordinal);
    const stop = await this.#stopOf(t, end, start);
    return { turnId: toTurnId(turnId), start: { ordinal: start }, end: stop === null ? null : { ordinal: stop } };
  }

  /** undefined: outside the history. @throws InvalidForkPointError */
  async resolve(view: View, at: ForkAnchor): Promise<AnchoredPlace | undefined> {
    if (at === "full" || at === "interrupted") return endOf(view);
    if ("beforeUserMessage" in at) return this.#beforeUserMessage(view, at.beforeUserMessage);
    if ("beforeTurn" in at) {
      const { start } = await this.#turn(view, at.beforeTurn, "beforeTurnId");
      return { end: start.ordinal, openTurn: null };
    }
    const { end } = await this.#turn(view, at.throughTurn, "lastTurnId");
    if (end !== null) return { end: end.ordinal, openTurn: null };
    throw turnStillRuns(at.throughTurn);
  }

  async #beforeUserMessage(view: View, n: number): Promise<AnchoredPlace | undefined> {
    assertMessageNumber(n);
    if (isBeyondMessages(n)) return endOf(view);
    return n >= view.state.messages ? undefined : this.#message(view.t, view.end, n);
  }

  async #turn(view: View, turnId: string, anchor: TurnAnchor): Promise<TurnPlace> {
    const turn = await this.findTurn(view, turnId);
    if (turn !== undefined) return turn;
    const { turns, messages } = view.state;
    throw turnMissing(anchor, turnId, { hasTurns: turns > 0, hasMessages: messages > 0 });
  }

  /** On the way up, the thread that holds the line before `end`. */
  async holderOf(t: number, end: number): Promise<{ readonly t: number; readonly id: ThreadId } | undefined> {
    const s = this.#database.schema;
    const text = `${chain(s)}
      SELECT c.t, h.id FROM chain AS c JOIN ${s}.threads AS h USING (t) WHERE c.start < $2 ORDER BY c.start DESC LIMIT 1`;
    const row = await this.#one(text, t, end);
    return row === undefined ? undefined : { t: Number(row.t), id: row.id as ThreadId };
  }

  /** The last compaction before the line `end`. */
  async lastCompaction(t: number, end: number): Promise<number> {
    const text = lastMark(this.#database.schema, "m.ordinal", "m.kind = 'compacted'");
    return numberOr((await this.#one(text, t, end))?.ordinal, 0);
  }
}

function endOf({ end, state }: View): AnchoredPlace {
  const running = runningOf(state);
  if (running !== undefined) return { end, openTurn: { turnId: toTurnId(running.id) } };
  return { end, openTurn: state.turns === 0 && state.isUnanswered ? { turnId: null } : null };
}
