/**
 * What v1's listeners are told of a thread, in 0.87's words and order: each event as it is, then the notifications that
 * 0.87 derived of it. Those tell nothing of a thread's status, nor that a turn has begun: the events say so.
 */
import type { EventMsg, ThreadEvent, TokenCountEvent } from "../../protocol/event.ts";
import { toSubmissionId } from "../../protocol/ids.ts";
import { rateLimitsToV2, type Told, usageToV2 } from "../v2/map-events.ts";

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
const UNSAID: ReadonlySet<string> = new Set(["session_configured", "thread_settings_applied", "lagged"]);

export const isKnownToV1 = ({ method, params }: Told): boolean =>
  KNOWN.has(method) && (!isObject(params.item) || KNOWN_ITEMS.has(params.item.type));

export const rawEvent = (conversationId: string, { id, msg }: Pick<ThreadEvent, "id" | "msg">): Told => ({
  method: `codex/event/${msg.type}`,
  params: { id, msg, conversationId },
});

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

  /** @param said what v2's clients are told of the event, and the turn that it belongs to */
  speak(event: ThreadEvent, said: { told: readonly Told[]; turnId: string }): Spoken {
    const { msg } = event;
    const own = msg.type === "token_count" ? this.#tokens(msg, said.turnId) : said.told.filter(isKnownToV1);
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
