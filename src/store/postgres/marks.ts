/**
 * What fork anchors need to know of a thread, by the rules of AnchorIndex, folded so that nothing of the past is needed but
 * a few numbers. Pure: no IO.
 *
 * PM1  Messages and turns stand in two stacks, which a rollback cuts. A mark says at which height its own one was put
 *     there: of all marks of one height before a place, only the last one can stand there.
 * PM2  Each mark holds the heights after it, so the last mark before a place tells what stands there.
 * PM3  A thread's marks tell of its own lines. What lies before is its base's, up to where the fork began; it never changes.
 */
import * as z from "zod";
import type { ThreadRolledBackEvent } from "../../protocol/event.ts";
import type { RolloutItem } from "../../protocol/rollout.ts";
import { isUserBoundary } from "../../protocol/user-boundary.ts";

const turnSchema = z.object({
  id: z.string(),
  start: z.number(),
  /** The turn that ran when this one began, and so broke off there. */
  interrupts: z.string().nullable(),
  hasEnded: z.boolean(),
  hasMessage: z.boolean(),
});

const stateSchema = z.object({
  messages: z.number(),
  turns: z.number(),
  /** The last message has no answer yet. */
  isUnanswered: z.boolean(),
  /** The last one that stands. */
  turn: turnSchema.nullable(),
});

/** What stands at a place of a thread. */
export type MarkState = Readonly<z.infer<typeof stateSchema>>;

export const NO_MARKS: MarkState = { messages: 0, turns: 0, isUnanswered: false, turn: null };

/** @throws ZodError for what no store wrote */
export const readState = (text: string): MarkState => stateSchema.parse(JSON.parse(text));

/** A line that matters to anchors or loads. */
export type Mark = {
  readonly kind: "message" | "begin" | "stop" | "answer" | "rollback" | "compacted";
  readonly ordinal: number;
  /** The height of a message or of a turn in its stack (PM1). */
  readonly height: number | null;
  /** Of a message: where a fork before it ends. */
  readonly cut: number | null;
  /** Of a message: the turn that a fork before it breaks off. Of a begin: the turn. */
  readonly turn: string | null;
  /** Of a stop: where the turn began. */
  readonly begun: number | null;
  readonly state: MarkState;
};

const mark = (kind: Mark["kind"], ordinal: number, state: MarkState, more: Partial<Mark> = {}): Mark => ({
  kind,
  ordinal,
  height: null,
  cut: null,
  turn: null,
  begun: null,
  ...more,
  state,
});

/** The rollback that a line is; undefined: it is none, or takes nothing away. */
export function rollbackOf(item: RolloutItem): ThreadRolledBackEvent | undefined {
  if (item.type !== "event_msg" || item.payload.type !== "thread_rolled_back") return undefined;
  const { num_turns, before_turn_id } = item.payload;
  return num_turns > 0 || before_turn_id !== undefined ? item.payload : undefined;
}

/** The mark that a line makes, other than a rollback's; undefined: it makes none. */
export function markOf(item: RolloutItem, ordinal: number, state: MarkState): Mark | undefined {
  if (item.type === "compacted") return mark("compacted", ordinal, state);
  if (item.type === "response_item") {
    if (isUserBoundary(item.payload)) return messageMark(ordinal, state);
    const isAnswer = item.payload.type === "message" && item.payload.role === "assistant";
    return isAnswer && state.isUnanswered ? mark("answer", ordinal, { ...state, isUnanswered: false }) : undefined;
  }
  if (item.type !== "event_msg") return undefined;
  const msg = item.payload;
  if (msg.type === "task_started" && typeof msg.turn_id === "string") return beginMark(ordinal, msg.turn_id, state);
  return msg.type === "task_complete" || msg.type === "turn_aborted" ? stopMark(ordinal, state) : undefined;
}

function messageMark(ordinal: number, state: MarkState): Mark {
  const running = runningOf(state);
  const opens = running !== undefined && !running.hasMessage;
  const turn = state.turn !== null && running !== undefined ? { ...state.turn, hasMessage: true } : state.turn;
  return mark(
    "message",
    ordinal,
    { ...state, messages: state.messages + 1, isUnanswered: true, turn },
    {
      height: state.messages,
      cut: opens ? running.start : ordinal,
      turn: opens ? running.interrupts : (running?.id ?? null),
    },
  );
}

function beginMark(ordinal: number, id: string, state: MarkState): Mark {
  const interrupts = runningOf(state)?.id ?? null;
  const turn = { id, start: ordinal, interrupts, hasEnded: false, hasMessage: false };
  return mark("begin", ordinal, { ...state, turns: state.turns + 1, turn }, { height: state.turns, turn: id });
}

function stopMark(ordinal: number, state: MarkState): Mark | undefined {
  const running = runningOf(state);
  if (running === undefined) {
    return state.isUnanswered ? mark("answer", ordinal, { ...state, isUnanswered: false }) : undefined;
  }
  const turn = { ...running, hasEnded: true };
  return mark("stop", ordinal, { ...state, isUnanswered: false, turn }, { begun: running.start });
}

/**
 * A rollback's mark.
 *
 * @param kept what stood where what goes begins, its turn with the end that it has by now
 */
export const rollbackMark = (ordinal: number, kept: MarkState): Mark =>
  mark("rollback", ordinal, { ...kept, isUnanswered: false });

export const runningOf = ({ turn }: MarkState): NonNullable<MarkState["turn"]> | undefined =>
  turn === null || turn.hasEnded ? undefined : turn;
