import { SparseMap } from "../kernel/sparse-map.ts";
import { InvalidRequestError, ThreadClosedError } from "../protocol/errors.ts";
import { isUuid, type ThreadId } from "../protocol/ids.ts";
import type { SessionMeta } from "../protocol/rollout.ts";
import { parseSessionSource, threadSpawnOf } from "../protocol/session-source.ts";
import { parentThreadOf } from "../store/thread-summary.ts";
import type { Subtree } from "../thread/by-thread.ts";
import { type Limits, limitReached } from "./options.ts";

/** What a thread is in the manager: a member; taken out of it, and alive with its holder; or closed. */
type Presence = "member" | "removed" | "closed";

/** Where a user's thread stands among names. */
export const ROOT_PATH = "/root";

type Kin = {
  readonly id: ThreadId;
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
  /** How many of them have each name: one, but for those that earlier lives have named. */
  names: SparseMap<string, number>;
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
  /** How many hold each thread sealed. */
  readonly #seals = new Map<ThreadId, number>();
  /** Each is told of a thread that is known no more: it and all under it have gone. */
  readonly watchers = new Set<(id: ThreadId) => void>();

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

  /** All that are known under the thread, whatever has become of them. */
  knownUnder(ancestor: ThreadId): ThreadId[] {
    return Array.from(this.#under(ancestor), ({ id }) => id);
  }

  /** The thread and all that are known under it. */
  subtreeOf(top: ThreadId): Subtree {
    return {
      size: this.roomUnder(top).tree,
      has: (id) => id === top || this.isUnder(id, top),
      threads: () => [top, ...this.knownUnder(top)],
    };
  }

  /** The members that were started by the thread, at any depth. */
  allUnder(ancestor: ThreadId): ThreadId[] {
    const under: ThreadId[] = [];
    for (const { id, presence } of this.#under(ancestor)) if (presence === "member") under.push(id);
    return under;
  }

  /** Whether a member was started by the thread, at any depth. */
  hasUnder(ancestor: ThreadId): boolean {
    for (const kin of this.#under(ancestor)) if (kin.presence === "member") return true;
    return false;
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
    countIn(this.#seals, id, 1);
    let isSealed = true;
    return () => {
      if (isSealed) countIn(this.#seals, id, -1);
      isSealed = false;
    };
  }

  #isSealed(id: ThreadId): boolean {
    if (this.#seals.size === 0) return false;
    for (let at: ThreadId | null = id; at !== null; at = this.#kin.get(at)?.parent ?? null)
      if (this.#seals.has(at)) return true;
    return false;
  }

  /** The members that end with the thread itself: those under them end with them. */
  boundTo(parent: ThreadId): ThreadId[] {
    const children = [...(this.#kin.get(parent)?.children ?? [])];
    return children.filter((id) => {
      const kin = this.#kin.get(id);
      return kin?.endsWithParent && kin.presence === "member";
    });
  }

  /** All that are known under the thread, whatever has become of them. */
  *#under(ancestor: ThreadId): Generator<Kin> {
    const open = [...(this.#kin.get(ancestor)?.children ?? [])];
    for (let id = open.pop(); id !== undefined; id = open.pop()) {
      const kin = this.#kin.get(id);
      if (kin === undefined) continue;
      yield kin;
      for (const child of kin.children) open.push(child);
    }
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
    const isTaken = (given: string) => above.names.has(given);
    if (name !== undefined) {
      if (typeof name !== "string" || !NAME.test(name))
        throw new InvalidRequestError(
          `agent.name: \`${name}\` is no name; give letters, digits, \`-\`, \`_\` and \`.\``,
        );
      if (isTaken(name))
        throw new InvalidRequestError(`agent.name: \`${name}\` is taken under ${above.path}; give another one`);
      return name;
    }
    if (nickname != null && NAME.test(nickname) && !isTaken(nickname)) return nickname;
    const kind = role != null && NAME.test(role) ? role : "agent";
    let n = above.started + 1;
    while (isTaken(`${kind}-${n}`)) n += 1;
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
    const under = own === undefined ? [] : [...this.#under(id)];
    const members = under.filter(({ presence }) => presence === "member").length;
    if (own !== undefined && own.parent !== null) {
      this.#detach(own);
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
    countIn(above.names, nameIn(path), 1);
    above.members += 1;
    const top = this.#kin.get(root);
    if (top !== undefined) top.tree += members + 1;
    for (const other of under) other.root = root;
  }

  #detach({ id, parent, path }: Kin): void {
    const above = parent === null ? undefined : this.#kin.get(parent);
    if (above?.children.delete(id)) countIn(above.names, nameIn(path), -1);
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
      this.#detach(kin);
      for (const watcher of this.watchers) watcher(at);
      at = kin.parent;
    }
  }
}

/** A thread that nobody here has started. */
const founder = (
  id: ThreadId,
  { depth, session, path = ROOT_PATH }: Pick<Kin, "depth" | "session"> & { path?: string },
): Kin => ({
  ...{ id, parent: null },
  path,
  started: 0,
  root: id,
  depth,
  session,
  nickname: null,
  endsWithParent: false,
  presence: "member",
  children: new Set(),
  names: new SparseMap(),
  members: 0,
  tree: 1,
});

type Counts<K> = Pick<Map<K, number>, "get" | "delete"> & { set(key: K, count: number): unknown };

function countIn<K>(counts: Counts<K>, key: K, change: number): void {
  const count = (counts.get(key) ?? 0) + change;
  if (count > 0) counts.set(key, count);
  else counts.delete(key);
}

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
