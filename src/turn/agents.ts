/** What a turn's tools may do with other threads (SPEC 14). The manager's floor has it done. */

import type { ModelPreset } from "../model/model-preset.ts";
import type { AgentRule, AgentStatus } from "../protocol/agent-status.ts";
import type { EventMsg } from "../protocol/event.ts";
import type { SubmissionId, ThreadId, TurnId } from "../protocol/ids.ts";
import type { CodexErrorInfo } from "../protocol/model-error.ts";
import type { ResponseItem } from "../protocol/response-item.ts";
import type { ResolvedThreadConfig, ThreadConfig } from "../protocol/thread-config.ts";
import type { UserInput } from "../protocol/user-input.ts";

/** What 0.169's agents live under: they count against these limits, have names, and their parent hears of their end. */
export type AgentTerms = {
  /** How many agents may be open under the root of the tree. */
  readonly maxThreads: number;
  /** How deep agents may start agents. */
  readonly maxDepth: number;
};

export type SpawnRequest = {
  readonly parent: ThreadId;
  /** The user's turn that the agent works for. */
  readonly rootTurn: TurnId;
  readonly config: ThreadConfig;
  readonly prompt: readonly UserInput[];
  /** What the agent knows of the conversation before it. */
  readonly history: readonly ResponseItem[];
  readonly role: string | null;
  /** undefined: none of them, as with 0.87. */
  readonly terms: AgentTerms | undefined;
  readonly signal: AbortSignal;
};

export type ResumeRequest = {
  readonly parent: ThreadId;
  readonly config: ThreadConfig;
  readonly terms: AgentTerms;
  readonly signal: AbortSignal;
};

export type ReviewerRequest = {
  /** Whose review it is: it pays for what the reviewer asks. */
  readonly threadId: ThreadId;
  readonly config: ThreadConfig;
  readonly prompt: string;
  /** Called with all that the reviewer says. */
  readonly onEvent: (msg: EventMsg) => void;
  readonly signal: AbortSignal;
};

/** What the reviewer's one turn came to. */
export type ReviewerResult = {
  readonly status: "completed" | "interrupted" | "failed";
  readonly lastAgentMessage: string | null;
  readonly error: { readonly message: string; readonly codex_error_info: CodexErrorInfo | null } | null;
};

/** All but the reading methods throw InvalidRequestError when there is no manager any more; waits reject with the signal's reason. */
export interface Agents {
  /** 0 for a user's thread. */
  depthOf(threadId: ThreadId): number;
  /** What a model's server is told that a thread is; undefined for a user's thread. */
  kindOf(threadId: ThreadId): "collab_spawn" | "review" | undefined;
  nicknameOf(threadId: ThreadId): string | null;
  /** `not_found` for a thread that is not open. */
  statusOf(threadId: ThreadId): Promise<AgentStatus>;
  modelsFor(config: ResolvedThreadConfig): Promise<readonly ModelPreset[]>;
  /** Makes a thread and gives it its task; on an error or an abort, nothing is left. @throws LimitReachedError */
  spawn(request: SpawnRequest): Promise<ThreadId>;
  /** @param id names the turn that the input starts, where it starts one @throws ThreadNotFoundError, ThreadClosedError */
  send(
    threadId: ThreadId,
    input: readonly UserInput[],
    options: { readonly rootTurn: TurnId; readonly id?: string },
  ): Promise<SubmissionId>;
  /** Resolves when the running turn has ended. @throws ThreadNotFoundError */
  interrupt(threadId: ThreadId, signal: AbortSignal): Promise<void>;
  /** The agents that are final once one of them is; none when time runs out first. */
  waitFor(
    ids: readonly ThreadId[],
    options: { readonly deadlineMs: number; readonly rule: AgentRule; readonly signal: AbortSignal },
  ): Promise<Readonly<Record<ThreadId, AgentStatus>>>;
  /** Ends the thread and the agents under it. @throws ThreadNotFoundError */
  close(threadId: ThreadId, signal: AbortSignal): Promise<void>;
  /** Runs one turn of a thread made for it, which is closed when this settles. Rejects with the signal's reason. */
  review(request: ReviewerRequest): Promise<ReviewerResult>;
  /** Opens a stored thread as an agent. @throws RolloutNotFoundError, LimitReachedError */
  resume(threadId: ThreadId, request: ResumeRequest): Promise<void>;
}
