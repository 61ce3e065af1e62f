/** What of turns, models, tools and approvals can be watched (docs/observing.md). Objects in the facts are shared: not to be changed. */
import { Notice, type TracedWork, Tracing } from "../kernel/traced-work.ts";
import type { ModelRequest } from "../model/model-client.ts";
import type { TaskCompleteEvent, TurnAbortedEvent } from "../protocol/event.ts";
import type { SubmissionId, ThreadId, TurnId } from "../protocol/ids.ts";
import type { ReviewDecision } from "../protocol/policy.ts";
import type { ContentItem, ResponseItem } from "../protocol/response-item.ts";
import type { TokenUsage } from "../protocol/token-usage.ts";

/** One turn in one life of its thread, from `task_started` or `turn_resumed` to its end, whatever the logic. */
export type TurnTrace = TracedWork & {
  readonly threadId: ThreadId;
  readonly turnId: string;
  /** The submission that it answers. */
  readonly submissionId: SubmissionId;
  readonly epoch: number;
  readonly model: string;
  readonly provider: string;
  /** How it ended; unset until then, and where the life of its thread ended before. */
  outcome?: TaskCompleteEvent | TurnAbortedEvent;
};

/** One request to a model, and its answer. */
export type ModelTrace = TracedWork & {
  readonly threadId: ThreadId;
  readonly turnId: TurnId;
  readonly provider: string;
  readonly request: ModelRequest;
  responseId?: string;
  usage?: TokenUsage;
  /** Milliseconds from the request to the first word of the answer. */
  firstWordMs?: number;
  /** The finished items of the answer so far. */
  readonly output: ResponseItem[];
};

/** One call of a tool. */
export type ToolTrace = TracedWork & {
  readonly threadId: ThreadId;
  readonly turnId: TurnId;
  readonly callId: string;
  readonly name: string;
  readonly namespace: string | undefined;
  /** As the model wrote them. */
  readonly arguments: string;
  /** What the model gets; unset until then. */
  output?: string | ContentItem[];
};

/** A call that waits for somebody's approval. */
export type ApprovalTrace = TracedWork & {
  readonly threadId: ThreadId;
  readonly turnId: TurnId;
  readonly callId: string;
  readonly kind: "exec_approval_request" | "apply_patch_approval_request";
  decision?: ReviewDecision;
};

/** A turn waits for a place among the running ones (`limits.runningTurns`). */
export type SlotTrace = TracedWork & {
  readonly threadId: ThreadId;
  /** `again`: it had lent its place while it waited for other threads. */
  readonly kind: "first" | "again";
};

/** A submission was given to its thread; told in the caller's own context. */
export type SubmitNotice = {
  readonly scope: object;
  readonly threadId: ThreadId;
  readonly submissionId: SubmissionId;
  /** The op's type. */
  readonly type: string;
};

/** A call is about to go to an MCP server. What a subscriber puts into `meta` goes along as the request's `_meta`. */
export type McpRequestNotice = {
  readonly scope: object;
  readonly threadId: ThreadId;
  readonly turnId: TurnId;
  readonly callId: string;
  readonly server: string;
  readonly tool: string;
  readonly meta: Record<string, unknown>;
};

export const turnTracing = new Tracing<TurnTrace>("skein:turn");
export const modelTracing = new Tracing<ModelTrace>("skein:model-request");
export const toolTracing = new Tracing<ToolTrace>("skein:tool");
export const approvalTracing = new Tracing<ApprovalTrace>("skein:approval");
export const slotTracing = new Tracing<SlotTrace>("skein:slot");
export const submitNotice = new Notice<SubmitNotice>("skein:submit");
export const mcpRequestNotice = new Notice<McpRequestNotice>("skein:mcp-request");
