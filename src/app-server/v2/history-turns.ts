/**
 * A stored history as turns: what read, resume, fork and the lists show. Pure: lines in, turns out.
 *
 * - A paginated history tells its turns by task_started and their items by item_completed; a legacy one by its
 *   user_message and other message events, with the ids that 0.169 gives them: `rollout-<line>` and `item-<n>`.
 * - A rollback takes the last n user messages away, and what followed the first of them; or a turn that it names, and what followed.
 * - A turn without an end is `inProgress` when it is the one that runs now, else `interrupted`.
 */
import type { EventMsg, TaskCompleteEvent, ThreadRolledBackEvent, TurnAbortedEvent } from "../../protocol/event.ts";
import type { RolloutLine } from "../../protocol/rollout.ts";
import type { TokenUsageInfo } from "../../protocol/token-usage.ts";
import type { TurnItem } from "../../protocol/turn-item.ts";
import type { UserInput } from "../../protocol/user-input.ts";
import { agentMessage, itemToV2 } from "./items.ts";
import { turnErrorOf } from "./settings.ts";
import type { ItemsView, V2Item, V2Turn } from "./wire-types.ts";

/** An item with the ordinal of its line, which is its place in pages. */
type PlacedItem = { readonly ordinal: number; readonly item: V2Item };
export type HistoryTurn = {
  readonly ordinal: number;
  readonly id: string;
  readonly items: readonly PlacedItem[];
  readonly turn: V2Turn;
  /** The line of its end, where it has one. */
  readonly endOrdinal: number | undefined;
  /** The totals as they were last told in this turn. */
  readonly usage: TokenUsageInfo | undefined;
};

type OpenTurn = {
  ordinal: number;
  id: string;
  items: PlacedItem[];
  /** Places in `items` where a user's message stands. */
  userItems: number[];
  hasCoreItems: boolean;
  explicit: boolean;
  /** Begun by the item that says so, before its task_started. */
  isReview: boolean;
  /** The user's turn that it is a part of, where that is another one. */
  rootId: string | null;
  status: V2Turn["status"] | undefined;
  endOrdinal: number | undefined;
  error: V2Turn["error"];
  startedAt: number | null;
  completedAt: number | null;
  durationMs: number | null;
  usage: TokenUsageInfo | undefined;
  /** A report that only repeats what was told before it; it counts when the turn has an end. */
  repeated: TokenUsageInfo | undefined;
};

export class HistoryFold {
  readonly #turns: OpenTurn[] = [];
  /** Also those that were taken back: what comes of them later is shown nowhere else. */
  readonly #byId = new Map<string, OpenTurn>();
  #open: OpenTurn | undefined;
  #line = 0;
  /** How many items there are so far: a legacy one is named by its number. */
  #items = 0;
  #told = "";

  /** The place of a line that comes after all others. */
  get nextOrdinal(): number {
    return this.#line;
  }

  add(line: RolloutLine): void {
    const ordinal = line.ordinal ?? this.#line;
    this.#line = ordinal + 1;
    if (line.type === "event_msg") this.#event(line.payload, ordinal, Date.parse(line.timestamp));
  }

  #event(msg: EventMsg, ordinal: number, at: number): void {
    switch (msg.type) {
      case "task_started":
        // Codex gives the reviewer's work an id of its own, under the turn that the review began.
        if (this.#open?.isReview === true && [msg.turn_id, msg.root_turn_id].includes(this.#open.id)) {
          this.#open.startedAt ??= msg.started_at ?? null;
          return;
        }
        this.#begin(ordinal, msg.turn_id ?? `rollout-${ordinal}`, {
          explicit: true,
          rootId: msg.root_turn_id ?? null,
          startedAt: msg.started_at ?? null,
        });
        return;
      case "item_completed":
        if (msg.item.type === "EnteredReviewMode") {
          this.#begin(ordinal, msg.turn_id, { explicit: true, isReview: true, startedAt: null });
        }
        this.#coreItem(msg, ordinal, {
          startedAtMs: msg.started_at_ms ?? at,
          completedAtMs: msg.completed_at_ms ?? at,
        });
        return;
      case "user_message":
        this.#userMessage(msg, ordinal);
        return;
      case "agent_message":
        this.#legacyItem(ordinal, (id) => ({
          ...agentMessage(id, msg.message, msg.phase ?? null),
          startedAtMs: null,
          completedAtMs: null,
        }));
        return;
      case "agent_reasoning":
        this.#reasoning(ordinal, msg.text);
        return;
      case "task_complete":
      case "turn_aborted":
        this.#end(msg, ordinal);
        return;
      case "thread_rolled_back":
        this.#rollBack(msg);
        return;
      case "token_count": {
        const turn = this.#open ?? this.#turns.at(-1);
        if (!msg.info || turn === undefined) return;
        const text = JSON.stringify(msg.info);
        if (text === this.#told) turn.repeated = msg.info;
        else turn.usage = msg.info;
        this.#told = text;
      }
    }
  }

  #begin(
    ordinal: number,
    id: string,
    given: { explicit: boolean; startedAt: number | null; rootId?: string | null; isReview?: boolean },
  ): OpenTurn {
    const turn: OpenTurn = {
      ordinal,
      id,
      items: [],
      userItems: [],
      hasCoreItems: false,
      explicit: given.explicit,
      isReview: given.isReview ?? false,
      rootId: given.rootId ?? null,
      status: undefined,
      endOrdinal: undefined,
      error: null,
      startedAt: given.startedAt,
      completedAt: null,
      durationMs: null,
      usage: undefined,
      repeated: undefined,
    };
    this.#turns.push(turn);
    this.#byId.set(id, turn);
    this.#open = turn;
    return turn;
  }

  /** A command that outlives its turn is that turn's, whichever runs by then. */
  #coreItem(
    { item, turn_id }: { item: TurnItem; turn_id: string },
    ordinal: number,
    times: { startedAtMs: number; completedAtMs: number },
  ): void {
    const turn = this.#byId.get(turn_id) ?? this.#open ?? this.#turns.at(-1);
    const shown = itemToV2(item, times);
    if (turn === undefined || shown === undefined) return;
    if (!turn.hasCoreItems) {
      turn.hasCoreItems = true;
      turn.items.length = 0;
      turn.userItems.length = 0;
    }
    if (item.type === "UserMessage") turn.userItems.push(turn.items.length);
    turn.items.push({ ordinal, item: shown });
  }

  /** In a legacy history each of them begins a turn, unless its turn has just begun by itself. */
  #userMessage(msg: Extract<EventMsg, { type: "user_message" }>, ordinal: number): void {
    const open = this.#open;
    const joins = open?.explicit === true;
    if (joins && open.hasCoreItems) return;
    const turn = joins ? open : this.#begin(ordinal, `rollout-${ordinal}`, { explicit: false, startedAt: null });
    this.#items += 1;
    turn.userItems.push(turn.items.length);
    const content: UserInput[] = [];
    if (msg.message.trim() !== "")
      content.push({ type: "text", text: msg.message, text_elements: msg.text_elements ?? [] });
    for (const url of msg.images ?? []) content.push({ type: "image", image_url: url });
    for (const path of msg.local_images ?? []) content.push({ type: "local_image", path });
    const item = itemToV2(
      { type: "UserMessage", id: `item-${this.#items}`, content },
      { startedAtMs: null, completedAtMs: null },
    );
    if (item !== undefined) turn.items.push({ ordinal, item });
  }

  #legacyItem(ordinal: number, make: (id: string) => V2Item): void {
    const turn = this.#open ?? this.#begin(ordinal, `rollout-${ordinal}`, { explicit: false, startedAt: null });
    if (turn.hasCoreItems) return;
    this.#items += 1;
    turn.items.push({ ordinal, item: make(`item-${this.#items}`) });
  }

  #reasoning(ordinal: number, text: string): void {
    const last = this.#open?.items.at(-1)?.item;
    if (last?.type === "reasoning" && !this.#open?.hasCoreItems) (last.summary as string[]).push(text);
    else {
      this.#legacyItem(ordinal, (id) => ({
        type: "reasoning",
        id,
        summary: [text],
        content: [],
        startedAtMs: null,
        completedAtMs: null,
      }));
    }
  }

  #end(msg: TaskCompleteEvent | TurnAbortedEvent, ordinal: number): void {
    const turn = this.#open;
    if (turn === undefined) return;
    const error = msg.type === "task_complete" ? msg.error : undefined;
    turn.status = msg.type === "turn_aborted" ? "interrupted" : error ? "failed" : "completed";
    turn.endOrdinal = ordinal;
    if (error) turn.error = turnErrorOf(error.message, error.codex_error_info);
    turn.completedAt = msg.completed_at ?? null;
    turn.durationMs = msg.duration_ms ?? null;
    turn.usage ??= turn.repeated;
    if (turn.explicit) this.#open = undefined;
  }

  #rollBack({ num_turns: count, before_turn_id: turnId }: ThreadRolledBackEvent): void {
    this.#open = undefined;
    const named = turnId === undefined ? -1 : this.#turns.findIndex(({ id }) => id === turnId);
    if (named !== -1) this.#turns.length = named;
    for (let left = named === -1 ? count : 0; left > 0; ) {
      const turn = this.#turns.at(-1);
      if (turn === undefined) break;
      const cut = turn.userItems.pop();
      if (cut === undefined || cut === 0 || turn.userItems.length === 0) this.#turns.pop();
      else turn.items.length = cut;
      if (cut !== undefined) left -= 1;
    }
    this.#items = this.#turns.reduce((count, { items }) => count + items.length, 0);
  }

  /** @param running the turn that runs now, if any */
  finish(running?: string): HistoryTurn[] {
    return this.#turns.map((turn) => {
      const { ordinal, endOrdinal, id, items, usage } = turn;
      return { ordinal, endOrdinal, id, items, usage, turn: this.#turnOf(turn, running) };
    });
  }

  #turnOf(turn: OpenTurn, running: string | undefined): V2Turn {
    return {
      id: turn.id,
      rootTurnId: turn.explicit ? (turn.rootId ?? turn.id) : null,
      items: turn.items.map(({ item }) => item),
      itemsView: "full",
      status: turn.status ?? (turn.id === running ? "inProgress" : turn.explicit ? "interrupted" : "completed"),
      error: turn.error,
      startedAt: turn.startedAt,
      completedAt: turn.completedAt,
      durationMs: turn.durationMs,
    };
  }
}

export function turnsOf(lines: Iterable<RolloutLine>, running?: string): HistoryTurn[] {
  const fold = new HistoryFold();
  for (const line of lines) fold.add(line);
  return fold.finish(running);
}

const saidAs = (wanted: string | null) => (item: V2Item) => item.type === "agentMessage" && item.phase === wanted;

/** The same turn with as many of its items as the view shows: a summary is the user's message and the last answer, a final one before others. */
export function viewOf({ turn }: HistoryTurn, view: ItemsView): V2Turn {
  if (view === "full") return turn;
  if (view === "notLoaded") return { ...turn, items: [], itemsView: "notLoaded" };
  const first = turn.items.find(({ type }) => type === "userMessage");
  const last = turn.items.findLast(saidAs("final_answer")) ?? turn.items.findLast(saidAs(null));
  return { ...turn, items: [first, last].filter((item) => item !== undefined), itemsView: "summary" };
}
