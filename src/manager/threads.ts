import type { Clock } from "../kernel/clock.ts";
import type { SkeinLogger } from "../kernel/log.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { ModelsManager } from "../services/models-manager.ts";
import type { ThreadStore } from "../store/thread-store.ts";
import type { LiveThread } from "../thread/live-thread.ts";
import type { McpPool } from "../turn/tools/mcp/mcp-pool.ts";
import type { AgentTree } from "./agent-tree.ts";
import type { Budgets } from "./budgets.ts";
import type { Capacity } from "./capacity.ts";
import type { DeadLetters } from "./dead-letters.ts";
import type { EndNotices } from "./end-notices.ts";
import type { Kinship } from "./kinship.ts";
import type { Messages } from "./messages.ts";
import type { Whereabouts } from "./registry.ts";
import type { ShutdownReport } from "./shutdown-report.ts";
import type { ThreadMaker } from "./thread-maker.ts";

/** What carries out the supervisor's messages: the threads of one manager, and nothing of how they are kept. */
export interface Threads {
  readonly logger: SkeinLogger;
  readonly deadLetters: DeadLetters;
  readonly maker: Pick<ThreadMaker, "spawn" | "fork" | "resume" | "resumeFile" | "resumeHistory">;
  ids(): readonly ThreadId[] | Promise<readonly ThreadId[]>;
  /** The thread, loaded again if it has left memory; one that is down is waited for. @throws ThreadNotFoundError */
  get(threadId: ThreadId, signal?: AbortSignal): Promise<LiveThread>;
  remove(threadId: ThreadId, signal?: AbortSignal): Promise<LiveThread | undefined>;
  /** Ends a thread that nobody has seen, and deletes what was stored of it. */
  discard(threadId: ThreadId): Promise<void>;
}

/** The same, as agents know it: who is under whom, and where they are. */
export interface AgentThreads extends Threads, Pick<Kinship, "lineageOf"> {
  /** The MCP servers that the threads share. */
  readonly mcp: McpPool;
  readonly isClosing: boolean;
  readonly budgets: Pick<Budgets, "accounts" | "useOf">;
  readonly notices: Pick<EndNotices, "follow">;
  readonly tree: AgentTree;
  /** Messages of other processes; `left` is for tests, which expect none once all are handled. */
  readonly messages: Pick<Messages, "check" | "receive" | "promptOf" | "answer" | "left" | "further"> & {
    readonly mail: Pick<Messages["mail"], "isServing">;
  };
  readonly clock: Clock;
  readonly over: AbortSignal;
  readonly store: ThreadStore;
  readonly models: ModelsManager;
  locate(threadId: ThreadId): Whereabouts | undefined | Promise<Whereabouts | undefined>;
  /** The living sub-agents of a thread, at any depth. */
  agentsUnder(threadId: ThreadId): ThreadId[];
  /** Ends a thread and its agents, children first. @throws ThreadNotFoundError */
  shutdownTree(threadId: ThreadId, deadlineMs: number): Promise<ShutdownReport>;
  /** Gives a thread away, for another manager to go on with: its lease is free then. */
  giveAway(threadId: ThreadId): Promise<void>;
  capacity(): Capacity;
  /** What there is of threads beside the registry: for tests, which expect none once the threads are gone. */
  left(): { readonly incarnations: number; readonly handles: number; readonly removed: number };
  /** What there is of groups, watches, watchers that have moved away, timers, accounts and notices: for the same tests. */
  leftBeside(): Readonly<Record<"groups" | "members" | "watches" | "away" | "timers" | "accounts" | "notices", number>>;
}
