import type { EventMsg } from "../protocol/event.ts";
import type { RolloutItem } from "../protocol/rollout.ts";
import type { ThreadWriter } from "../store/thread-store.ts";

const ordinals = new WeakMap<EventMsg, number>();

/** Appends an item; of an event it is known from then on which line of its thread it is. */
export function appendPlaced(writer: ThreadWriter, item: RolloutItem): void {
  const { ordinal } = writer.position();
  writer.append(item);
  const isTaken = writer.position().ordinal > ordinal;
  if (item.type === "event_msg" && isTaken) ordinals.set(item.payload, ordinal);
}

/** Which line of its thread an event is; undefined for one that is not stored. */
export const ordinalOf = (msg: EventMsg): number | undefined => ordinals.get(msg);
