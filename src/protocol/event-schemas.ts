import { InvalidRequestError } from "./errors.ts";
import type { EventMsg } from "./event.ts";
import { byType, count, either, listOf, MISFIT, mapOf, number, record, text } from "./shape.ts";
import { textElementsShape, turnItemShape } from "./turn-item-shape.ts";
import { isTagged } from "./unknown-kind.ts";

/** 0.87 renamed these in its source and takes both names on input, while writing the old ones. */
const ALIASES: Readonly<Record<string, string>> = { turn_started: "task_started", turn_complete: "task_complete" };

const tokens = record({
  input_tokens: number,
  cached_input_tokens: number,
  output_tokens: number,
  reasoning_output_tokens: number,
  total_tokens: number,
});
const usage = record({ total_token_usage: tokens, last_token_usage: tokens }, { model_context_window: number });
const stamp = { turn_id: text, root_turn_id: text, started_at: number };
const endStamp = { ...stamp, completed_at: number, duration_ms: number, turn_token_usage: tokens };
const failureInfo = either(text, mapOf(record({}, { http_status_code: number })));
const failure = record({ message: text }, { codex_error_info: failureInfo });

/** Only the kinds that resuming, truncating and showing a history read. Every other kind needs no more than its tag. */
const eventShape = byType(
  new Map([
    [
      "user_message",
      record({ message: text }, { images: listOf(text), local_images: listOf(text), text_elements: textElementsShape }),
    ],
    ["agent_message", record({ message: text }, { phase: text })],
    ["agent_reasoning", record({ text })],
    ["agent_reasoning_raw_content", record({ text })],
    ["token_count", record({}, { info: usage })],
    ["thread_rolled_back", record({ num_turns: count }, { before_turn_id: text })],
    ["turn_aborted", record({ reason: text }, endStamp)],
    ["task_started", record({}, { ...stamp, model_context_window: number })],
    [
      "task_complete",
      record({}, { ...endStamp, last_agent_message: text, error: failure, time_to_first_token_ms: number }),
    ],
    ["item_completed", record({ item: turnItemShape }, { started_at_ms: number, completed_at_ms: number })],
  ]),
);

/** The same event under the tag that we write; the object itself unless its tag is an alias. */
const canonical = <T extends { type: string }>(msg: T): T =>
  Object.hasOwn(ALIASES, msg.type) ? { ...msg, type: ALIASES[msg.type] } : msg;

/** A stored event: the object itself where all of it fits. undefined: it does not. Adds what is wrong to `problems`. */
export function readStoredEvent(value: unknown, problems: string[]): EventMsg | undefined {
  if (!isTagged(value)) return undefined;
  const read = eventShape.read(canonical(value), problems);
  return read === MISFIT ? undefined : (read as EventMsg);
}

/**
 * Reads an event. Unknown kinds and fields survive; the object itself is given back, not a copy, unless its tag is an
 * input alias (`turn_started`, `turn_complete`).
 *
 * @throws InvalidRequestError that names the field and the problem.
 */
export function parseEventMsg(value: unknown): EventMsg {
  if (!isTagged(value)) throw new InvalidRequestError("event: type: must be a string in an object");
  const problems: string[] = [];
  const msg = readStoredEvent(value, problems);
  if (msg === undefined || problems.length > 0) {
    throw new InvalidRequestError(`event ${canonical(value).type}: ${problems[0] ?? "does not fit its type"}`);
  }
  return msg;
}
