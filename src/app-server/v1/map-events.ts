/**
 * What v1's listeners hear of a thread, in 0.87's words and order: each event as it is, then the notifications that
 * 0.87 derived of it. Those tell nothing of a thread's status, nor that a turn has begun: the events say so.
 */
import type { EventMsg, ThreadEvent, TokenCountEvent } from "../../protocol/event.ts";
import { toSubmissionId } from "../../protocol/ids.ts";
import type { CodexErrorInfo } from "../../protocol/model-error.ts";
import { rateLimitsToV2 } from "../v2/map-events.ts";
import { camel } from "../v2/settings.ts";
import { usageToV2 } from "../v2/usage.ts";
import type { Told, V2TurnError } from "../v2/wire-types.ts";

/** 0.87's notifications; later ones are not for its clients. */
const KNOWN: ReadonlySet<string> = new Set([
  ...["item/started", "item/completed", "item/agentMessage/delta", "item/reasoning/summaryTextDelta"],
  ...["item/reasoning/summaryPartAdded", "item/reasoning/textDelta", "item/commandExecution/outputDelta"],
  ...["item/commandExecution/terminalInteraction", "item/fileChange/outputDelta", "item/mcpToolCall/progress"],
  ...["error", "turn/completed", "thread/compacted", "deprecationNotice"],
]);
const KNOWN_ITEMS: ReadonlySet<unknown> = new Set([
  ...[
    "userMessage",
    "agentMessage",
    "reasoning",
    "commandExecution",
    "fileChange",
    "mcpToolCall",
    "collabAgentToolCall",
  ],
  ...["webSearch", "imageView", "enteredReviewMode", "exitedReviewMode"],
]);
/** The items that 0.87's core tells of as items. Of all others it has events of their own. */
const ITEMS: ReadonlySet<string> = new Set(["UserMessage", "AgentMessage", "Reasoning", "WebSearch"]);
/** Events of later cores, ours among them, and the first one, which 0.87 keeps to itself. */
const UNSAID: ReadonlySet<string> = new Set([
  "session_configured",
  "thread_settings_applied",
  "turn_resumed",
  "lagged",
]);

/** What its clients cannot read a failure with: the names that came later. They read an unknown one as a broken message. */
const LATER_FAILURES: ReadonlySet<unknown> = new Set(
  (
    [
      ...(["rate_limit_exceeded", "server_overloaded", "model_not_found", "cyber_policy", "bio_policy"] as const),
      ...(["misalignment_policy_violation", "inference_hook_denied"] as const),
      ...(["flex_unavailable", "policy_capacity_unavailable"] as const),
    ] satisfies CodexErrorInfo[]
  ).flatMap((name) => [name, camel(name)]),
);
/** Our own, which no version of Codex has. */
const OWN_FAILURES: ReadonlySet<unknown> = new Set(["lease_lost", "store_failed", "turn_given_up"]);

/** Those that 0.87 has, of what v2's clients are told. */
export const toldToV1 = (told: readonly Told[]): Told[] => told.filter(isKnown).map(withKnownFailure);

const isKnown = ({ method, params }: Told): boolean =>
  KNOWN.has(method) && (!isObject(params.item) || KNOWN_ITEMS.has(params.item.type));

function withKnownFailure(told: Told): Told {
  const { params } = told;
  const turn = params.turn as { readonly error?: V2TurnError | null } | undefined;
  const error = (params.error ?? turn?.error) as V2TurnError | null | undefined;
  if (!LATER_FAILURES.has(error?.codexErrorInfo)) return told;
  const known = { ...error, codexErrorInfo: "other" };
  return {
    ...told,
    params: { ...params, ...(turn === undefined ? { error: known } : { turn: { ...turn, error: known } }) },
  };
}

const rawEvent = (conversationId: string, { id, msg }: Pick<ThreadEvent, "id" | "msg">): Told => ({
  method: `codex/event/${msg.type}`,
  params: { id, msg: readable(msg), conversationId },
});

function readable(msg: EventMsg): EventMsg {
  if (msg.type !== "error" && msg.type !== "stream_error") return msg;
  const info = msg.codex_error_info;
  return LATER_FAILURES.has(info) || OWN_FAILURES.has(info) ? { ...msg, codex_error_info: "other" } : msg;
}

export type Spoken = {
  /** undefined: 0.87 has no such event. */
  readonly event: Told | undefined;
  readonly derived: readonly Told[];
};

export class V1Voice {
  readonly #conversationId: string;
  /** What was told of an item that 0.87's core has no item of: it belongs to the event that comes next. */
  #late: Told[] = [];

  constructor(conversationId: string) {
    this.#conversationId = conversationId;
  }

  /** @param said what v2's clients receive for the event, and the turn that it belongs to */
  speak(event: ThreadEvent, said: { told: readonly Told[]; turnId: string }): Spoken {
    const { msg } = event;
    const own = msg.type === "token_count" ? this.#tokens(msg, said.turnId) : toldToV1(said.told);
    if (isLaterItem(msg)) {
      this.#late.push(...own);
      return { event: undefined, derived: [] };
    }
    const derived = [...this.#late, ...own];
    this.#late = [];
    return { event: UNSAID.has(msg.type) ? undefined : rawEvent(this.#conversationId, event), derived };
  }

  /** 0.87 passes on every report, also one that repeats the last one or has no limits in it. */
  #tokens({ info, rate_limits }: TokenCountEvent, turnId: string): Told[] {
    const told: Told[] = [];
    if (info) {
      const params = { threadId: this.#conversationId, turnId, tokenUsage: usageToV2(info) };
      told.push({ method: "thread/tokenUsage/updated", params });
    }
    if (rate_limits)
      told.push({ method: "account/rateLimits/updated", params: { rateLimits: rateLimitsToV2(rate_limits) } });
    return told;
  }
}

/** What 0.87 says of every thread soon after its start; with servers, the core says it. */
export const noMcpServers = (conversationId: string): Told =>
  rawEvent(conversationId, {
    id: toSubmissionId(""),
    msg: { type: "mcp_startup_complete", ready: [], failed: [], cancelled: [] },
  });

const isObject = (value: unknown): value is { readonly type?: unknown } => typeof value === "object" && value !== null;

const isLaterItem = (msg: EventMsg): boolean =>
  (msg.type === "item_started" || msg.type === "item_completed") && !ITEMS.has(msg.item.type);
