/**
 * Compaction (SPEC 5.4, 6.3): the model sums the conversation up, and the history goes on from the context, the newest
 * user messages and the summary. Its line holds all of that, as Codex has it since 0.169: so it is read without the lines before it, and
 * a rollback to before it finds what was there.
 */
import { yieldToLoop } from "../kernel/yield-to-loop.ts";
import type { ModelRequest } from "../model/model-client.ts";
import { closedEarly } from "../model/model-failure.ts";
import { InternalDefect } from "../protocol/errors.ts";
import { newItemId } from "../protocol/ids.ts";
import { ModelError } from "../protocol/model-error.ts";
import { type ResponseItem, textOf, userMessage } from "../protocol/response-item.ts";
import { addUsage, type TokenUsage, type TokenUsageInfo, zeroUsage } from "../protocol/token-usage.ts";
import type { TurnItem } from "../protocol/turn-item.ts";
import { publishItemEnd, publishItemStart } from "./announcement.ts";
import { askModel } from "./ask-model.ts";
import { askedOf } from "./asked-model.ts";
import { contextWindowOf } from "./context-window.ts";
import { callOf, outputFor } from "./history.ts";
import { initialContext } from "./initial-context.ts";
import { logRequest } from "./request-log.ts";
import { recordTurnContext } from "./turn-context.ts";
import type { TurnHost } from "./turn-host.ts";
import type { TurnRun } from "./turn-run.ts";

const PROMPT = [
  "The conversation is about to be shortened: write the handover that the next model will work from.",
  "Say what was asked, what has been done and decided, what was learnt (paths, names, constraints, preferences),",
  "and what is left to do next. Be brief and exact; leave out what no longer matters.",
].join("\n");

/** Opens every summary, so that a reader of the history knows what it is. */
export const SUMMARY_PREFIX =
  "The earlier part of this conversation was summed up to make room. Take what follows as what is known, and go on from it:";

/** As 0.80 and 0.87 warn; 0.169 does not any more, nor does the app-server in its v2. */
export const LONG_THREAD_WARNING =
  "Long threads and repeated compaction can make the model less accurate. Start a new thread when you can, to keep threads short and focused.";

/** The share of the context window that may fill up where no limit is set. */
const DEFAULT_LIMIT_SHARE = 0.9;

/** Whether the last answer filled the context so far that the next request needs room first. */
export function needsCompaction(host: TurnHost, { config }: TurnRun): boolean {
  const limit = config.modelAutoCompactTokenLimit;
  const window = contextWindowOf(host, config);
  const most = limit ?? (window === null ? Number.POSITIVE_INFINITY : window * DEFAULT_LIMIT_SHARE);
  return (host.session.usage?.last_token_usage.total_tokens ?? 0) >= most;
}

/** Sums up and goes on from the summary. @throws ModelError; or the reason of the turn's abort */
export async function compact(host: TurnHost, run: TurnRun): Promise<void> {
  const { history } = host;
  if (history === undefined) throw new InternalDefect("a history was to be compacted before it was loaded");
  const item: TurnItem = run.compaction ?? { type: "ContextCompaction", id: newItemId() };
  if (run.compaction === undefined) {
    run.noteCompaction(item);
    publishItemStart(host, run, item);
  }
  recordTurnContext(host, run);
  const prompt = userMessage(run.config.compactPrompt ?? PROMPT);
  const summary = await summaryOf(host, run, history.forModel(), prompt);
  const message = `${SUMMARY_PREFIX}\n${summary}`;
  history.replaceWith(history.compacted(message, initialContext(run.config)), message);
  host.session.noteTold(run.config);
  host.record({ type: "compacted", payload: { message, replacement_history: [...history.forModel()] } });
  recordTurnContext(host, run);
  host.session.noteUsage(estimatedUsage(host, history.estimatedTokens));
  tellUsage(host, run);
  publishItemEnd(host, run, item);
  run.noteCompaction(undefined);
  host.publish(run.id, { type: "warning", message: LONG_THREAD_WARNING });
}

/**
 * The summary of as much as the model takes: what it refuses as too long loses its oldest quarter and is asked for again, since a
 * thread that cannot be summed up could never go on.
 */
async function summaryOf(
  host: TurnHost,
  run: TurnRun,
  items: readonly ResponseItem[],
  prompt: ResponseItem,
): Promise<string> {
  for (let rest = items; ; ) {
    try {
      return await askForSummary(host, run, [...rest, prompt]);
    } catch (error) {
      const isTooLong = error instanceof ModelError && error.info === "context_window_exceeded";
      rest = withoutOldest(rest);
      if (!isTooLong || rest.length === 0) throw error;
    }
  }
}

/** Without the outputs, too, whose calls are gone. */
function withoutOldest(items: readonly ResponseItem[]): readonly ResponseItem[] {
  const rest = items.slice(Math.ceil(items.length / 4));
  const calls = new Set(rest.map(callOf));
  return rest.filter((item) => {
    const call = outputFor(item);
    return call === undefined || calls.has(call);
  });
}

async function askForSummary(host: TurnHost, run: TurnRun, input: ModelRequest["input"]): Promise<string> {
  const { config } = run;
  const request: ModelRequest = {
    threadId: host.threadId,
    turnId: run.turnId,
    ...askedOf(config),
    input,
    tools: [],
    parallelToolCalls: false,
  };
  let summary = "";
  using _ = logRequest(host, request);
  for await (const event of askModel(host, run, request, run.signal)) {
    const turning = yieldToLoop();
    if (turning !== undefined) await turning;
    run.signal.throwIfAborted();
    if (event.type === "rate_limits") {
      host.session.noteRateLimits(event.snapshot);
      tellUsage(host, run);
    }
    if (event.type === "item_done" && event.item.type === "message") summary = textOf(event.item);
    if (event.type !== "completed") continue;
    countUsage(host, run, event.usage);
    return summary;
  }
  run.signal.throwIfAborted();
  throw closedEarly();
}

/** Adds one response's tokens to the thread's total, and tells. */
export function countUsage(host: TurnHost, run: TurnRun, usage: TokenUsage | undefined): void {
  if (usage === undefined) return;
  host.session.noteUsage({
    total_token_usage: addUsage(host.session.usage?.total_token_usage ?? zeroUsage, usage),
    last_token_usage: usage,
    model_context_window: contextWindowOf(host, run.config),
  });
  run.countUsage(usage);
  tellUsage(host, run);
}

/** The model has refused a request as too long: the context counts as full, whatever was counted before, so that the next turn makes room first. */
export function countAsFull(host: TurnHost, run: TurnRun): void {
  const window = contextWindowOf(host, run.config);
  if (window === null) return;
  const full = { ...zeroUsage, total_tokens: window };
  host.session.noteUsage({ total_token_usage: full, last_token_usage: full, model_context_window: window });
  tellUsage(host, run);
}

const tellUsage = (host: TurnHost, run: TurnRun): void =>
  host.publish(run.id, {
    type: "token_count",
    info: host.session.usage ?? null,
    rate_limits: host.session.rateLimits ?? null,
  });

/** What is known of the tokens in use when no response has told: the total stays, the last is estimated. */
export const estimatedUsage = (
  host: Pick<TurnHost, "session" | "config" | "contextWindow">,
  tokens: number,
): TokenUsageInfo => ({
  total_token_usage: host.session.usage?.total_token_usage ?? zeroUsage,
  last_token_usage: { ...zeroUsage, total_tokens: tokens },
  model_context_window: contextWindowOf(host, host.config),
});
