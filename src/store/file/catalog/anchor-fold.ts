/** Takes in the lines of a thread's file: looks at each once, keeps what matters, and writes it in one transaction. */
import { InternalDefect } from "../../../protocol/errors.ts";
import { type ThreadId, type TurnId, toTurnId } from "../../../protocol/ids.ts";
import type { RolloutItem } from "../../../protocol/rollout.ts";
import { isUserBoundary } from "../../../protocol/user-boundary.ts";
import type { FilePosition } from "../file-position.ts";

import type { Anchored, AnchorViews, View } from "./anchor-views.ts";
import type { CatalogDatabase } from "./database.ts";

/** Takes in the lines of one thread's file from where the index ends. */
export interface AnchorFold {
  /** How far the thread's own file is taken in. */
  readonly through: FilePosition;
  /** Takes in one line; one that was taken in before is passed over. */
  observe(item: RolloutItem, start: FilePosition, end: FilePosition): void;
  /** Stores what was observed. false: another process has gone on meanwhile; make a new fold and observe again. */
  save(): boolean;
}

/** The thread whose lines come before, up to the end. */
export type AnchorBase = { readonly threadId: ThreadId; readonly end: FilePosition };

type Mark =
  | { readonly kind: "message"; readonly start: FilePosition }
  | { readonly kind: "answer"; readonly start: FilePosition }
  | { readonly kind: "begin"; readonly start: FilePosition; readonly turnId: TurnId }
  | { readonly kind: "stop"; readonly start: FilePosition; readonly end: FilePosition }
  | {
      readonly kind: "rollBack";
      readonly start: FilePosition;
      readonly count: number;
      readonly turnId: string | undefined;
    };

export class LineFold implements AnchorFold {
  readonly #database: CatalogDatabase;
  readonly #views: AnchorViews;
  readonly #threadId: ThreadId;
  readonly #base: AnchorBase | null;
  /** As stored; undefined: nothing is. */
  #stored: FilePosition | undefined;
  #through: FilePosition;
  #marks: Mark[] = [];

  constructor(database: CatalogDatabase, views: AnchorViews, threadId: ThreadId, base: AnchorBase | null) {
    this.#database = database;
    this.#views = views;
    this.#threadId = threadId;
    this.#base = base;
    this.#stored = views.find(threadId)?.through;
    this.#through = this.#stored ?? { ordinal: base?.end.ordinal ?? 0, byteOffset: 0 };
  }

  get through(): FilePosition {
    return this.#through;
  }

  observe(item: RolloutItem, start: FilePosition, end: FilePosition): void {
    if (start.byteOffset < this.#through.byteOffset) return;
    this.#through = end;
    const mark = markOf(item, start, end);
    // Only the first answer to a message matters.
    if (mark !== undefined && (mark.kind !== "answer" || this.#marks.at(-1)?.kind !== "answer")) this.#marks.push(mark);
  }

  save(): boolean {
    const through = this.#through;
    if (this.#stored !== undefined && through.byteOffset === this.#stored.byteOffset) return true;
    const saved = this.#database.transaction(() => {
      const thread = this.#claim();
      if (thread === undefined) return false;
      const writer = new MarkWriter(this.#database, this.#views, thread);
      for (const mark of this.#marks) writer.write(mark);
      const sql = "UPDATE anchored SET through = ?, through_byte = ? WHERE t = ?";
      this.#database.run(sql, through.ordinal, through.byteOffset, thread.t);
      return true;
    });
    if (!saved) return false;
    this.#stored = through;
    this.#marks = [];
    return true;
  }

  /** The thread as this fold knew it; undefined when it is another by now. */
  #claim(): Anchored | undefined {
    const found = this.#views.find(this.#threadId);
    if (this.#stored !== undefined) {
      const same =
        found?.through.ordinal === this.#stored.ordinal && found.through.byteOffset === this.#stored.byteOffset;
      return same ? found : undefined;
    }
    if (found !== undefined) return undefined;
    const base = this.#base === null ? undefined : this.#viewOfBase(this.#base);
    this.#database.run(
      `INSERT INTO anchored (id, base, base_end, base_byte, inherited, through, through_byte) VALUES (?, ?, ?, ?, ?, ?, 0)`,
      this.#threadId,
      base?.thread.t ?? null,
      base?.end ?? 0,
      this.#base?.end.byteOffset ?? 0,
      base === undefined ? 0 : this.#views.messageCount(base),
      base?.end ?? 0,
    );
    return this.#views.find(this.#threadId);
  }

  #viewOfBase(base: AnchorBase): View {
    const thread = this.#views.find(base.threadId);
    if (thread === undefined || thread.through.ordinal < base.end.ordinal) {
      throw new InternalDefect(
        `the anchors of ${base.threadId} must be known before those of its fork ${this.#threadId}`,
      );
    }
    return { thread, end: base.end.ordinal };
  }
}

function markOf(item: RolloutItem, start: FilePosition, end: FilePosition): Mark | undefined {
  if (item.type === "response_item") {
    if (isUserBoundary(item.payload)) return { kind: "message", start };
    const isAnswer = item.payload.type === "message" && item.payload.role === "assistant";
    return isAnswer ? { kind: "answer", start } : undefined;
  }
  if (item.type !== "event_msg") return undefined;
  const msg = item.payload;
  switch (msg.type) {
    case "task_started":
      return typeof msg.turn_id === "string" ? { kind: "begin", start, turnId: toTurnId(msg.turn_id) } : undefined;
    case "task_complete":
    case "turn_aborted":
      return { kind: "stop", start, end };
    case "thread_rolled_back":
      return { kind: "rollBack", start, count: msg.num_turns, turnId: msg.before_turn_id };
    default:
      return undefined;
  }
}

/** The last turn that stands, as the next line meets it. */
type LastTurn = {
  readonly turnId: TurnId;
  readonly start: FilePosition;
  readonly interrupts: TurnId | null;
  ended: boolean;
  hasMessage: boolean;
};

/** Writes what the rules of AnchorIndex make of the marks. What it needs of the past it looks up once. */
class MarkWriter {
  readonly #database: CatalogDatabase;
  readonly #views: AnchorViews;
  readonly #thread: Anchored;
  #count: number;
  #unanswered: boolean;
  /** The line of the last message in the thread's own file. */
  #ownMessage: number | null;
  #lastTurn: LastTurn | undefined;

  constructor(database: CatalogDatabase, views: AnchorViews, thread: Anchored) {
    this.#database = database;
    this.#views = views;
    this.#thread = thread;
    const view = this.#viewBefore(thread.through.ordinal);
    this.#count = views.messageCount(view);
    this.#unanswered = views.isUnanswered(view);
    this.#lastTurn = this.#lookUpLastTurn(view);
    const last = database.get("SELECT max(line) AS line FROM messages WHERE t = ?", thread.t);
    this.#ownMessage = (last?.line ?? null) as number | null;
  }

  #viewBefore(end: number): View {
    return { thread: this.#thread, end };
  }

  #lookUpLastTurn(view: View): LastTurn | undefined {
    const turn = this.#views.lastTurn(view);
    if (turn === undefined) return undefined;
    const { turnId, start, interrupts } = turn;
    const hasMessage = this.#views.lastMessageLine(view) >= start.ordinal;
    return { turnId, start, interrupts, ended: turn.end !== null, hasMessage };
  }

  write(mark: Mark): void {
    switch (mark.kind) {
      case "message":
        this.#message(mark.start);
        break;
      case "answer":
        this.#settle(mark.start.ordinal);
        break;
      case "begin":
        this.#begin(mark.start, mark.turnId);
        break;
      case "stop":
        this.#stop(mark.start, mark.end);
        break;
      case "rollBack":
        this.#rollBack(mark.start.ordinal, mark);
    }
  }

  #running(): LastTurn | undefined {
    return this.#lastTurn?.ended === false ? this.#lastTurn : undefined;
  }

  #message(start: FilePosition): void {
    const turn = this.#running();
    const opens = turn !== undefined && !turn.hasMessage;
    const cut = opens ? turn.start : start;
    const openTurn = opens ? turn.interrupts : (turn?.turnId ?? null);
    this.#database.run(
      "INSERT INTO messages (t, n, line, cut, cut_byte, open_turn) VALUES (?, ?, ?, ?, ?, ?)",
      this.#thread.t,
      this.#count,
      start.ordinal,
      cut.ordinal,
      cut.byteOffset,
      openTurn,
    );
    if (turn !== undefined) turn.hasMessage = true;
    this.#count += 1;
    this.#unanswered = true;
    this.#ownMessage = start.ordinal;
  }

  #settle(line: number): void {
    if (!this.#unanswered) return;
    this.#unanswered = false;
    const { t } = this.#thread;
    if (this.#ownMessage === null) this.#database.run("UPDATE anchored SET settled = ? WHERE t = ?", line, t);
    else this.#database.run("UPDATE messages SET settled = ? WHERE t = ? AND line = ?", line, t, this.#ownMessage);
  }

  #begin(start: FilePosition, turnId: TurnId): void {
    const interrupts = this.#running()?.turnId ?? null;
    this.#database.run(
      "INSERT INTO turns (t, start, start_byte, id, interrupts) VALUES (?, ?, ?, ?, ?)",
      this.#thread.t,
      start.ordinal,
      start.byteOffset,
      turnId,
      interrupts,
    );
    this.#lastTurn = { turnId, start, interrupts, ended: false, hasMessage: false };
  }

  #stop(start: FilePosition, end: FilePosition): void {
    this.#settle(start.ordinal);
    const turn = this.#running();
    if (turn === undefined) return;
    turn.ended = true;
    const { t, baseEnd } = this.#thread;
    const sql =
      turn.start.ordinal >= baseEnd.ordinal
        ? "UPDATE turns SET stop = ?, stop_byte = ? WHERE t = ? AND start = ?"
        : "INSERT OR IGNORE INTO stops (stop, stop_byte, t, start) VALUES (?, ?, ?, ?)";
    this.#database.run(sql, end.ordinal, end.byteOffset, t, turn.start.ordinal);
  }

  /** Where what goes begins; undefined: nothing goes. */
  #cutOf(view: View, { count, turnId }: { count: number; turnId: string | undefined }): number | undefined {
    const turn = turnId === undefined ? undefined : this.#views.findTurn(view, turnId);
    if (turn !== undefined) return turn.start.ordinal;
    if (count <= 0 || this.#count === 0) return undefined;
    return this.#cutAt(view, Math.max(0, this.#count - count));
  }

  /** Where a fork before the n-th message ends. */
  #cutAt(view: View, n: number): number {
    const cut = this.#views.nthMessage(view, n)?.cut.ordinal;
    if (cut === undefined) throw new InternalDefect(`message ${n} of thread ${this.#thread.id} is not in the catalog`);
    return cut;
  }

  #rollBack(line: number, asked: { count: number; turnId: string | undefined }): void {
    const { t } = this.#thread;
    const view = this.#viewBefore(line);
    const cut = this.#cutOf(view, asked);
    if (cut === undefined) return;
    let kept = this.#count;
    while (kept > 0 && this.#cutAt(view, kept - 1) >= cut) kept -= 1;
    this.#database.run("UPDATE turns SET gone = ? WHERE t = ? AND start >= ? AND gone IS NULL", line, t, cut);
    this.#database.run(
      "INSERT INTO rollbacks (t, line, kept, lowest_cut, last_turn) VALUES (?, ?, ?, ?, ?)",
      t,
      line,
      kept,
      Math.min(cut, this.#views.rollback(view)?.lowestCut ?? cut),
      this.#views.lastTurnBefore(this.#viewBefore(line + 1), cut),
    );
    this.#settle(line);
    this.#count = kept;
    this.#lastTurn = this.#lookUpLastTurn(this.#viewBefore(line + 1));
  }
}
