/**
 * The ModelClient port: one streaming answer of a model. Events follow the Responses API as Codex reads it (SPEC 18);
 * a client of another API translates into them.
 */
import type { ToolSpec } from "../protocol/function-tool.ts";
import type { ThreadId, TurnId } from "../protocol/ids.ts";
import type { ResponseItem } from "../protocol/response-item.ts";
import type { RateLimitSnapshot, TokenUsage } from "../protocol/token-usage.ts";

/** Tools under a name of their own, as the Responses API knows them; a call of one names both. */
export type ToolNamespace = {
  readonly type: "namespace";
  readonly name: string;
  readonly description: string;
  readonly tools: readonly ToolSpec[];
};

/** One request to a model: the whole conversation, the tools, and how to answer. It is shared, so it must not be changed. */
export type ModelRequest = {
  readonly threadId: ThreadId;
  readonly turnId: TurnId;
  readonly model: string;
  readonly instructions: string;
  /** The whole conversation, oldest first; every call in it has its output. Not to be changed. */
  readonly input: readonly ResponseItem[];
  readonly tools: readonly (ToolSpec | ToolNamespace)[];
  readonly parallelToolCalls: boolean;
  readonly reasoning: { readonly effort: string | null; readonly summary: string | null };
  /** How long the answer is to be: `low`, `medium`, `high`. */
  readonly verbosity?: string;
  /** What the provider is asked to serve the request as. */
  readonly serviceTier?: string;
  /** A JSON Schema that the final message must fit. */
  readonly outputSchema?: unknown;
  /** The kind of agent that asks, where it is a sub-agent: `collab_spawn` for one that another agent has started, `review` for a reviewer. */
  readonly subagent?: string;
};

/**
 * What a model's answer brings, in order: `created`, then items (each `item_added`, its deltas, `item_done`), then `completed`,
 * which ends it. Deltas are text; `summaryIndex` and `contentIndex` count from 0.
 */
export type ModelEvent =
  | { type: "created"; responseId?: string }
  | { type: "rate_limits"; snapshot: RateLimitSnapshot }
  | { type: "item_added"; item: ResponseItem }
  | { type: "text_delta"; delta: string; itemId?: string }
  | { type: "reasoning_summary_part"; summaryIndex: number; itemId?: string }
  | { type: "reasoning_summary_delta"; delta: string; summaryIndex: number; itemId?: string }
  | { type: "reasoning_text_delta"; delta: string; contentIndex: number; itemId?: string }
  | { type: "item_done"; item: ResponseItem }
  | { type: "completed"; responseId?: string; usage?: TokenUsage };

/**
 * A model service: the port that every client implements (`responsesClient`, `chatClient`, `aiSdkClient`, `scriptedClient`, or
 * your own). One client serves any number of threads at the same time.
 */
export interface ModelClient {
  /** The name that session_configured gives as `model_provider_id`. */
  readonly providerId: string;
  /**
   * Asks the model once. The iterable ends after `completed`.
   * @throws ModelError; an iterable that ends without `completed` counts as a disconnected stream, and one that gives what is no
   *   ModelEvent ends the turn. Events of other kinds are passed over.
   * On abort the connection is closed at once and the iterable rejects with the signal's reason.
   */
  stream(request: ModelRequest, options: { signal: AbortSignal }): AsyncIterable<ModelEvent>;
  /** Frees connections. Called by the client's owner. */
  close?(): Promise<void>;
}
