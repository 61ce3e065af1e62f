/**
 * Which lines of a thread its model still hears of, once rollbacks have taken others back. Pure.
 *
 * - A rollback that names a turn takes back all lines from the start of that turn on.
 * - One that only counts takes user messages back, and the history itself counts them (SPEC 6.4): also a compaction's summary, as 0.80
 *   has it (SPEC 6.3), since only clients of its kind roll back by a count.
 */
import type { RolloutItem } from "../protocol/rollout.ts";
import { isUserBoundary } from "../protocol/user-boundary.ts";

/** `beyond`: it reaches back to before the first line that was given, so those are needed too. */
export type Standing = "added" | "changed" | "beyond";

type RolledBack = { readonly num_turns: number; readonly before_turn_id?: string | undefined };

/** What a rollback leaves alone: tokens that were spent, and input that still waits. */
const outlastsRollback = (item: RolloutItem): boolean =>
  item.type === "submission" || (item.type === "event_msg" && item.payload.type === "token_count");

export class StandingLines {
  readonly #items: RolloutItem[] = [];
  /** Where the user's messages stand that no rollback took back. */
  #messages: number[] = [];
  readonly #isWhole: boolean;

  /** @param isWhole whether the first line given is the thread's first */
  constructor(isWhole: boolean) {
    this.#isWhole = isWhole;
  }

  /** In order. */
  get items(): readonly RolloutItem[] {
    return this.#items;
  }

  /** `changed`: lines that were given before do not stand any more. */
  add(item: RolloutItem): Standing {
    if (item.type === "event_msg" && item.payload.type === "thread_rolled_back") return this.#rollBack(item.payload);
    if (item.type === "response_item" && isUserBoundary(item.payload)) this.#messages.push(this.#items.length);
    this.#items.push(item);
    return "added";
  }

  #rollBack({ num_turns: turns, before_turn_id: turnId }: RolledBack): Standing {
    if (turnId === undefined) return this.#takeBack(turns);
    const start = this.#items.findIndex(
      ({ type, payload }) => type === "event_msg" && payload.type === "task_started" && payload.turn_id === turnId,
    );
    if (start === -1) return this.#isWhole ? this.#takeBack(turns) : "beyond";
    this.#cut(start);
    return "changed";
  }

  #takeBack(turns: number): Standing {
    if (!this.#isWhole && turns > this.#messages.length) return "beyond";
    this.#messages.length = Math.max(0, this.#messages.length - turns);
    this.#items.push({ type: "event_msg", payload: { type: "thread_rolled_back", num_turns: turns } });
    return "added";
  }

  #cut(at: number): void {
    const gone = this.#items.splice(at);
    this.#items.push(...gone.filter(outlastsRollback));
    this.#messages = this.#messages.filter((message) => message < at);
  }
}
