/** The tree of a thread and its agents, as it stands in memory and in the store. */
import type { AgentStatus } from "../protocol/agent-status.ts";
import { RolloutCorruptError, ThreadNotFoundError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import { everyThread } from "../store/every-thread.ts";
import { ifStored } from "../store/is-stored.ts";
import type { ThreadStore } from "../store/thread-store.ts";
import type { AgentInfo, AgentNode } from "./agent-node.ts";
import { lineageOf, ROOT_PATH } from "./kinship.ts";
import type { Registry, Whereabouts } from "./registry.ts";

/** What a tree is read from. */
export interface TreeHost {
  readonly registry: Registry;
  readonly store: ThreadStore;
}

type Facts = Pick<AgentInfo, "path" | "parent" | "depth" | "nickname">;

const STATES = { loaded: "loaded", leaving: "loaded", unloaded: "unloaded", down: "down" } as const;

export class AgentTree {
  readonly #host: TreeHost;

  constructor(host: TreeHost) {
    this.#host = host;
  }

  /** The thread and all under it. @throws ThreadNotFoundError when it is neither open nor stored */
  async of(root: ThreadId): Promise<AgentNode> {
    const facts = await this.#factsOf(root, undefined);
    if (facts === undefined) throw new ThreadNotFoundError(root);
    return this.#node(root, facts, new Set());
  }

  /** Those of all open threads that no open thread has started. */
  async all(): Promise<readonly AgentNode[]> {
    const { registry } = this.#host;
    const known = await registry.known();
    const open = new Set(known);
    const roots = known.filter((id) => {
      const parent = registry.kin.parentOf(id);
      return parent === undefined || !open.has(parent);
    });
    const nodes: AgentNode[] = [];
    for (const id of roots) nodes.push(await this.of(id));
    return nodes;
  }

  async #node(threadId: ThreadId, facts: Facts, seen: Set<ThreadId>): Promise<AgentNode> {
    seen.add(threadId);
    const place = await this.#host.registry.locate(threadId);
    const children: AgentNode[] = [];
    for (const child of await this.#childrenOf(threadId)) {
      // A header can name anybody.
      if (seen.has(child)) continue;
      const own = await this.#factsOf(child, { threadId, ...facts });
      if (own !== undefined) children.push(await this.#node(child, own, seen));
    }
    const state = place === undefined ? "stored" : STATES[place.kind];
    return { threadId, ...facts, state, status: statusOf(place), children };
  }

  async #childrenOf(parent: ThreadId): Promise<ThreadId[]> {
    const found = new Set(this.#host.registry.kin.childrenOf(parent));
    for await (const { threadId } of everyThread(this.#host.store, { parentThreadId: parent })) found.add(threadId);
    // Ids sort by their time of creation.
    return [...found].sort();
  }

  async #factsOf(threadId: ThreadId, above: (Facts & { threadId: ThreadId }) | undefined): Promise<Facts | undefined> {
    const { registry, store } = this.#host;
    const kin = registry.kin.lineageOf(threadId);
    if (kin !== undefined) {
      const { path, depth, nickname } = kin;
      return { path, depth, nickname, parent: registry.kin.parentOf(threadId) ?? null };
    }
    if (above === undefined && (await registry.locate(threadId)) !== undefined) {
      return { path: ROOT_PATH, depth: 0, nickname: null, parent: null };
    }
    const header = await ifStored(store.header(threadId)).catch((error: unknown) => leftOut(error, above));
    if (header === undefined) return undefined;
    const lineage = lineageOf(header);
    if (lineage === undefined) return { path: ROOT_PATH, depth: 0, nickname: null, parent: null };
    const { nickname } = lineage;
    const { parent, depth, path = `${above?.path ?? ROOT_PATH}/${nickname ?? threadId}` } = lineage;
    return { path, depth, nickname, parent };
  }
}

/** One of the tree that nobody can read is left out, as lists leave it out. A store that fails has not said what there is. */
function leftOut(error: unknown, above: unknown): undefined {
  if (above === undefined || !(error instanceof RolloutCorruptError)) throw error;
}

function statusOf(place: Whereabouts | undefined): AgentStatus {
  if (place === undefined) return "not_found";
  return "unloaded" in place ? place.unloaded.outcome : place.thread.outcome;
}

/** The same without its shape, each before those under it. */
export const flat = (nodes: readonly AgentNode[]): AgentInfo[] =>
  nodes.flatMap(({ children, ...info }) => [info, ...flat(children)]);
