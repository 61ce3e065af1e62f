/** What may come first from a thread: its configuration, under the submission id "" (S4, T1). */
import { InternalDefect } from "../protocol/errors.ts";
import type { SessionConfiguredEvent, ThreadEvent } from "../protocol/event.ts";
import { INITIAL_SUBMISSION_ID } from "../protocol/ids.ts";
import type { Emission } from "./emitted.ts";

/** The configuration; or, if the thread emitted anything else, what that was. */
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
