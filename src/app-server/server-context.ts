import type { Clock } from "../kernel/clock.ts";
import type { SkeinLogger } from "../kernel/log.ts";
import type { ThreadManager } from "../manager/thread-manager.ts";
import type { McpPool } from "../turn/tools/mcp/mcp-pool.ts";
import type { Goals } from "./memos/goals.ts";
import type { Queues } from "./memos/queues.ts";
import type { Sections } from "./memos/sections.ts";
import type { ThreadMemos } from "./memos/thread-memos.ts";
import type { ServedThreads } from "./served-threads.ts";
import type { ServerRequests } from "./server-requests.ts";
import type { ThreadConfigs } from "./thread-configs.ts";
import type { ThreadHub } from "./thread-hub.ts";
import type { ThreadViews } from "./v2/thread-view.ts";

/** What the methods work with. Made once, in one place. */
export type ServerContext = {
  readonly manager: ServedThreads;
  readonly clock: Clock;
  readonly logger: SkeinLogger;
  /** Shown as `codexHome`; relative rollout paths of v1 are taken from here. */
  readonly home: string;
  readonly cwd: string;
  /** Another one for each server: nothing is remembered of an installation. */
  readonly installationId: string;
  /** The MCP servers that the threads use, where they run in this process. */
  readonly mcp: McpPool;
  readonly configs: ThreadConfigs;
  readonly hub: ThreadHub;
  readonly requests: ServerRequests;
  readonly views: ThreadViews;
  readonly memos: ThreadMemos;
  readonly queues: Queues;
  readonly goals: Goals;
  readonly sections: Sections;
  /** Whether the manager's threads have tools to end a goal with: without them none is begun. */
  readonly hasGoalTools: boolean;
  /** Whether threads run where their clients can be asked: in this process. */
  readonly hasClientTools: boolean;
};

/** What only a manager of this process has something to tell for. */
export type ManagerContext = Omit<ServerContext, "manager"> & { readonly manager: ThreadManager };
