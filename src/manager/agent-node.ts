/** What is told of a thread and its agents. */
import type { AgentStatus } from "../protocol/agent-status.ts";
import type { ThreadId } from "../protocol/ids.ts";

/**
 * One thread of a tree. `state`: `loaded`; `unloaded` comes back with the next message, `down` by itself; `stored` is not open: it has
 * ended, or belongs to a process that has.
 */
export type AgentInfo = {
  readonly threadId: ThreadId;
  /** `/root` for a user's thread, `/root/researcher-3` for an agent of it. */
  readonly path: string;
  readonly parent: ThreadId | null;
  /** 0 for a user's thread. */
  readonly depth: number;
  readonly nickname: string | null;
  readonly state: "loaded" | "unloaded" | "down" | "stored";
  /** `not_found` for one that is not open. */
  readonly status: AgentStatus;
};

/** A thread with its agents, in the order in which they were started. */
export type AgentNode = AgentInfo & { readonly children: readonly AgentNode[] };
