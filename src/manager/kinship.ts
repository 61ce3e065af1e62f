import { LimitReachedError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { Limits } from "./options.ts";

type Kin = {
  readonly parent: ThreadId | null;
  readonly root: ThreadId;
  readonly depth: number;
  children: number;
  tree: number;
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

  depthOf(id: ThreadId): number {
    return this.#kin.get(id)?.depth ?? 0;
  }

  /** Whether the thread was started by the other, or by one that it started. */
  isUnder(id: ThreadId, ancestor: ThreadId): boolean {
    for (let at = this.#kin.get(id)?.parent ?? null; at !== null; at = this.#kin.get(at)?.parent ?? null) {
      if (at === ancestor) return true;
    }
    return false;
  }

  /** @throws LimitReachedError; then nothing has changed */
  admit(id: ThreadId, parent: ThreadId): void {
    const above = this.#kin.get(parent) ?? { parent: null, root: parent, depth: 0, children: 0, tree: 1 };
    const root = above.root === parent ? above : this.#kin.get(above.root);
    const { depth, childrenPerParent, treeSize } = this.#limits;
    if (above.depth + 1 > depth) throw new LimitReachedError("depth", depth);
    if (above.children + 1 > childrenPerParent) throw new LimitReachedError("childrenPerParent", childrenPerParent);
    if (root !== undefined && root.tree + 1 > treeSize) throw new LimitReachedError("treeSize", treeSize);
    above.children += 1;
    if (root !== undefined) root.tree += 1;
    this.#kin.set(parent, above);
    this.#kin.set(id, { parent, root: above.root, depth: above.depth + 1, children: 0, tree: 0 });
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
