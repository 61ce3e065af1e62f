import type { ThreadId } from "../protocol/ids.ts";
import type { SessionMeta } from "../protocol/rollout.ts";
import type { ForkBase, Position } from "./thread-store.ts";

/**
 * The header of a fork: which thread it was forked from and, where it shares lines, whose and up to which one. The form is
 * Codex's, whose bases are files: a store without files says 0 for the bytes.
 */
export function forkHeader(
  meta: SessionMeta,
  { source, historyMode = "paginated" }: Pick<ForkBase, "source" | "historyMode">,
  shared?: { readonly threadId: ThreadId; readonly end: Position & { readonly byteOffset?: number } },
): SessionMeta {
  const forked: SessionMeta = { ...meta, forked_from_id: source, history_mode: historyMode };
  if (shared === undefined) return forked;
  const { threadId, end } = shared;
  return {
    ...forked,
    forked_from_ordinal_exclusive: end.ordinal,
    history_base: {
      thread_id: threadId,
      end_ordinal_exclusive: end.ordinal,
      end_byte_offset: end.byteOffset ?? 0,
    },
  };
}
