/** What one session is: its settings, what its model knows of them, what it has used, and what it has come to. */
import type { AgentStatus } from "../protocol/agent-status.ts";
import type { EventMsg, TaskStartedEvent } from "../protocol/event.ts";
import type { SubmissionId } from "../protocol/ids.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";
import type { RateLimitSnapshot, TokenUsageInfo } from "../protocol/token-usage.ts";
import { agentStatusAfter } from "../turn/agent-status-after.ts";
import type { Told } from "../turn/initial-context.ts";

/** How a turn began that has not ended, as told by the events. */
export type OpenTurn = { readonly id: SubmissionId; readonly msg: TaskStartedEvent };

/** What stored lines say of a session. */
export type Recorded = { readonly usage: TokenUsageInfo | undefined; readonly told: Told | undefined };

/** Nobody writes its fields but these methods. */
export class Session {
  #config: ResolvedThreadConfig;
  #told: Told | undefined;
  #usage: TokenUsageInfo | undefined;
  #rateLimits: RateLimitSnapshot | undefined;
  #status: AgentStatus = "pending_init";
  /** What the last turn failed by, which the status does not say once that turn is complete. */
  #lastError: string | undefined;
  #openTurn: OpenTurn | undefined;

  constructor(config: ResolvedThreadConfig) {
    this.#config = config;
  }

  get config(): ResolvedThreadConfig {
    return this.#config;
  }

  /** The settings that the model last received; undefined when it is still to be read from the history. */
  get told(): Told | undefined {
    return this.#told;
  }

  get usage(): TokenUsageInfo | undefined {
    return this.#usage;
  }

  get rateLimits(): RateLimitSnapshot | undefined {
    return this.#rateLimits;
  }

  get status(): AgentStatus {
    return this.#status;
  }

  /** As {@link status}, for the thread's parent: a turn that failed is told as failed. */
  get outcome(): AgentStatus {
    const status = this.#status;
    const isDone = typeof status === "object" && "completed" in status;
    return isDone && this.#lastError !== undefined ? { errored: this.#lastError } : status;
  }

  get openTurn(): OpenTurn | undefined {
    return this.#openTurn;
  }

  /** The next turns run with these settings. */
  configure(config: ResolvedThreadConfig): void {
    this.#config = config;
  }

  noteTold(told: Told | undefined): void {
    this.#told = told;
  }

  noteUsage(usage: TokenUsageInfo): void {
    this.#usage = usage;
  }

  noteRateLimits(rateLimits: RateLimitSnapshot): void {
    this.#rateLimits = rateLimits;
  }

  /** What this life does not know better. */
  recall({ usage, told }: Recorded): void {
    this.#usage ??= usage;
    this.#told ??= told;
  }

  /** An event of the thread's own. @returns whether a turn has ended by it */
  hear(id: SubmissionId, msg: EventMsg): boolean {
    this.#status = agentStatusAfter(this.#status, msg);
    switch (msg.type) {
      case "task_started":
        this.#openTurn = { id, msg };
        this.#lastError = undefined;
        return false;
      case "turn_resumed":
        this.#openTurn = { id, msg: { ...msg, type: "task_started" } };
        this.#lastError = undefined;
        return false;
      case "task_complete":
        this.#lastError = msg.error?.message;
        this.#openTurn = undefined;
        return true;
      case "turn_aborted":
        this.#openTurn = undefined;
        return true;
      default:
        return false;
    }
  }

  /** What the thread came to, where no event says it: in an earlier life, or by the end of this one. */
  cameTo(status: AgentStatus): void {
    this.#status = status;
  }
}
