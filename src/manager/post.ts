/** One message on its way between threads: read from whoever sends it, and as a model is told it. */
import { textOfThrown } from "../kernel/thrown.ts";
import { InvalidRequestError } from "../protocol/errors.ts";
import { newTurnId, parseThreadId, type SubmissionId, type ThreadId, toSubmissionId } from "../protocol/ids.ts";
import type { Recipient, ThreadMessage } from "../protocol/message.ts";
import { contextMessage } from "../protocol/response-item.ts";
import { isTagged } from "../protocol/unknown-kind.ts";
import { checkPlain } from "../thread/saved-state.ts";

const MAX_BYTES = 256 * 1024;

export type Post = {
  readonly id: SubmissionId;
  readonly from: ThreadId | null;
  readonly to: ThreadId;
  readonly message: ThreadMessage;
  readonly topic: string | null;
};

/** @throws InvalidRequestError for what is no message, or no thread's id */
export const postOf = (from: ThreadId | null, to: Recipient, message: unknown, topic: string | null = null): Post => ({
  id: toSubmissionId(newTurnId()),
  from,
  to: parseThreadId(typeof to === "string" ? to : to?.id),
  message: plainMessage(message),
  topic,
});

/** A copy, so that no two threads hold one object. @throws InvalidRequestError for what is no plain JSON, or too long */
export function plain(value: unknown, what: string): unknown {
  if (value === undefined) return undefined;
  try {
    checkPlain(value, what);
  } catch (cause) {
    throw new InvalidRequestError(`${what}: ${textOfThrown(cause)}`, { cause });
  }
  const json = JSON.stringify(value);
  if (json.length <= MAX_BYTES) return JSON.parse(json);
  throw new InvalidRequestError(`${what}: it has ${json.length} bytes, of at most ${MAX_BYTES}`);
}

/** @throws InvalidRequestError */
export function plainMessage(given: unknown): ThreadMessage {
  const message = plain(given, "message");
  if (isTagged(message) && message.type !== "") return message;
  throw new InvalidRequestError('message: give an object with a text `type`, such as { type: "order", sku: "a" }');
}

/** As agents' ends reach their parents: what Codex too takes for context and not for a user's message. */
export function textForModel({ from, topic, message }: Post): string {
  const told = { agent_path: from, ...(topic !== null && { topic }), message };
  // What another agent says ends no tag.
  const json = JSON.stringify(told).replaceAll("<", "\\u003c");
  return `<subagent_notification>\n${json}\n</subagent_notification>`;
}

export const toldToModel = (post: Post) => contextMessage(textForModel(post), "multi_agent.subagent_notification");
