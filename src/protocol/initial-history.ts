import * as z from "zod";
import { InvalidRequestError } from "./errors.ts";
import type { EventMsg } from "./event.ts";
import { parseThreadId, type ThreadId } from "./ids.ts";
import { jsonForm } from "./json-form.ts";
import { legacyEventsOf } from "./legacy-events.ts";
import { parseRolloutItem, type RolloutItem } from "./rollout.ts";
import { isJsonObject } from "./unknown-kind.ts";
import { parseWith } from "./validation.ts";

/** What a thread starts with (SPEC 5.1). Resumed keeps its id and its file; forked gets new ones. */
export type InitialHistory =
  | { type: "new" }
  | { type: "resumed"; conversation_id: ThreadId; history: RolloutItem[]; rollout_path: string | null }
  | { type: "forked"; items: RolloutItem[] };

const itemSchema = z.unknown().transform((value, context): RolloutItem => {
  try {
    const item = parseRolloutItem(jsonForm(value, "it"));
    if (item !== undefined) return item;
    context.addIssue({ code: "custom", message: "is no rollout item: {type, payload} with a readable payload" });
  } catch (error) {
    if (!(error instanceof InvalidRequestError)) throw error;
    context.addIssue({ code: "custom", message: error.message });
  }
  return z.NEVER;
});

const threadIdSchema = z.string().transform((text, context): ThreadId => {
  try {
    return parseThreadId(text);
  } catch (error) {
    context.addIssue({ code: "custom", message: error instanceof Error ? error.message : String(error) });
    return z.NEVER;
  }
});

const initialHistorySchema: z.ZodType<InitialHistory> = z.discriminatedUnion("type", [
  z.object({ type: z.literal("new") }),
  z.object({
    type: z.literal("resumed"),
    conversation_id: threadIdSchema,
    history: z.array(itemSchema),
    rollout_path: z
      .string()
      .nullish()
      .transform((path) => path ?? null),
  }),
  z.object({ type: z.literal("forked"), items: z.array(itemSchema) }),
]);

/**
 * Reads an initial history in our form, or in Codex's serde form: `"New"`, `{Resumed: {...}}`, `{Forked: [...]}`.
 *
 * @throws InvalidRequestError that names the place and the problem.
 */
export const parseInitialHistory = (value: unknown): InitialHistory =>
  parseWith(initialHistorySchema, fromSerde(value), "initial history");

function fromSerde(value: unknown): unknown {
  if (value === "New") return { type: "new" };
  if (!isJsonObject(value) || Object.hasOwn(value, "type")) return value;
  if (isJsonObject(value.Resumed)) return { ...value.Resumed, type: "resumed" };
  if (Object.hasOwn(value, "Forked")) return { type: "forked", items: value.Forked };
  return value;
}

export function rolloutItemsOf(history: InitialHistory): RolloutItem[] {
  switch (history.type) {
    case "new":
      return [];
    case "resumed":
      return history.history;
    case "forked":
      return history.items;
  }
}

/**
 * The stored events in file order, which become session_configured's `initial_messages`: null for a new thread, `[]`
 * for a history without events. An item_completed of a paginated thread gives its derived events in its place.
 */
export function eventMsgsOf(history: InitialHistory, options: { showRawReasoning?: boolean } = {}): EventMsg[] | null {
  if (history.type === "new") return null;
  const events: EventMsg[] = [];
  for (const item of rolloutItemsOf(history)) {
    if (item.type !== "event_msg") continue;
    if (item.payload.type === "item_completed") events.push(...legacyEventsOf(item.payload.item, options));
    else events.push(item.payload);
  }
  return events;
}

/**
 * Where a fork begins, in the words of the source's history.
 *
 * - `"full"` (the default): all of it. A source in the middle of a turn is forked with the interruption recorded.
 * - `"interrupted"`: the same, said on purpose.
 * - `{ beforeUserMessage: n }`: strictly before the n-th (0-based) user message as SPEC 6.1 counts them. Past the end
 *   it gives a new, empty thread, as Codex 0.80 does; `Number.MAX_SAFE_INTEGER` and above keep everything.
 * - `{ throughTurn: id }`: up to and including that turn. `{ beforeTurn: id }`: everything before it.
 */
export type ForkAnchor =
  | "full"
  | "interrupted"
  | { beforeUserMessage: number }
  | { throughTurn: string }
  | { beforeTurn: string };
