import { InternalDefect } from "../protocol/errors.ts";
import type { EventMsg, SessionConfiguredEvent, ThreadEvent } from "../protocol/event.ts";
import { INITIAL_SUBMISSION_ID, type SubmissionId, toSubmissionId } from "../protocol/ids.ts";
import type { RolloutItem } from "../protocol/rollout.ts";
import { isJsonObject, isTagged } from "../protocol/unknown-kind.ts";

/** What came through a thread's door. */
export type Emission =
  | { kind: "event"; id: SubmissionId; msg: EventMsg; recorded: boolean }
  | { kind: "record"; item: RolloutItem }
  | { kind: "foreign"; type: string };

/**
 * Reads what a thread logic emitted: `{ type, id, msg }` with a protocol event in `msg`, the event itself under its own
 * type (its submission id is then the initial one), or `{ type: "rollout_item", item }`.
 */
export function readEmission(emitted: unknown): Emission {
  if (!isTagged(emitted)) return { kind: "foreign", type: typeof emitted };
  if (emitted.type === "rollout_item" && isTagged(emitted.item)) {
    return { kind: "record", item: emitted.item as unknown as RolloutItem };
  }
  const id = typeof emitted.id === "string" ? toSubmissionId(emitted.id) : INITIAL_SUBMISSION_ID;
  if (isTagged(emitted.msg)) {
    return { kind: "event", id, msg: emitted.msg as unknown as EventMsg, recorded: emitted.recorded === true };
  }
  if (isJsonObject(emitted.msg)) return { kind: "foreign", type: emitted.type };
  return { kind: "event", id, msg: emitted as unknown as EventMsg, recorded: false };
}

/**
 * What may come first from a thread: its configuration, under the submission id "" (S4, T1); or, if the thread emitted
 * anything else, what that was.
 */
export function readFirst(emission: Emission): { configured: SessionConfiguredEvent } | { received: string } {
  if (emission.kind === "record") return { received: "rollout_item" };
  if (emission.kind !== "event") return { received: emission.type };
  const { id, msg } = emission;
  const isFirst = msg.type === "session_configured" && id === INITIAL_SUBMISSION_ID;
  return isFirst ? { configured: msg } : { received: msg.type };
}

/** The event log's own check. */
export const guardFirst = ({ msg }: ThreadEvent, seq: number): void => {
  if (seq === 0 && msg.type !== "session_configured") {
    throw new InternalDefect(`event log: \`${msg.type}\` came before session_configured`);
  }
};
