/**
 * What the anchor tables say of a thread as it stood at one ordinal. A thread that was forked is seen by its forks as it
 * stood there, whatever happened to it since, so nothing is ever taken out of the tables: rows only say until when they
 * hold.
 *
 * - A thread's rows tell of its own lines. What lies before is its base's, seen at `base_end`.
 * - A message's number is how many stood before it. Of the messages with one number, at most one stands at any
 *   ordinal, and it is the last one before.
 * - A rollback's row says how many messages it kept, which turn was the last one then, and the lowest cut of all
 *   rollbacks so far: inherited turns from there on are gone.
 * - A turn's end lies in the thread that it began in, or, in `stops`, in a fork that ended it.
 */
import { type ThreadId, type TurnId, toTurnId } from "../../../protocol/ids.ts";
import type { OpenTurn, TurnPlace } from "../../thread-store.ts";
import type { FilePosition } from "../file-position.ts";
import type { CatalogDatabase, SqlRow } from "./database.ts";

/** A thread in the tables. */
export type Anchored = {
  readonly t: number;
  readonly id: ThreadId;
  readonly base: number | null;
  readonly baseEnd: FilePosition;
  /** How many messages stood at the end of the base. */
  readonly inherited: number;
  /** The first own line that answers what was inherited without an answer. */
  readonly settled: number | null;
  readonly through: FilePosition;
};

/** A thread as it stood before the line `end`. */
export type View = {
  readonly thread: Anchored;
  readonly end: number;
  /** What it inherits, once it was looked up; null when all is its own. */
  base?: View | null;
};

export type MessagePlace = { readonly cut: FilePosition; readonly openTurn: TurnId | null };
/** A turn with the one that ran when it began, and so broke off there. */
export type SeenTurn = TurnPlace<FilePosition> & { readonly interrupts: TurnId | null };
type LastMessage = { readonly n: number; readonly line: number; readonly settled: number | null };
type Rollback = {
  readonly line: number;
  readonly kept: number;
  readonly lowestCut: number;
  readonly lastTurn: number | null;
};

const ANCHORED = "SELECT t, id, base, base_end, base_byte, inherited, settled, through, through_byte FROM anchored";

export const LOOKUPS = {
  byId: `${ANCHORED} WHERE id = ?`,
  byNumber: `${ANCHORED} WHERE t = ?`,
  message: `
    SELECT cut, cut_byte, open_turn FROM messages WHERE t = ? AND n = ? AND line < ? ORDER BY line DESC LIMIT 1`,
  lastMessage: "SELECT n, line, settled FROM messages WHERE t = ? AND line < ? ORDER BY line DESC LIMIT 1",
  lastTurn: "SELECT start FROM turns WHERE t = ? AND start < ? ORDER BY start DESC LIMIT 1",
  turnByStart: "SELECT start, start_byte, id, stop, stop_byte, interrupts FROM turns WHERE t = ? AND start = ?",
  turnById: `
    SELECT start FROM turns INDEXED BY turns_id WHERE t = ? AND id = ? AND start < ? AND (gone IS NULL OR gone >= ?) ORDER BY start LIMIT 1`,
  stop: "SELECT stop, stop_byte FROM stops WHERE t = ? AND start = ? AND stop <= ?",
  rollback:
    "SELECT line, kept, lowest_cut, last_turn FROM rollbacks WHERE t = ? AND line < ? ORDER BY line DESC LIMIT 1",
} as const;

export class AnchorViews {
  readonly #database: CatalogDatabase;

  constructor(database: CatalogDatabase) {
    this.#database = database;
  }

  find(threadId: ThreadId): Anchored | undefined {
    return anchoredOf(this.#database.get(LOOKUPS.byId, threadId));
  }

  byNumber(t: number): Anchored | undefined {
    return anchoredOf(this.#database.get(LOOKUPS.byNumber, t));
  }

  /** What the thread inherits; undefined when all is its own. */
  baseOf(view: View): View | undefined {
    if (view.base === undefined) view.base = this.#lookUpBase(view.thread) ?? null;
    return view.base ?? undefined;
  }

  #lookUpBase(thread: Anchored): View | undefined {
    const base = thread.base === null ? undefined : this.byNumber(thread.base);
    return base && { thread: base, end: thread.baseEnd.ordinal };
  }

  /** On the way up, the thread that holds the line before `place`. */
  holderOf(view: View, place: FilePosition): { readonly thread: Anchored; readonly place: FilePosition } {
    let holder = view;
    let at = place;
    for (let base = this.baseOf(view); base !== undefined && at.ordinal <= base.end; base = this.baseOf(base)) {
      if (at.ordinal === base.end) at = holder.thread.baseEnd;
      holder = base;
    }
    return { thread: holder.thread, place: at };
  }

  rollback({ thread, end }: View): Rollback | undefined {
    const row = this.#database.get(LOOKUPS.rollback, thread.t, end);
    if (row === undefined) return undefined;
    return {
      line: row.line as number,
      kept: row.kept as number,
      lowestCut: row.lowest_cut as number,
      lastTurn: row.last_turn as number | null,
    };
  }

  messageCount(view: View): number {
    const last = this.#ownLastMessage(view);
    const rollback = this.rollback(view);
    if (rollback !== undefined && rollback.line > (last?.line ?? -1)) return rollback.kept;
    return last === undefined ? view.thread.inherited : last.n + 1;
  }

  #ownLastMessage({ thread, end }: View): LastMessage | undefined {
    const row = this.#database.get(LOOKUPS.lastMessage, thread.t, end);
    return row && { n: row.n as number, line: row.line as number, settled: row.settled as number | null };
  }

  /** The line of the last message that was ever there, rolled back or not; -1 when there was none. */
  lastMessageLine(view: View): number {
    for (let at: View | undefined = view; at !== undefined; at = this.baseOf(at)) {
      const last = this.#ownLastMessage(at);
      if (last !== undefined) return last.line;
    }
    return -1;
  }

  nthMessage(view: View, n: number): MessagePlace | undefined {
    if (n >= this.messageCount(view)) return undefined;
    for (let at: View | undefined = view; at !== undefined; at = this.baseOf(at)) {
      const row = this.#database.get(LOOKUPS.message, at.thread.t, n, at.end);
      if (row === undefined) continue;
      return { cut: position(row.cut, row.cut_byte), openTurn: row.open_turn as TurnId | null };
    }
    return undefined;
  }

  /** Whether the last message has had no answer, no end of a turn and no rollback after it. */
  isUnanswered(view: View): boolean {
    for (let at: View | undefined = view; at !== undefined; at = this.baseOf(at)) {
      const last = this.#ownLastMessage(at);
      const settled = last === undefined ? at.thread.settled : last.settled;
      if (settled !== null && settled < at.end) return false;
      if (last !== undefined) return true;
    }
    return false;
  }

  findTurn(view: View, turnId: string): SeenTurn | undefined {
    let lowestCut = Number.POSITIVE_INFINITY;
    for (let at: View | undefined = view; at !== undefined; at = this.baseOf(at)) {
      const row = this.#database.get(LOOKUPS.turnById, at.thread.t, turnId, at.end, at.end);
      if (row !== undefined)
        return (row.start as number) < lowestCut ? this.turnAt(view, row.start as number) : undefined;
      lowestCut = Math.min(lowestCut, this.rollback(at)?.lowestCut ?? lowestCut);
    }
    return undefined;
  }

  lastTurn(view: View): SeenTurn | undefined {
    for (let at: View | undefined = view; at !== undefined; at = this.baseOf(at)) {
      const own = this.#database.get(LOOKUPS.lastTurn, at.thread.t, at.end)?.start as number | undefined;
      const rollback = this.rollback(at);
      if (rollback !== undefined && rollback.line > (own ?? -1)) {
        return rollback.lastTurn === null ? undefined : this.turnAt(view, rollback.lastTurn);
      }
      if (own !== undefined) return this.turnAt(view, own);
    }
    return undefined;
  }

  /** The turn that began at the line, with its end as the view has it. */
  turnAt(view: View, start: number): SeenTurn | undefined {
    const forks: View[] = [];
    for (let at: View | undefined = view; at !== undefined; at = this.baseOf(at)) {
      if (start >= at.thread.baseEnd.ordinal) {
        const row = this.#database.get(LOOKUPS.turnByStart, at.thread.t, start);
        return row && { ...turnOf(row), end: this.#stopOf(row, at, forks, start) };
      }
      forks.push(at);
    }
    return undefined;
  }

  #stopOf(row: SqlRow, home: View, forks: readonly View[], start: number): FilePosition | null {
    if (row.stop !== null && (row.stop as number) <= home.end) return position(row.stop, row.stop_byte);
    for (const fork of forks.toReversed()) {
      const stop = this.#database.get(LOOKUPS.stop, fork.thread.t, start, fork.end);
      if (stop !== undefined) return position(stop.stop, stop.stop_byte);
    }
    return null;
  }

  openTurn(view: View): OpenTurn | null {
    const last = this.lastTurn(view);
    if (last !== undefined) return last.end === null ? { turnId: last.turnId } : null;
    return this.isUnanswered(view) ? { turnId: null } : null;
  }

  /** The last turn before the line `limit` that stands at the view; only rollbacks ask for it. */
  lastTurnBefore(view: View, limit: number): number | null {
    let below = limit;
    for (let at: View | undefined = view; at !== undefined; at = this.baseOf(at)) {
      const row = this.#database.get(
        `SELECT start FROM turns WHERE t = ? AND start < ? AND (gone IS NULL OR gone >= ?) ORDER BY start DESC LIMIT 1`,
        at.thread.t,
        Math.min(below, at.end),
        at.end,
      );
      if (row !== undefined) return row.start as number;
      below = Math.min(below, this.rollback(at)?.lowestCut ?? below);
    }
    return null;
  }
}

const position = (ordinal: unknown, byteOffset: unknown): FilePosition => ({
  ordinal: ordinal as number,
  byteOffset: byteOffset as number,
});

const turnOf = (row: SqlRow): Omit<SeenTurn, "end"> => ({
  turnId: toTurnId(row.id as string),
  start: position(row.start, row.start_byte),
  interrupts: row.interrupts as TurnId | null,
});

function anchoredOf(row: SqlRow | undefined): Anchored | undefined {
  if (row === undefined) return undefined;
  return {
    t: row.t as number,
    id: row.id as ThreadId,
    base: row.base as number | null,
    baseEnd: position(row.base_end, row.base_byte),
    inherited: row.inherited as number,
    settled: row.settled as number | null,
    through: position(row.through, row.through_byte),
  };
}
