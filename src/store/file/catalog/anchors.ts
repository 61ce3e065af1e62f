/**
 * Fork anchors of cold threads, kept in the catalog by the rules of AnchorIndex, so that no history is read to find one.
 *
 * Only a thread's own lines are kept under it; what it inherits is looked up in its base as that stood at the fork:
 * a later rollback of the base changes nothing for it. Every lookup is O(log n) for each fork on the way up.
 */
import type { ThreadId } from "../../../protocol/ids.ts";
import type { ForkAnchor } from "../../../protocol/initial-history.ts";
import {
  assertMessageNumber,
  isBeyondMessages,
  type TurnAnchor,
  turnMissing,
  turnStillRuns,
} from "../../fork-point-refusals.ts";
import type { OpenTurn, TurnPlace } from "../../thread-store.ts";
import type { FilePosition } from "../file-position.ts";
import { type AnchorBase, type AnchorFold, LineFold } from "./anchor-fold.ts";
import { type Anchored, AnchorViews, type SeenTurn, type View } from "./anchor-views.ts";
import type { CatalogDatabase } from "./database.ts";

export type { AnchorBase, AnchorFold } from "./anchor-fold.ts";

/** A place, and the thread in whose file it lies: never one that inherits it. */
export type AnchoredPlace = {
  readonly threadId: ThreadId;
  readonly end: FilePosition;
  readonly openTurn: OpenTurn | null;
};

const TABLES = ["messages", "turns", "stops", "rollbacks", "anchored"] as const;

export class CatalogAnchors {
  readonly #database: CatalogDatabase;
  readonly #views: AnchorViews;

  constructor(database: CatalogDatabase) {
    this.#database = database;
    this.#views = new AnchorViews(database);
  }

  /** How far the thread's own file is taken in; undefined when nothing of it is. */
  indexedThrough(threadId: ThreadId): FilePosition | undefined {
    return this.#views.find(threadId)?.through;
  }

  /**
   * Goes on where the index of the thread ends. `base` is the header's history_base, or null when there is none or it
   * cannot be found; the base itself must be indexed up to that end before the fold is saved.
   */
  fold(threadId: ThreadId, base: AnchorBase | null): AnchorFold {
    if (base !== null && !this.#beginsAt(threadId, base)) this.forget(threadId);
    return new LineFold(this.#database, this.#views, threadId, base);
  }

  /** Whether what is indexed of the thread, if anything, goes on from this base. */
  #beginsAt(threadId: ThreadId, { threadId: baseId, end }: AnchorBase): boolean {
    const thread = this.#views.find(threadId);
    if (thread === undefined) return true;
    const base = this.#views.baseOf({ thread, end: thread.through.ordinal });
    return base?.thread.id === baseId && base.end === end.ordinal;
  }

  /**
   * Turns an anchor into a place in what is indexed. undefined: outside the history, so that a fork is a new thread.
   * @throws InvalidForkPointError
   */
  resolve(threadId: ThreadId, at: ForkAnchor): AnchoredPlace | undefined {
    const view = this.#view(threadId);
    if (view === undefined) return undefined;
    if (at === "full" || at === "interrupted") return this.#end(view);
    if ("beforeUserMessage" in at) return this.#beforeUserMessage(view, at.beforeUserMessage);
    if ("beforeTurn" in at) return this.#placed(view, this.#turn(view, at.beforeTurn, "beforeTurnId").start, null);
    const { end } = this.#turn(view, at.throughTurn, "lastTurnId");
    if (end !== null) return this.#placed(view, end, null);
    throw turnStillRuns(at.throughTurn);
  }

  #end(view: View): AnchoredPlace {
    return this.#placed(view, view.thread.through, this.#views.openTurn(view));
  }

  #beforeUserMessage(view: View, n: number): AnchoredPlace | undefined {
    assertMessageNumber(n);
    if (isBeyondMessages(n)) return this.#end(view);
    const message = this.#views.nthMessage(view, n);
    if (message === undefined) return undefined;
    return this.#placed(view, message.cut, message.openTurn === null ? null : { turnId: message.openTurn });
  }

  #turn(view: View, turnId: string, anchor: TurnAnchor): SeenTurn {
    const turn = this.#views.findTurn(view, turnId);
    if (turn !== undefined) return turn;
    const hasTurns = this.#views.lastTurn(view) !== undefined;
    throw turnMissing(anchor, turnId, { hasTurns, hasMessages: this.#views.messageCount(view) > 0 });
  }

  #placed(view: View, end: FilePosition, openTurn: OpenTurn | null): AnchoredPlace {
    const { thread, place } = this.#views.holderOf(view, end);
    return { threadId: thread.id, end: place, openTurn };
  }

  /** The cut before the n-th (0-based) user message. */
  nthUserMessage(threadId: ThreadId, n: number): FilePosition | undefined {
    const view = this.#view(threadId);
    return view && this.#views.nthMessage(view, n)?.cut;
  }

  userMessageCount(threadId: ThreadId): number {
    const view = this.#view(threadId);
    return view === undefined ? 0 : this.#views.messageCount(view);
  }

  findTurn(threadId: ThreadId, turnId: string): TurnPlace<FilePosition> | undefined {
    const view = this.#view(threadId);
    return placeOf(view && this.#views.findTurn(view, turnId));
  }

  lastTurn(threadId: ThreadId): TurnPlace<FilePosition> | undefined {
    const view = this.#view(threadId);
    return placeOf(view && this.#views.lastTurn(view));
  }

  #view(threadId: ThreadId): View | undefined {
    const thread = this.#views.find(threadId);
    return thread && { thread, end: thread.through.ordinal };
  }

  /** Forgets the anchors of the thread and of those that inherit from it: the next folds begin at the start of the files. */
  forget(threadId: ThreadId): void {
    this.#database.transaction(() => {
      const thread = this.#views.find(threadId);
      if (thread === undefined) return;
      const heirs = [thread];
      for (const heir of heirs) {
        for (const row of this.#database.all("SELECT id FROM anchored WHERE base = ?", heir.t)) {
          const next = this.#views.find(row.id as ThreadId);
          if (next !== undefined) heirs.push(next);
        }
      }
      for (const heir of heirs) this.#delete(heir);
    });
  }

  /** The thread is not in the catalog any more: its anchors go, and its bases', unless others inherit from them. */
  release(threadId: ThreadId): void {
    for (let thread = this.#views.find(threadId); thread !== undefined; ) {
      const { t, id, base } = thread;
      if (this.#database.get("SELECT 1 FROM anchored WHERE base = ?", t) !== undefined) return;
      if (this.#database.get("SELECT 1 FROM threads WHERE id = ?", id) !== undefined) return;
      this.#delete(thread);
      thread = base === null ? undefined : this.#views.byNumber(base);
    }
  }

  #delete({ t }: Anchored): void {
    for (const table of TABLES) this.#database.run(`DELETE FROM ${table} WHERE t = ?`, t);
  }
}

const placeOf = (turn: SeenTurn | undefined): TurnPlace<FilePosition> | undefined =>
  turn && { turnId: turn.turnId, start: turn.start, end: turn.end };
