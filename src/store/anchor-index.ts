/**
 * What fork anchors need to know of a thread, folded line by line in order. Pure: no IO, no clock.
 *
 * - A user message is cut at the start of its turn when it is the turn's first, else strictly before itself. Lines
 *   between a turn's start and its first user message belong to that turn alone, so SPEC 6.2 is kept to the letter
 *   for every line that makes history.
 * - A rollback forgets the last n user messages and their turns; markers and lines stay where they are.
 */
import { InvalidForkPointError } from "../protocol/errors.ts";
import { type TurnId, toTurnId } from "../protocol/ids.ts";
import type { ForkAnchor } from "../protocol/initial-history.ts";
import type { RolloutItem } from "../protocol/rollout.ts";
import { isUserBoundary } from "../protocol/user-boundary.ts";
import type { OpenTurn, Position, TurnPlace } from "./thread-store.ts";

export type AnchorPlace = { readonly end: Position; readonly openTurn: OpenTurn | null };

type Turn = { turnId: TurnId; start: Position; end: Position | null; messages: number };

export class AnchorIndex {
  readonly #messages: Position[] = [];
  readonly #turns: Turn[] = [];
  /** A user message without an answer yet, in a history that has no turn events. */
  #unanswered = false;

  /** Takes in one line that lies from `start` up to `end`. */
  observe(item: RolloutItem, start: Position, end: Position): void {
    if (item.type === "response_item") this.#observeResponseItem(item, start);
    else if (item.type === "event_msg") this.#observeEvent(item, start, end);
  }

  #observeResponseItem(item: Extract<RolloutItem, { type: "response_item" }>, start: Position): void {
    if (isUserBoundary(item.payload)) {
      const turn = this.#running();
      const cut = turn !== undefined && turn.messages === 0 ? turn.start : start;
      if (turn !== undefined) turn.messages += 1;
      this.#messages.push(cut);
      this.#unanswered = true;
    } else if (item.payload.type === "message" && item.payload.role === "assistant") {
      this.#unanswered = false;
    }
  }

  #observeEvent(item: Extract<RolloutItem, { type: "event_msg" }>, start: Position, end: Position): void {
    const msg = item.payload;
    switch (msg.type) {
      case "task_started":
        if (typeof msg.turn_id === "string") {
          this.#turns.push({ turnId: toTurnId(msg.turn_id), start, end: null, messages: 0 });
        }
        return;
      case "task_complete":
      case "turn_aborted": {
        const turn = this.#running();
        if (turn !== undefined) turn.end = end;
        this.#unanswered = false;
        return;
      }
      case "thread_rolled_back":
        this.#rollBack(typeof msg.num_turns === "number" ? msg.num_turns : 0);
    }
  }

  #running(): Turn | undefined {
    const last = this.#turns.at(-1);
    return last !== undefined && last.end === null ? last : undefined;
  }

  #rollBack(count: number): void {
    if (count <= 0 || this.#messages.length === 0) return;
    const keep = Math.max(0, this.#messages.length - count);
    const cut = this.#messages[keep];
    this.#messages.length = keep;
    while (cut !== undefined && (this.#turns.at(-1)?.start.ordinal ?? -1) >= cut.ordinal) this.#turns.pop();
    this.#unanswered = false;
  }

  get userMessageCount(): number {
    return this.#messages.length;
  }

  /** The position of the n-th (0-based) user message. */
  userMessage(n: number): Position | undefined {
    return this.#messages[n];
  }

  findTurn(turnId: string): TurnPlace | undefined {
    return this.#turns.find((turn) => turn.turnId === turnId);
  }

  /** The turn that runs at the end of what was observed. */
  get openTurn(): OpenTurn | null {
    const turn = this.#running();
    if (turn !== undefined) return { turnId: turn.turnId };
    return this.#turns.length === 0 && this.#unanswered ? { turnId: null } : null;
  }

  /**
   * Turns an anchor into a place. undefined: outside the history, so that a fork is a new thread (SPEC 6.2).
   * @throws InvalidForkPointError
   */
  resolve(at: ForkAnchor, end: Position): AnchorPlace | undefined {
    if (at === "full" || at === "interrupted") return { end, openTurn: this.openTurn };
    if ("beforeUserMessage" in at) return this.#beforeUserMessage(at.beforeUserMessage, end);
    if ("throughTurn" in at) return { end: this.#turnEnd(at.throughTurn), openTurn: null };
    return { end: this.#turn(at.beforeTurn, "beforeTurnId").start, openTurn: null };
  }

  #beforeUserMessage(n: number, end: Position): AnchorPlace | undefined {
    if (!(n >= 0) || (Number.isFinite(n) && !Number.isInteger(n))) {
      throw new InvalidForkPointError(`beforeUserMessage must be a whole number from 0 on, not ${n}`);
    }
    if (n >= Number.MAX_SAFE_INTEGER) return { end, openTurn: this.openTurn };
    const cut = this.#messages[n];
    if (cut === undefined) return undefined;
    const last = this.#turns.findLast((turn) => turn.start.ordinal < cut.ordinal);
    const broken = last === undefined || (last.end !== null && last.end.ordinal <= cut.ordinal) ? undefined : last;
    return { end: cut, openTurn: broken === undefined ? null : { turnId: broken.turnId } };
  }

  #turnEnd(turnId: string): Position {
    const turn = this.#turn(turnId, "lastTurnId");
    if (turn.end === null) throw new InvalidForkPointError(`lastTurnId '${turnId}' identifies an in-progress turn`);
    return turn.end;
  }

  #turn(turnId: string, name: string): TurnPlace {
    const turn = this.findTurn(turnId);
    if (turn !== undefined) return turn;
    if (this.#turns.length === 0 && this.#messages.length > 0) {
      throw new InvalidForkPointError(`${name} '${turnId}' is not a persisted canonical turn in the source thread`);
    }
    throw new InvalidForkPointError(`turn not found: ${turnId}`);
  }
}
