import { InvalidRequestError, ThreadClosedError } from "../protocol/errors.ts";
import { isUuid, type ThreadId } from "../protocol/ids.ts";
import type { SessionMeta } from "../protocol/rollout.ts";
import { parseSessionSource, threadSpawnOf } from "../protocol/session-source.ts";
import { parentThreadOf } from "../store/thread-summary.ts";
import { type Limits, limitReached } from "./options.ts";

/** What a thread is in the manager: a member; taken out of it, and alive with its holder; or closed. */
type Presence = "member" | "removed" | "closed";

/** Where a user's thread stands among names. */
export const ROOT_PATH = "/root";

type Kin = {
  parent: ThreadId | null;
  /** Names from the root down, its own last. */
  path: string;
  /** How many it has started: the next one's number. */
  started: number;
  root: ThreadId;
  depth: number;
  session: string;
  nickname: string | null;
  /** Whether it ends when its parent does. */
  endsWithParent: boolean;
  presence: Presence;
  /** Those that it started and that are still known, whatever has become of them. */
  children: Set<ThreadId>;
  /** How many of them are members. */
  members: number;
  /** At a root: the members of its tree, itself included. */
  tree: number;
};

/** Who comes in under a parent. */
export type Newcomer = {
  readonly parent: ThreadId;
  /** What it is called among its siblings. Default: its nickname, else what it is for, and its number. */
  readonly name?: string | undefined;
  readonly role?: string | null | undefined;
  readonly nickname?: string | null | undefined;
  /** Limits of the parent's own settings, within those of the manager. */
  readonly maxDepth?: number | undefined;
  readonly maxThreads?: number | undefined;
  /** Whether it ends when its parent does. Default false. */
  readonly endsWithParent?: boolean | undefined;
};

/**
 * Who was started by whom, for the limits on depth, children and tree size. Only threads that have a parent or children
 * are in it. One that leaves the manager keeps its node as long as it lives or has others under it, so that a tree is never
 * cut in the middle; it counts against no limit any more. Plain data: the registry guards it with its lock.
 */
export class Kinship {
  readonly #kin = new Map<ThreadId, Kin>();
  readonly #limits: Limits;
  readonly #seals = new Map<object, ThreadId>();

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /** How many threads are known: for tests, which expect none once all are gone. */
  get size(): number {
    return this.#kin.size;
  }

  parentOf(id: ThreadId): ThreadId | undefined {
    return this.#kin.get(id)?.parent ?? undefined;
  }

  /** Whether it counts under a parent. */
  isAdmitted(id: ThreadId): boolean {
    const kin = this.#kin.get(id);
    return kin !== undefined && kin.parent !== null && kin.presence === "member";
  }

  /** The top of the thread's tree: itself, where nobody started it. */
  rootOf(id: ThreadId): ThreadId {
    return this.#kin.get(id)?.root ?? id;
  }

  /** How much of the limits on its agents a thread uses. */
  roomUnder(id: ThreadId): { readonly depth: number; readonly children: number; readonly tree: number } {
    const kin = this.#kin.get(id);
    const root = kin && this.#kin.get(kin.root);
    return { depth: kin?.depth ?? 0, children: kin?.members ?? 0, tree: root?.tree ?? 1 };
  }

  /** undefined for a thread that has neither a parent nor children. */
  lineageOf(id: ThreadId): Pick<Kin, "depth" | "session" | "nickname" | "path"> | undefined {
    return this.#kin.get(id);
  }

  /** Whether the thread was started by the other, or by one that it started. */
  isUnder(id: ThreadId, ancestor: ThreadId): boolean {
    for (let at = this.#kin.get(id)?.parent ?? null; at !== null; at = this.#kin.get(at)?.parent ?? null) {
      if (at === ancestor) return true;
    }
    return false;
  }

  /** The members that were started by the thread, at any depth. */
  allUnder(ancestor: ThreadId): ThreadId[] {
    return this.#under(ancestor, (kin) => kin.presence === "member");
  }

  /** All that it started itself and that are known, whatever has become of them. */
  startedBy(parent: ThreadId): readonly ThreadId[] {
    return [...(this.#kin.get(parent)?.children ?? [])];
  }

  /** The members that it started itself. */
  childrenOf(parent: ThreadId): ThreadId[] {
    return [...(this.#kin.get(parent)?.children ?? [])].filter((id) => this.#kin.get(id)?.presence === "member");
  }

  /** Nobody comes in under the thread, at any depth, until that is taken back. */
  seal(id: ThreadId): () => void {
    const seal = {};
    this.#seals.set(seal, id);
    return () => void this.#seals.delete(seal);
  }

  #isSealed(id: ThreadId): boolean {
    return [...this.#seals.values()].some((sealed) => sealed === id || this.isUnder(id, sealed));
  }

  /** The members that end with the thread itself: those under them end with them. */
  boundTo(parent: ThreadId): ThreadId[] {
    const children = [...(this.#kin.get(parent)?.children ?? [])];
    return children.filter((id) => {
      const kin = this.#kin.get(id);
      return kin?.endsWithParent && kin.presence === "member";
    });
  }

  #under(ancestor: ThreadId, passes: (kin: Kin) => boolean): ThreadId[] {
    const found: ThreadId[] = [];
    const open = [...(this.#kin.get(ancestor)?.children ?? [])];
    for (let id = open.pop(); id !== undefined; id = open.pop()) {
      const kin = this.#kin.get(id);
      if (kin === undefined) continue;
      if (passes(kin)) found.push(id);
      open.push(...kin.children);
    }
    return found;
  }

  /** @throws LimitReachedError, InvalidRequestError; then nothing has changed */
  admit(id: ThreadId, newcomer: Newcomer): void {
    const { parent, nickname = null, endsWithParent = false } = newcomer;
    if (parent === id || this.isUnder(parent, id)) {
      throw new InvalidRequestError(`thread ${id} can't be an agent of ${parent}, which it started itself`);
    }
    const above = this.#kin.get(parent) ?? founder(parent, { depth: 0, session: parent });
    if (this.#isSealed(parent)) throw new ThreadClosedError(parent);
    const path = `${above.path}/${this.#nameUnder(above, newcomer)}`;
    const root = above.root === parent ? above : this.#kin.get(above.root);
    const { childrenPerParent } = this.#limits;
    const depth = Math.min(this.#limits.depth, newcomer.maxDepth ?? Number.POSITIVE_INFINITY);
    const treeSize = Math.min(this.#limits.treeSize, 1 + (newcomer.maxThreads ?? Number.POSITIVE_INFINITY));
    if (above.depth + 1 > depth) throw limitReached("depth", { depth }, { used: above.depth, whose: parent });
    if (above.members + 1 > childrenPerParent) {
      throw limitReached("childrenPerParent", { childrenPerParent }, { used: above.members, whose: parent });
    }
    if (root !== undefined && root.tree + 1 > treeSize) {
      throw limitReached("treeSize", { treeSize }, { used: root.tree, whose: above.root });
    }
    above.started += 1;
    this.#place(id, above, { parent, depth: above.depth + 1, session: above.session, nickname, endsWithParent, path });
  }

  /** @throws InvalidRequestError for a name that one of the living has, or that is none */
  #nameUnder(above: Kin, { name, nickname, role }: Newcomer): string {
    const taken = new Set([...above.children].map((id) => nameIn(this.#kin.get(id)?.path ?? "")));
    if (name !== undefined) {
      if (!NAME.test(name))
        throw new InvalidRequestError(
          `agent.name: \`${name}\` is no name; give letters, digits, \`-\`, \`_\` and \`.\``,
        );
      if (taken.has(name))
        throw new InvalidRequestError(`agent.name: \`${name}\` is taken under ${above.path}; give another one`);
      return name;
    }
    if (nickname != null && NAME.test(nickname) && !taken.has(nickname)) return nickname;
    const kind = role != null && NAME.test(role) ? role : "agent";
    let n = above.started + 1;
    while (taken.has(`${kind}-${n}`)) n += 1;
    return `${kind}-${n}`;
  }

  /** Takes in an agent that was started in an earlier life, as its rollout tells. No limit keeps it out. */
  recall(id: ThreadId, lineage: Lineage): void {
    const { parent, depth, session } = lineage;
    if (this.isAdmitted(id) || parent === id || this.isUnder(parent, id)) return;
    const above = this.#kin.get(parent) ?? founder(parent, { depth: depth - 1, session, path: pathAbove(lineage) });
    above.started = Math.max(above.started, numberIn(lineage.path ?? ""));
    this.#place(id, above, { ...lineage, path: lineage.path ?? `${above.path}/${lineage.nickname ?? id}` });
  }

  #place(
    id: ThreadId,
    above: Kin,
    { parent, depth, session, nickname, endsWithParent = false, path }: Lineage & { readonly path: string },
  ): void {
    const { root } = above;
    const own = this.#kin.get(id);
    // Those under it that came in before it, or that it left behind, come with it.
    const under = own === undefined ? [] : this.#under(id, () => true);
    const members = own === undefined ? 0 : this.allUnder(id).length;
    if (own !== undefined && own.parent !== null) {
      this.#detach(id, own);
      const old = this.#kin.get(own.root);
      if (old !== undefined) old.tree -= members;
    }
    this.#kin.set(parent, above);
    const kin = own ?? founder(id, { depth, session, path });
    this.#kin.set(
      id,
      Object.assign(kin, { parent, root, depth, session, nickname, path, endsWithParent, presence: "member", tree: 0 }),
    );
    above.children.add(id);
    above.members += 1;
    const top = this.#kin.get(root);
    if (top !== undefined) top.tree += members + 1;
    for (const other of under) {
      const found = this.#kin.get(other);
      if (found !== undefined) found.root = root;
    }
  }

  #detach(id: ThreadId, { parent }: Kin): void {
    if (parent !== null) this.#kin.get(parent)?.children.delete(id);
  }

  /** The thread is no member any more: its place under its parent is free again. Those under it keep theirs. */
  release(id: ThreadId, presence: Exclude<Presence, "member">): void {
    const kin = this.#kin.get(id);
    if (kin?.presence !== "member") return;
    const root = this.#kin.get(kin.root);
    if (root !== undefined) root.tree -= 1;
    const above = kin.parent === null ? undefined : this.#kin.get(kin.parent);
    if (above !== undefined) above.members -= 1;
    kin.presence = presence;
    this.#prune(id);
  }

  /** A thread that was removed has been closed by its holder. */
  bury(id: ThreadId): void {
    const kin = this.#kin.get(id);
    if (kin?.presence !== "removed") return;
    kin.presence = "closed";
    this.#prune(id);
  }

  /** Forgets a thread that nobody is under, once it is closed; and those above it that were only kept for it. */
  #prune(id: ThreadId): void {
    for (let at: ThreadId | null = id; at !== null; ) {
      const kin = this.#kin.get(at);
      if (kin === undefined || kin.children.size > 0) return;
      if (kin.presence !== "closed" && kin.parent !== null) return;
      this.#kin.delete(at);
      this.#detach(at, kin);
      at = kin.parent;
    }
  }
}

/** A thread that nobody here has started. */
const founder = (
  id: ThreadId,
  { depth, session, path = ROOT_PATH }: Pick<Kin, "depth" | "session"> & { path?: string },
): Kin => ({
  parent: null,
  path,
  started: 0,
  root: id,
  depth,
  session,
  nickname: null,
  endsWithParent: false,
  presence: "member",
  children: new Set(),
  members: 0,
  tree: 1,
});

const NAME = /^[A-Za-z0-9][\w.-]{0,63}$/;
const PATH = /^\/root(?:\/[\w.-]+)+$/;
const nameIn = (path: string): string => path.slice(path.lastIndexOf("/") + 1);
const numberIn = (path: string): number => Number(/-(\d{1,9})$/.exec(path)?.[1] ?? 0);
const pathAbove = ({ path, depth }: Pick<Lineage, "path" | "depth">): string =>
  path === undefined || depth <= 1 ? ROOT_PATH : path.slice(0, path.lastIndexOf("/"));

/** Where an agent's thread stands among others. */
export type Lineage = {
  readonly parent: ThreadId;
  /** A user's thread has depth 0. */
  readonly depth: number;
  /** What the whole tree is called in rollouts: the id of its root. */
  readonly session: string;
  readonly nickname: string | null;
  /** Whether it ends when its parent does. */
  readonly endsWithParent?: boolean;
  readonly path?: string | undefined;
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
    ...(typeof meta.agent_path === "string" && PATH.test(meta.agent_path) && { path: meta.agent_path }),
  };
}
