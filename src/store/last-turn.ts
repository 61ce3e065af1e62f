/**
 * How the last turn of a thread's own lines stands. What a fork inherits counts for the thread that said it; a fork that
 * broke off a turn has the end of it among its own lines.
 *
 * - In a legacy rollout no turn's beginning or end is stored but an abort: there a user's message without an answer is an
 *   open turn (SPEC 6.2).
 * - Elsewhere an open turn of no id is one that was accepted and has not begun: its op waits, and no turn runs. Whoever ends a
 *   turn repeats what waits behind it, so nothing before the turn has to be known.
 */
import { toTurnId } from "../protocol/ids.ts";
import type { HistoryMode, RolloutItem, SubmissionItem } from "../protocol/rollout.ts";
import { isJsonObject } from "../protocol/unknown-kind.ts";
import { isUserBoundary } from "../protocol/user-boundary.ts";
import type { OpenTurn, StoredThread } from "./thread-store.ts";

export type LastTurn = Pick<StoredThread, "interrupted" | "openTurn"> & {
  /** The ops that wait, as far as they were said since the last turn began. */
  readonly waiting?: readonly string[] | undefined;
};

export const NO_TURN: LastTurn = { interrupted: false, openTurn: null };
const ABORTED: LastTurn = { interrupted: true, openTurn: null };

const open = (openTurn: OpenTurn): LastTurn => ({ interrupted: true, openTurn });
const NOT_BEGUN: OpenTurn = { turnId: null };

/** How it stands after one more line; the same object where the line changes nothing. */
export function lastTurnAfter(last: LastTurn, item: RolloutItem, mode: HistoryMode): LastTurn {
  if (mode === "legacy" && item.type === "response_item") {
    if (isUserBoundary(item.payload)) return open({ turnId: null });
    const isAnswer = item.payload.type === "message" && item.payload.role === "assistant";
    return isAnswer && last.openTurn !== null ? NO_TURN : last;
  }
  if (item.type === "submission" && mode !== "legacy") return afterSubmission(last, item.payload);
  if (item.type !== "event_msg") return last;
  const msg = item.payload;
  if (msg.type === "task_started")
    return open({ turnId: typeof msg.turn_id === "string" ? toTurnId(msg.turn_id) : null });
  if (msg.type === "thread_rolled_back") return NO_TURN;
  if (msg.type !== "task_complete" && msg.type !== "turn_aborted") return last;
  const running = last.openTurn?.turnId ?? null;
  if (running !== null && typeof msg.turn_id === "string" && msg.turn_id !== running) return last;
  if (hasWaiting(last)) return { ...open(NOT_BEGUN), waiting: last.waiting };
  return msg.type === "turn_aborted" ? ABORTED : NO_TURN;
}

const hasWaiting = ({ waiting = [] }: LastTurn): boolean => waiting.length > 0;

function afterSubmission(last: LastTurn, { id, op, taken }: SubmissionItem): LastTurn {
  const others = last.waiting?.filter((each) => each !== id) ?? [];
  if (startsTurn(op)) return { interrupted: true, openTurn: last.openTurn ?? NOT_BEGUN, waiting: [...others, id] };
  if (taken !== true) return last;
  const now = { ...last, waiting: others };
  const isOver = last.openTurn !== null && last.openTurn.turnId === null && !hasWaiting(now);
  return isOver ? NO_TURN : now;
}

/** Items that are only to be known start none. */
const startsTurn = (op: unknown): boolean => isJsonObject(op) && op.type !== "inject_items";

/** Whether what stands before the line matters no more. */
const isBeginning = (item: RolloutItem, mode: HistoryMode): boolean =>
  (item.type === "event_msg" && (item.payload.type === "task_started" || item.payload.type === "thread_rolled_back")) ||
  (mode === "legacy" && item.type === "response_item" && isUserBoundary(item.payload));

/** How the last turn stands, from lines that are given from the last one on, until it is known. */
export class LastTurnSearch {
  readonly #mode: HistoryMode;
  readonly #items: RolloutItem[] = [];
  #isKnown = false;

  constructor(mode: HistoryMode) {
    this.#mode = mode;
  }

  /** Whether a line is to be given, by its text. */
  wants(text: string): boolean {
    if (this.#isKnown) return false;
    return (
      text.includes('"event_msg"') ||
      text.includes('"submission"') ||
      (this.#mode === "legacy" && text.includes('"message"'))
    );
  }

  get isKnown(): boolean {
    return this.#isKnown;
  }

  add(item: RolloutItem): void {
    this.#items.push(item);
    this.#isKnown ||= isBeginning(item, this.#mode);
  }

  get found(): LastTurn {
    return this.#items.reduceRight((last, item) => lastTurnAfter(last, item, this.#mode), NO_TURN);
  }
}
