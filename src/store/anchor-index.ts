/**
 * What fork anchors need to know of a thread, folded line by line in order. Pure: no IO, no clock.
 *
 * - A user message is cut at the start of its turn when it is the turn's first, else strictly before itself. Lines
 *   between a turn's start and its first user message belong to that turn alone, so SPEC 6.2 is kept to the letter
 *   for every line that makes history.
 * - A rollback forgets the last n user messages and their turns, or a turn that it names and whatever came after that turn's start;
 *   markers and lines stay where they are.
 */
import type { ThreadRolledBackEvent } from "../protocol/event.ts";
import { type TurnId, toTurnId } from "../protocol/ids.ts";
import type { ForkAnchor } from "../protocol/initial-history.ts";
import type { RolloutItem } from "../protocol/rollout.ts";
import { isUserBoundary } from "../protocol/user-boundary.ts";
import {
  assertMessageNumber,
  isBeyondMessages,
  type TurnAnchor,
  turnMissing,
  turnStillRuns,
} from "./fork-point-refusals.ts";
import type { OpenTurn, Position, TurnPlace } from "./thread-store.ts";

export type AnchorPlace<P extends Position = Position> = { readonly end: P; readonly openTurn: OpenTurn | null };

type Turn<P> = { turnId: TurnId; start: P; end: P | null; messages: number };

/** `P`: what a store knows of a place between two lines. */
export class AnchorIndex<P extends Position = Position> {
  readonly #messages: P[] = [];
  readonly #turns: Turn<P>[] = [];
  /** A user message without an answer yet, in a history that has no turn events. */
  #unanswered = false;

  /** Takes in one line that lies from `start` up to `end`. */
  observe(item: RolloutItem, start: P, end: P): void {
    if (item.type === "response_item") this.#observeResponseItem(item, start);
    else if (item.type === "event_msg") this.#observeEvent(item, start, end);
  }

  #observeResponseItem(item: Extract<RolloutItem, { type: "response_item" }>, start: P): void {
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

  #observeEvent(item: Extract<RolloutItem, { type: "event_msg" }>, start: P, end: P): void {
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
        this.#rollBack(msg);
    }
  }

  #running(): Turn<P> | undefined {
    const last = this.#turns.at(-1);
    return last !== undefined && last.end === null ? last : undefined;
  }

  #rollBack({ num_turns: count, before_turn_id: turnId }: ThreadRolledBackEvent): void {
    const turn = turnId === undefined ? undefined : this.findTurn(turnId);
    const last = this.#messages[Math.max(0, this.#messages.length - count)];
    const cut = turn?.start ?? (count > 0 ? last : undefined);
    if (cut === undefined) return;
    while ((this.#messages.at(-1)?.ordinal ?? -1) >= cut.ordinal) this.#messages.pop();
    while ((this.#turns.at(-1)?.start.ordinal ?? -1) >= cut.ordinal) this.#turns.pop();
    this.#unanswered = false;
  }

  get userMessageCount(): number {
    return this.#messages.length;
  }

  /** The position of the n-th (0-based) user message. */
  userMessage(n: number): P | undefined {
    return this.#messages[n];
  }

  findTurn(turnId: string): TurnPlace<P> | undefined {
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
  resolve(at: ForkAnchor, end: P): AnchorPlace<P> | undefined {
    if (at === "full" || at === "interrupted") return { end, openTurn: this.openTurn };
    if ("beforeUserMessage" in at) return this.#beforeUserMessage(at.beforeUserMessage, end);
    if ("throughTurn" in at) return { end: this.#turnEnd(at.throughTurn), openTurn: null };
    return { end: this.#turn(at.beforeTurn, "beforeTurnId").start, openTurn: null };
  }

  #beforeUserMessage(n: number, end: P): AnchorPlace<P> | undefined {
    assertMessageNumber(n);
    if (isBeyondMessages(n)) return { end, openTurn: this.openTurn };
    const cut = this.#messages[n];
    if (cut === undefined) return undefined;
    const last = this.#turns.findLast((turn) => turn.start.ordinal < cut.ordinal);
    const broken = last === undefined || (last.end !== null && last.end.ordinal <= cut.ordinal) ? undefined : last;
    return { end: cut, openTurn: broken === undefined ? null : { turnId: broken.turnId } };
  }

  #turnEnd(turnId: string): P {
    const turn = this.#turn(turnId, "lastTurnId");
    if (turn.end === null) throw turnStillRuns(turnId);
    return turn.end;
  }

  #turn(turnId: string, anchor: TurnAnchor): TurnPlace<P> {
    const turn = this.findTurn(turnId);
    if (turn !== undefined) return turn;
    const [hasTurns, hasMessages] = [this.#turns.length > 0, this.#messages.length > 0];
    throw turnMissing(anchor, turnId, { hasTurns, hasMessages });
  }
}
