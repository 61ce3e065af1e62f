/** What a logic of an embedder's own emits, read: it is outside data, and only what keeps the contract goes on. */

import { textOfThrown } from "../kernel/thrown.ts";
import { parseEventMsg } from "../protocol/event-schemas.ts";
import { INITIAL_SUBMISSION_ID, type SubmissionId, toSubmissionId } from "../protocol/ids.ts";
import { jsonForm } from "../protocol/json-form.ts";
import { readStoredItem } from "../protocol/rollout.ts";
import { isTagged, type JsonObject } from "../protocol/unknown-kind.ts";
import { type Emission, readEmission } from "./emitted.ts";

/** What is not passed on, and why. `type` is what it called itself. */
export type Breach = { readonly kind: "breach"; readonly type: string; readonly problem: string };

/** Only the door says these. */
const NOT_ITS_OWN: Readonly<Record<string, string>> = {
  lagged: "only a subscription tells of what it has missed",
};

/** Texts without which an event says nothing, where its stored form does not ask for them. */
const NEEDED: Readonly<Record<string, string>> = {
  error: "message",
  warning: "message",
  stream_error: "message",
  background_event: "message",
  agent_message_delta: "delta",
  agent_reasoning_delta: "delta",
  exec_approval_request: "call_id",
  apply_patch_approval_request: "call_id",
};

/** Items that a thread writes of itself, and a logic does not. */
const NOT_TO_RECORD: ReadonlySet<string> = new Set(["session_meta", "submission", "logic_state", "durable_step"]);

/** As {@link readEmission}, for what somebody else's code emits; with the submission that it is said under. */
export function readOwnEmission(given: unknown): { readonly id: SubmissionId; readonly read: Emission | Breach } {
  let id = INITIAL_SUBMISSION_ID;
  let type: string = typeof given;
  const breach = (problem: string) => ({ id, read: { kind: "breach", type, problem } as const });
  try {
    if (!isTagged(given)) return breach("it has no text `type`");
    ({ type } = given);
    if (typeof given.id === "string") id = toSubmissionId(given.id);
    const emitted = jsonForm(given, "it");
    const problem = problemOf(emitted);
    return problem === undefined ? { id, read: readEmission(emitted) } : breach(problem);
  } catch (error) {
    return breach(textOfThrown(error));
  }
}

function problemOf(emitted: JsonObject & { type: string }): string | undefined {
  if (emitted.type === "rollout_item") return problemOfItem(emitted.item);
  if ("id" in emitted && typeof emitted.id !== "string") return "its `id` is no text";
  if (!("msg" in emitted)) return problemOfEvent(emitted);
  const { msg } = emitted;
  if (!isTagged(msg)) return "its `msg` is no event, that is, no object with a text `type`";
  if (msg.type !== emitted.type) return `its \`msg\` is of the type \`${msg.type}\``;
  return problemOfEvent(msg);
}

function problemOfEvent(msg: JsonObject & { type: string }): string | undefined {
  const foreign = Object.hasOwn(NOT_ITS_OWN, msg.type) ? NOT_ITS_OWN[msg.type] : undefined;
  if (foreign !== undefined) return foreign;
  const needed = Object.hasOwn(NEEDED, msg.type) ? NEEDED[msg.type] : undefined;
  if (needed !== undefined && typeof msg[needed] !== "string") return `${needed} must be a string`;
  if (msg.type === "raw_response_item") return problemOfItem({ type: "response_item", payload: msg.item });
  try {
    parseEventMsg(msg);
    return undefined;
  } catch (error) {
    return textOfThrown(error);
  }
}

function problemOfItem(item: unknown): string | undefined {
  if (!isTagged(item)) return "its item is no object with a text `type`";
  if (NOT_TO_RECORD.has(item.type)) return `a thread writes its own \`${item.type}\``;
  const problems: string[] = [];
  const read = readStoredItem(item, problems);
  if (read !== undefined && problems.length === 0) return undefined;
  return `its item: ${problems[0] ?? "does not fit its type"}`;
}
