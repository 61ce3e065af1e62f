/** What a fork takes over of its source, and what it says of a turn that it breaks off in (F2). */
import type { ForkAnchor } from "../protocol/initial-history.ts";
import { developerMessage, textOf, turnAbortedMessage } from "../protocol/response-item.ts";
import type { RolloutItem, SessionMeta } from "../protocol/rollout.ts";
import { AnchorIndex } from "../store/anchor-index.ts";
import { forkHeader } from "../store/fork-header.ts";
import type { ForkBase, OpenOptions, OpenTurn, ThreadStore, ThreadWriter } from "../store/thread-store.ts";

/** The part of a history in memory that a fork inherits; undefined when it is none, so that the fork is a new thread. */
export type Cut = { readonly items: readonly RolloutItem[]; readonly openTurn: OpenTurn | null };

/** @throws InvalidForkPointError */
export function cutAt(items: readonly RolloutItem[], at: ForkAnchor): Cut | undefined {
  const index = new AnchorIndex();
  for (const [ordinal, item] of items.entries()) index.observe(item, { ordinal }, { ordinal: ordinal + 1 });
  const place = index.resolve(at, { ordinal: items.length });
  if (place === undefined || place.end.ordinal === 0) return undefined;
  return { items: items.slice(0, place.end.ordinal), openTurn: place.openTurn };
}

/** Makes the fork's rollout: by reference in the source's own store, as a copy in any other. */
export async function forkRollout(
  base: ForkBase,
  { meta, source, target, open }: { meta: SessionMeta; source: ThreadStore; target: ThreadStore; open: OpenOptions },
): Promise<ThreadWriter> {
  const writer =
    target === source
      ? await source.fork(meta, base, open)
      : await target.adopt(forkHeader(meta, base), await inheritedItems(source, base), open);
  if (base.openTurn !== null) recordInterruption(writer, base.openTurn);
  return writer;
}

async function inheritedItems(store: ThreadStore, { inherits }: ForkBase): Promise<RolloutItem[]> {
  const items: RolloutItem[] = [];
  if (inherits === null) return items;
  for await (const page of store.load(inherits.threadId, { toOrdinal: inherits.end.ordinal })) items.push(...page);
  return items;
}

/**
 * A fork that breaks off in the middle of a turn says so, in the fork's own lines: for a legacy thread by the developer's
 * role, since 0.80 and 0.87 would count any other message of that kind as the user's.
 */
export function recordInterruption(writer: ThreadWriter, { turnId }: OpenTurn): void {
  const mark = turnAbortedMessage();
  const payload = writer.historyMode === "legacy" ? developerMessage(textOf(mark)) : mark;
  writer.append({ type: "response_item", payload });
  writer.append({
    type: "event_msg",
    payload: { type: "turn_aborted", reason: "interrupted", ...(turnId === null ? {} : { turn_id: turnId }) },
  });
}
