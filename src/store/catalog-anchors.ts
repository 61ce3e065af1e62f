/**
 * Fork anchors of cold threads, kept in the catalog by the rules of AnchorIndex, so that no history is read to find one.
 *
 * Only a thread's own lines are kept under it; what it inherits is looked up in its base as that stood at the fork:
 * a later rollback of the base changes nothing for it. Every lookup is O(log n) for each fork on the way up.
 */
import { InternalDefect } from "../protocol/errors.ts";
import type { ForkAnchor } from "../protocol/fork-anchor.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { RolloutItem } from "../protocol/rollout.ts";
import type { OpenTurn, Position, TurnPlace } from "./thread-store.ts";

/** A place, and the thread in whose file it lies: never one that inherits it. */
export type AnchoredPlace = { readonly threadId: ThreadId; readonly end: Position; readonly openTurn: OpenTurn | null };

/** Takes in the lines of one thread's file from where the index ends. */
export interface AnchorFold {
  /** How far the thread's own file is taken in. */
  readonly through: Position;
  /** Takes in one line; one that was taken in before is passed over. */
  observe(item: RolloutItem, start: Position, end: Position): void;
  /** Stores what was observed. false: another process has gone on meanwhile; make a new fold and observe again. */
  save(): boolean;
}

const unfinished = (): never => {
  throw new InternalDefect("not built yet");
};

export class CatalogAnchors {
  /** How far the thread's own file is taken in; undefined when nothing of it is. */
  indexedThrough(_threadId: ThreadId): Position | undefined {
    return unfinished();
  }

  /**
   * Goes on where the index of the thread ends. `base` is the header's history_base, or null when there is none or it
   * cannot be found; the base itself must be indexed up to that end before.
   */
  fold(_threadId: ThreadId, _base: { readonly threadId: ThreadId; readonly end: Position } | null): AnchorFold {
    return unfinished();
  }

  /**
   * Turns an anchor into a place in what is indexed. undefined: outside the history, so that a fork is a new thread.
   * @throws InvalidForkPointError
   */
  resolve(_threadId: ThreadId, _at: ForkAnchor): AnchoredPlace | undefined {
    return unfinished();
  }

  /** The cut before the n-th (0-based) user message. */
  nthUserMessage(_threadId: ThreadId, _n: number): Position | undefined {
    return unfinished();
  }

  findTurn(_threadId: ThreadId, _turnId: string): TurnPlace | undefined {
    return unfinished();
  }

  lastTurn(_threadId: ThreadId): TurnPlace | undefined {
    return unfinished();
  }

  /** Forgets the thread's anchors, so that the next fold begins at the start of its file. */
  forget(_threadId: ThreadId): void {
    unfinished();
  }
}
