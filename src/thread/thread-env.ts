import type { AnyActorRef } from "xstate";
import type { turnMachine } from "../../machines/turn.machine.ts";
import type { Clock } from "../kernel/clock.ts";
import type { SkeinLogger } from "../kernel/log.ts";
import type { RankedSlots } from "../kernel/ranked-slots.ts";
import type { ModelClient } from "../model/model-client.ts";
import type { ModelPreset } from "../model/model-preset.ts";
import type { ProcessEnvironment } from "../process/clean-environment.ts";
import type { ThreadEvent } from "../protocol/event.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { ResolvedThreadConfig, ThreadConfig } from "../protocol/thread-config.ts";
import type { SkillsManager } from "../services/skills-manager.ts";
import type { Agents } from "../turn/agents.ts";
import type { Budgeting } from "../turn/spending.ts";
import type { McpPool } from "../turn/tools/mcp/mcp-pool.ts";
import type { ApprovalBoard } from "./approval-board.ts";
import type { HistoryCache } from "./history-cache.ts";
import type { MessageDesk } from "./messaging.ts";
import type { SharedPasts } from "./shared-pasts.ts";
import type { Thread } from "./thread.ts";

/** What all threads of one manager share. Made once, in one place. */
export type ThreadEnv = {
  /** Stands for the manager in what is watched; tells nothing. */
  readonly scope: object;
  readonly clock: Clock;
  /** Aborts when the manager has ended. */
  readonly over: AbortSignal;
  readonly logger: SkeinLogger;
  /** The supervisor: parent of every thread's actor. */
  readonly parent: AnyActorRef;
  /** Has the supervisor stop the actor: nobody else can. */
  readonly stop: (actor: AnyActorRef) => void;
  /** Starts a thread for a thread's own logic. */
  readonly startChild: (parent: ThreadId, config: ThreadConfig | undefined, signal: AbortSignal) => Promise<Thread>;
  /** Who answers a thread's turns. */
  readonly modelFor: (config: ResolvedThreadConfig) => ModelClient;
  /** How many tokens a model's context holds; null when it has no bound. */
  readonly contextWindow: (model: string, provider: string) => number | null;
  readonly turnSlots: RankedSlots;
  readonly budgets: Budgeting;
  /** The house's turn, for threads whose own logic begins one. */
  readonly turnLogic: typeof turnMachine;
  readonly histories: HistoryCache;
  readonly pasts: SharedPasts;
  readonly approvals: ApprovalBoard;
  readonly agents: Agents;
  readonly messages: MessageDesk;
  /** What commands inherit, secrets left out. */
  readonly commandEnvironment: ProcessEnvironment;
  readonly mcp: McpPool;
  readonly skills: SkillsManager;
  /** The models on offer at a provider. */
  readonly listModels: (provider: string) => Promise<readonly ModelPreset[]>;
  /** How many events of a thread stay in memory for replay. */
  readonly eventCapacity: number;
  /** How many ops may wait in a thread. */
  readonly mailboxCapacity: number;
  /** How long a caller without a signal or deadline waits for room there, in milliseconds. */
  readonly roomDeadlineMs: number;
  /** Every event of every thread, for the manager's own observers. */
  readonly onEvent: (event: ThreadEvent) => void;
};
