import { InvalidRequestError } from "./errors.ts";
import type { EventMsg } from "./event.ts";
import { isJsonObject, isTagged, type JsonObject } from "./unknown-kind.ts";

type Check = (msg: JsonObject) => string | undefined;

/** 0.87 renamed these in its source and takes both names on input, while writing the old ones. */
const ALIASES: Readonly<Record<string, string>> = { turn_started: "task_started", turn_complete: "task_complete" };

const absent = (value: unknown): boolean => value === undefined || value === null;

const text =
  (field: string): Check =>
  (msg) =>
    typeof msg[field] === "string" ? undefined : `${field} must be a string`;

const optional =
  (type: "string" | "number", ...fields: string[]): Check =>
  (msg) => {
    const wrong = fields.find((field) => {
      const value = msg[field];
      return !absent(value) && typeof value !== type;
    });
    return wrong === undefined ? undefined : `${wrong} must be a ${type} or null`;
  };

const all =
  (...checks: Check[]): Check =>
  (msg) => {
    for (const check of checks) {
      const problem = check(msg);
      if (problem !== undefined) return problem;
    }
    return undefined;
  };

const tokenCount: Check = ({ info }) => {
  if (absent(info)) return undefined;
  if (!isJsonObject(info)) return "info must be an object or null";
  const broken = ["total_token_usage", "last_token_usage"].find((name) => {
    const usage = info[name];
    return !isJsonObject(usage) || typeof usage.total_tokens !== "number";
  });
  return broken === undefined ? undefined : `info.${broken} must hold token counts`;
};

const rolledBack: Check = ({ num_turns: turns }) =>
  Number.isInteger(turns) && (turns as number) >= 0 ? undefined : "num_turns must be a whole number, 0 or more";

const itemCompleted: Check = ({ item }) => {
  if (!isTagged(item)) return "item must be an object with a type";
  if (item.type === "UserMessage" || item.type === "AgentMessage") {
    const { content } = item;
    return Array.isArray(content) && content.every(isTagged) ? undefined : "item.content must be an array of parts";
  }
  if (item.type === "Reasoning") {
    return [item.summary_text, item.raw_content].every(isTextArray)
      ? undefined
      : "item.summary_text and item.raw_content must be arrays of strings";
  }
  return undefined;
};

const isTextArray = (value: unknown): boolean =>
  Array.isArray(value) && value.every((entry) => typeof entry === "string");

/**
 * Only the kinds that resuming, truncating and showing a history read are checked, and only in the fields they read:
 * a rollout of 100,000 lines is read with these functions, so they are written by hand and copy nothing (see rollout.ts).
 * Every other kind needs no more than its tag.
 */
const CHECKS: ReadonlyMap<string, Check> = new Map([
  ["user_message", text("message")],
  ["agent_message", text("message")],
  ["token_count", tokenCount],
  ["thread_rolled_back", rolledBack],
  ["turn_aborted", all(text("reason"), optional("string", "turn_id"))],
  ["task_started", all(optional("string", "turn_id"), optional("number", "model_context_window"))],
  ["task_complete", optional("string", "turn_id", "last_agent_message")],
  ["item_completed", itemCompleted],
]);

/** What is wrong with an event, or undefined. Expects the canonical tag. */
export function eventProblem(msg: { type: string } & JsonObject): string | undefined {
  return CHECKS.get(msg.type)?.(msg);
}

/** The same event under the tag that we write; the object itself unless its tag is an alias. */
export function canonicalEvent<T extends { type: string }>(msg: T): T {
  return Object.hasOwn(ALIASES, msg.type) ? { ...msg, type: ALIASES[msg.type] } : msg;
}

/**
 * Reads an event. Unknown kinds and fields survive; the object itself is given back, not a copy, unless its tag is an
 * input alias (`turn_started`, `turn_complete`).
 *
 * @throws InvalidRequestError that names the field and the problem.
 */
export function parseEventMsg(value: unknown): EventMsg {
  if (!isTagged(value)) throw new InvalidRequestError("event: type: must be a string in an object");
  const msg = canonicalEvent(value);
  const problem = eventProblem(msg);
  if (problem !== undefined) throw new InvalidRequestError(`event ${msg.type}: ${problem}`);
  return msg as unknown as EventMsg;
}
