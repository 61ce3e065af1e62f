import type { SkeinLogger } from "../kernel/log.ts";
import type { Release } from "../kernel/slots.ts";
import type { ModelClient, ModelRequest } from "../model/model-client.ts";
import type { ProcessEnvironment } from "../process/clean-environment.ts";
import type { SubmissionId, ThreadId } from "../protocol/ids.ts";
import type { HistoryMode, RolloutItem } from "../protocol/rollout.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";
import type { RateLimitSnapshot, TokenUsageInfo } from "../protocol/token-usage.ts";
import type { UserInput } from "../protocol/user-input.ts";
import type { SkillInjection } from "../services/skills-manager.ts";
import type { Inbox } from "./inbox.ts";
import type { Told } from "./initial-context.ts";
import type { Reservation } from "./spending.ts";
import type { ToolSet } from "./tool-set.ts";
import type { CallHost } from "./tools/call-host.ts";
import type { TurnRun } from "./turn-run.ts";

/** What the session is, beside its settings. */
interface TurnSession {
  /** The settings that the model last received; undefined when it is still to be read from the history. */
  readonly told: Told | undefined;
  noteTold(told: Told): void;
  readonly usage: TokenUsageInfo | undefined;
  noteUsage(usage: TokenUsageInfo): void;
  /** The account's limits in the last response. */
  readonly rateLimits: RateLimitSnapshot | undefined;
  noteRateLimits(rateLimits: RateLimitSnapshot): void;
}

/** The history in memory. */
interface TurnHistory {
  /** Whether the history holds nothing yet, so that the initial context is still to be recorded. */
  readonly isFresh: boolean;
  /** Loads and repairs the history, unless it is in memory (T6): then there is nothing to wait for. */
  open(signal: AbortSignal): Promise<void> | undefined;
}

/** What was submitted to the thread. */
interface TurnIntake {
  readonly inbox: Inbox;
  /** What a submission gave is in the history, or will never be. */
  noteTaken(id: SubmissionId): void;
  /** The turn's end is about to be stored. */
  noteEnding(): void;
}

/** What was published and recorded so far is stored. */
interface TurnStorage {
  /** @throws StoreIoError */
  flush(): Promise<void>;
  /** As {@link flush}, and on the disk, where the store's policy says so. */
  sync(): Promise<void>;
  /** As {@link sync}, tried again for a while; where that is in vain, the thread ends, and with it the turn. */
  syncOrEnd(): Promise<void>;
}

interface TurnTools {
  /** The tools of the next request. */
  readonly current: ToolSet;
  /** Connects what offers further tools, where the settings name any. @throws the signal's reason */
  open(mcpServers: ResolvedThreadConfig["mcpServers"], signal: AbortSignal): Promise<void> | undefined;
}

/** What one turn needs of its thread, and all that it may touch. */
export interface TurnHost extends CallHost {
  /** Whose words the rollout is written in. */
  readonly historyMode: HistoryMode;
  readonly model: ModelClient;
  readonly logger: SkeinLogger;
  /** Of what all threads share, that which tools may need: the other threads, and what commands inherit. */
  readonly env: CallHost["env"] & { readonly commandEnvironment: ProcessEnvironment };
  /** The settings that the next turns run with; replaced, never changed in place. */
  readonly config: ResolvedThreadConfig;
  readonly session: TurnSession;
  readonly past: TurnHistory;
  readonly intake: TurnIntake;
  readonly storage: TurnStorage;
  readonly tools: TurnTools;
  /** How many tokens a model's context holds; null when it has no bound. */
  contextWindow(model: string, provider: string): number | null;
  /** The running turn; at most one. */
  readonly turn: TurnRun | undefined;
  readonly life: { beginTurn(run: TurnRun): void; endTurn(): void };

  /** Stores an item that is no event, by the same door. */
  record(item: RolloutItem): void;
  /** What the skills become that an input calls for (SPEC 15.4 and 24). */
  skillsFor(items: readonly UserInput[]): Promise<SkillInjection>;
  /** Room in the budgets for one request; undefined where none is in force. @throws BudgetExceededError */
  reserveRequest(run: TurnRun, request: ModelRequest): Promise<Reservation | undefined> | undefined;
  /** A place among the manager's running turns; in order of asking. */
  reserveTurn(signal: AbortSignal): Release | Promise<Release>;
  /** The same for a turn that had one, and lent it to others while it waited for them. */
  returnTurn(signal: AbortSignal): Release | Promise<Release>;
  /** While its turn waits for another thread, that one is as urgent as it is; until that is taken back. */
  lendRank(target: ThreadId): () => void;
  /** From the turn's last look at the inbox on, later input starts the next turn (T5). */
  closeInput(run: TurnRun): void;
}
