import { LimitReachedError } from "../protocol/errors.ts";
import { isUuid, type ThreadId } from "../protocol/ids.ts";
import type { SessionMeta } from "../protocol/rollout.ts";
import { parseSessionSource, threadSpawnOf } from "../protocol/session-source.ts";
import { parentThreadOf } from "../store/thread-summary.ts";
import type { Limits } from "./options.ts";

type Kin = {
  parent: ThreadId | null;
  root: ThreadId;
  depth: number;
  session: string;
  nickname: string | null;
  children: number;
  /** At a root: the living threads of its tree, itself included. */
  tree: number;
};

/** Who comes in under a parent. */
export type Newcomer = {
  readonly parent: ThreadId;
  readonly nickname?: string | null | undefined;
  /** Limits of the parent's own settings, within those of the manager. */
  readonly maxDepth?: number | undefined;
  readonly maxThreads?: number | undefined;
};

/**
 * Who was started by whom, for the limits on depth, children and tree size. Only threads that have a parent or children
 * are in it. Plain data: the registry guards it with its lock.
 */
export class Kinship {
  readonly #kin = new Map<ThreadId, Kin>();
  readonly #limits: Limits;

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  parentOf(id: ThreadId): ThreadId | undefined {
    return this.#kin.get(id)?.parent ?? undefined;
  }

  /** undefined for a thread that has neither a parent nor children. */
  lineageOf(id: ThreadId): Pick<Kin, "depth" | "session" | "nickname"> | undefined {
    return this.#kin.get(id);
  }

  /** Whether the thread was started by the other, or by one that it started. */
  isUnder(id: ThreadId, ancestor: ThreadId): boolean {
    for (let at = this.#kin.get(id)?.parent ?? null; at !== null; at = this.#kin.get(at)?.parent ?? null) {
      if (at === ancestor) return true;
    }
    return false;
  }

  /** All that were started by the thread, at any depth. */
  allUnder(ancestor: ThreadId): ThreadId[] {
    return [...this.#kin.keys()].filter((id) => this.isUnder(id, ancestor));
  }

  /** @throws LimitReachedError; then nothing has changed */
  admit(id: ThreadId, newcomer: Newcomer): void {
    const { parent, nickname = null } = newcomer;
    const above = this.#kin.get(parent) ?? founder(parent, { depth: 0, session: parent });
    const root = above.root === parent ? above : this.#kin.get(above.root);
    const { childrenPerParent } = this.#limits;
    const depth = Math.min(this.#limits.depth, newcomer.maxDepth ?? Number.POSITIVE_INFINITY);
    const treeSize = Math.min(this.#limits.treeSize, 1 + (newcomer.maxThreads ?? Number.POSITIVE_INFINITY));
    if (above.depth + 1 > depth) throw new LimitReachedError("depth", depth);
    if (above.children + 1 > childrenPerParent) throw new LimitReachedError("childrenPerParent", childrenPerParent);
    if (root !== undefined && root.tree + 1 > treeSize) throw new LimitReachedError("treeSize", treeSize);
    this.#place(id, above, { parent, depth: above.depth + 1, session: above.session, nickname });
  }

  /** Takes in an agent that was started in an earlier life, as its rollout tells. No limit keeps it out. */
  recall(id: ThreadId, lineage: Lineage): void {
    const { parent, depth, session } = lineage;
    if (this.parentOf(id) !== undefined || parent === id || this.isUnder(parent, id)) return;
    this.#place(id, this.#kin.get(parent) ?? founder(parent, { depth: depth - 1, session }), lineage);
  }

  #place(id: ThreadId, above: Kin, { parent, depth, session, nickname }: Lineage): void {
    const { root } = above;
    const own = this.#kin.get(id);
    this.#kin.set(parent, above);
    this.#kin.set(id, { parent, root, depth, session, nickname, children: own?.children ?? 0, tree: 0 });
    above.children += 1;
    // Agents of its own may have come in before it: their tree becomes a part of this one.
    const top = this.#kin.get(root);
    if (top !== undefined) top.tree += own?.tree ?? 1;
    if (own === undefined) return;
    for (const kin of this.#kin.values()) if (kin.root === id) kin.root = root;
  }

  /** The thread has left: its place under its parent is free again. Its own children keep their places. */
  release(id: ThreadId): void {
    const kin = this.#kin.get(id);
    if (kin === undefined) return;
    if (kin.parent !== null) {
      const above = this.#kin.get(kin.parent);
      if (above !== undefined) above.children -= 1;
      const root = this.#kin.get(kin.root);
      if (root !== undefined) root.tree -= 1;
      this.#forgetIfAlone(kin.parent);
      this.#forgetIfAlone(kin.root);
      this.#kin.delete(id);
    } else {
      this.#forgetIfAlone(id);
    }
  }

  /** A root is forgotten when nobody is under it; another thread, when it leaves. */
  #forgetIfAlone(id: ThreadId): void {
    const kin = this.#kin.get(id);
    if (kin !== undefined && kin.parent === null && kin.children === 0 && kin.tree <= 1) this.#kin.delete(id);
  }
}

/** A thread that nobody here has started. */
const founder = (id: ThreadId, { depth, session }: Pick<Kin, "depth" | "session">): Kin => ({
  parent: null,
  root: id,
  depth,
  session,
  nickname: null,
  children: 0,
  tree: 1,
});

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
