import type { EventKind, EventMsg } from "./event.ts";
import type { HistoryMode } from "./rollout.ts";

/** Column P of SPEC 3: what 0.80 and 0.87 write. */
const BEFORE_TURNS: readonly EventKind[] = [
  "context_compacted",
  "thread_rolled_back",
  "token_count",
  "agent_message",
  "user_message",
  "agent_reasoning",
  "agent_reasoning_raw_content",
  "undo_completed",
  "turn_aborted",
  "entered_review_mode",
  "exited_review_mode",
];

/** Since 0.104 turns are recorded too. */
const LEGACY: readonly EventKind[] = [...BEFORE_TURNS, "task_started", "task_complete"];

/**
 * What 0.169 writes into paginated files. Messages, reasoning, context_compacted and reviews are left out: they follow
 * from item_completed. The captures hold no undo or rollback in this mode; those stay in, since nothing else tells of them.
 */
const PAGINATED: readonly EventKind[] = [
  "task_started",
  "task_complete",
  "turn_aborted",
  "item_completed",
  "token_count",
  "thread_settings_applied",
  "thread_rolled_back",
  "undo_completed",
];

const KINDS: Readonly<Record<HistoryMode, ReadonlySet<string>>> = {
  legacy: new Set(LEGACY),
  paginated: new Set(PAGINATED),
};

const OF_087: ReadonlySet<string> = new Set(BEFORE_TURNS);

/** Whether 0.80 and 0.87 write the event to their rollouts. */
export const isPersistedBy087 = (msg: EventMsg): boolean => OF_087.has(msg.type);

/** Whether a thread of this mode writes the event to its rollout. Events of unknown kinds are shown and not stored. */
export const isPersisted = (msg: EventMsg, mode: HistoryMode): boolean => KINDS[mode].has(msg.type);
