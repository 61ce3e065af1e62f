/** Which lines a reader wants (LoadRange.wants), asked in the same way by every store. */
import type { RolloutLine } from "../protocol/rollout.ts";
import { peekEvent, peekType } from "./rollout/codec.ts";
import type { LoadRange } from "./thread-store.ts";

type Wants = NonNullable<LoadRange["wants"]>;

const EVENT_LINE = "event_msg";

export const isWanted = (line: RolloutLine, wants: Wants): boolean =>
  wants(line.type, line.type === EVENT_LINE ? line.payload.type : undefined);

/** Whether its head says that nobody wants the line, so that it need not be parsed. */
export function isUnwantedAtHead(text: string, wants: Wants): boolean {
  const type = peekType(text);
  const event = type === EVENT_LINE ? peekEvent(text) : undefined;
  if (type === undefined || (type === EVENT_LINE && event === undefined)) return false;
  return !wants(type, event);
}
