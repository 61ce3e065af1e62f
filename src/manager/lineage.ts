import { isUuid, type ThreadId } from "../protocol/ids.ts";
import type { SessionMeta } from "../protocol/rollout.ts";
import { parseSessionSource, threadSpawnOf } from "../protocol/session-source.ts";
import { parentThreadOf } from "../store/thread-summary.ts";

/** Where an agent's thread stands among others. */
export type Lineage = {
  readonly parent: ThreadId;
  /** A user's thread has depth 0. */
  readonly depth: number;
  /** What the whole tree is called in rollouts: the id of its root. */
  readonly session: string;
  readonly nickname: string | null;
};

/** What a rollout's header tells of it; undefined for a thread that no agent has started. */
export function lineageOf(meta: SessionMeta): Lineage | undefined {
  const source = parseSessionSource(meta.source);
  const parent = parentThreadOf(meta, source);
  if (parent === null || !isUuid(parent)) return undefined;
  const { depth = 1, agent_nickname: nickname } = threadSpawnOf(source) ?? {};
  return {
    parent,
    depth: Number.isSafeInteger(depth) && depth > 0 ? depth : 1,
    session: typeof meta.session_id === "string" ? meta.session_id : parent,
    nickname: typeof nickname === "string" ? nickname : null,
  };
}
