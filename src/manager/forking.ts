/** What a fork takes over of its source, and what it says of a turn that it breaks off in (F2). */
import type { ForkAnchor } from "../protocol/initial-history.ts";
import { developerMessage } from "../protocol/response-item.ts";
import type { RolloutItem, SessionMeta } from "../protocol/rollout.ts";
import { AnchorIndex } from "../store/anchor-index.ts";
import type { ForkBase, OpenOptions, OpenTurn, ThreadStore, ThreadWriter } from "../store/thread-store.ts";

const INTERRUPTED_MARKER =
  "<turn_aborted>\nThe previous turn was interrupted before it was done. Commands that it had started may have run in part; check before you repeat them.\n</turn_aborted>";

/** The part of a history in memory that a fork inherits; undefined when it is none, so that the fork is a new thread. */
export type Cut = { readonly items: readonly RolloutItem[]; readonly openTurn: OpenTurn | null };

/** @throws InvalidForkPointError */
export function cutAt(items: readonly RolloutItem[], at: ForkAnchor): Cut | undefined {
  const index = new AnchorIndex();
  const placeOf = (ordinal: number) => ({ ordinal, byteOffset: 0 });
  for (const [ordinal, item] of items.entries()) index.observe(item, placeOf(ordinal), placeOf(ordinal + 1));
  const place = index.resolve(at, placeOf(items.length));
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
      : await target.adopt(copiedMeta(meta, base), await inheritedItems(source, base), open);
  if (base.openTurn !== null) recordInterruption(writer, base.openTurn);
  return writer;
}

const copiedMeta = (meta: SessionMeta, { source, historyMode = "paginated" }: ForkBase): SessionMeta => ({
  ...meta,
  forked_from_id: source,
  history_mode: historyMode,
});

async function inheritedItems(store: ThreadStore, { inherits }: ForkBase): Promise<RolloutItem[]> {
  const items: RolloutItem[] = [];
  if (inherits === null) return items;
  for await (const page of store.load(inherits.threadId, { toOrdinal: inherits.end.ordinal })) items.push(...page);
  return items;
}

/** A fork that breaks off in the middle of a turn says so, in the fork's own lines. */
export function recordInterruption(writer: ThreadWriter, { turnId }: OpenTurn): void {
  writer.append({ type: "response_item", payload: developerMessage(INTERRUPTED_MARKER) });
  writer.append({
    type: "event_msg",
    payload: { type: "turn_aborted", reason: "interrupted", ...(turnId === null ? {} : { turn_id: turnId }) },
  });
}
