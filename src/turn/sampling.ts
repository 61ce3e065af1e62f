/** One model request of a turn: the context goes out, and what streams back becomes events and history (SPEC 4.2). */
import type { SampleOutcome } from "../../machines/turn.machine.ts";
import { yieldToLoop } from "../kernel/yield-to-loop.ts";
import type { ModelEvent, ModelRequest } from "../model/model-client.ts";
import { closedEarly } from "../model/model-failure.ts";
import { InternalDefect } from "../protocol/errors.ts";
import { newItemId } from "../protocol/ids.ts";
import { legacyEventsOf } from "../protocol/legacy-events.ts";
import { ModelError } from "../protocol/model-error.ts";
import type { ResponseItem } from "../protocol/response-item.ts";
import { agentMessageText, isAnswer, type TurnItem } from "../protocol/turn-item.ts";
import { recordInput, recordItem, recordJoinedInput } from "./announcement.ts";
import { emptyTurnItem, isShown, wholeTurnItem } from "./answer-turn-items.ts";
import { askModel } from "./ask-model.ts";
import { askedOf } from "./asked-model.ts";
import { compact, countUsage, needsCompaction } from "./compaction.ts";
import type { History } from "./history.ts";
import { PlanMessage } from "./plan-message.ts";
import { logRequest } from "./request-log.ts";
import { takeUpCalls } from "./resumed-turn.ts";
import { runReview } from "./review/review.ts";
import { noteTask } from "./task-notes.ts";
import { finishCalls, startCall } from "./tool-calls.ts";
import { recordTurnContext } from "./turn-context.ts";
import type { TurnHost } from "./turn-host.ts";
import type { TurnRun } from "./turn-run.ts";
import { runOwnShell } from "./user-shell.ts";

/**
 * Asks the model once, and starts the calls that it makes while it still streams. Input that joins the turn cuts the
 * answer: its finished items stay, the calls that it made go on, an unfinished item is dropped. A compaction is not cut.
 *
 * @throws ModelError; or the reason of the turn's abort.
 */
export async function sample(host: TurnHost, run: TurnRun): Promise<SampleOutcome> {
  await yieldToLoop();
  await run.takeBack();
  const opening = run.kind === "user_shell" ? undefined : host.past.open(run.signal);
  if (opening !== undefined) await opening;
  if (run.kind === "user_shell") {
    await runOwnShell(host, run);
    return { calls: 0, pendingInput: false };
  }
  const isAnswered = run.resumed?.isAnswered === true;
  if (takeUpCalls(host, run)) return { calls: run.calls.length, pendingInput: false };
  if (isAnswered && !host.intake.inbox.hasInput(run.id)) return { calls: 0, pendingInput: false };
  if (run.kind === "review" || run.kind === "compact") {
    await (run.kind === "review" ? runReview(host, run) : compact(host, run));
    noteTask(host, run, { answered: true });
    return { calls: 0, pendingInput: false };
  }
  if (needsCompaction(host, run)) await compact(host, run);
  await recordInput(host, run);
  await recordJoinedInput(host, run);
  run.signal.throwIfAborted();
  if (!host.intake.inbox.hasInput(run.id)) {
    recordTurnContext(host, run);
    await takeAnswer(host, run);
  }
  const pendingInput = host.intake.inbox.hasInput(run.id);
  if (run.calls.length === 0 && !pendingInput) noteTask(host, run, { answered: true });
  return { calls: run.calls.length, pendingInput };
}

/** Resolves when the answer is complete or cut. */
async function takeAnswer(host: TurnHost, run: TurnRun): Promise<void> {
  const { history } = host;
  if (history === undefined) throw new InternalDefect("the model was to be asked before the history was loaded");
  const signal = run.beginRequest();
  const answer = new Answer(host, run);
  const request = requestOf(host, run, history);
  using _ = logRequest(host, request);
  try {
    for await (const event of askModel(host, run, request, signal)) {
      if (signal.aborted) break;
      answer.take(event);
      // A stream that never really waits would keep the loop from turning, so that no deadline and no abort got through.
      const turning = yieldToLoop();
      if (turning !== undefined) await turning;
      if (answer.isComplete) break;
    }
  } catch (error) {
    if (!signal.aborted) await fail(host, run, error);
  } finally {
    run.endRequest();
  }
  run.signal.throwIfAborted();
  if (!answer.isComplete && !signal.aborted) await fail(host, run, closedEarly());
}

/** What a broken answer has cost counts, and the calls that it has made are finished, before the turn asks again, or ends. */
async function fail(host: TurnHost, run: TurnRun, error: unknown): Promise<never> {
  if (error instanceof ModelError) countUsage(host, run, error.usage);
  await finishCalls(host, run);
  throw error;
}

function requestOf(host: TurnHost, run: TurnRun, history: History): ModelRequest {
  const { config } = run;
  const subagent = host.env.agents.kindOf(host.threadId);
  return {
    threadId: host.threadId,
    turnId: run.turnId,
    ...askedOf(config),
    input: history.forModel(),
    tools: host.tools.current.specs,
    parallelToolCalls: true,
    ...(run.outputSchema === undefined ? {} : { outputSchema: run.outputSchema }),
    ...(subagent === undefined ? {} : { subagent }),
  };
}

/** Turns the events of one answer into the thread's own. An item's deltas come between its start and its end. */
class Answer {
  readonly #host: TurnHost;
  readonly #run: TurnRun;
  readonly #place: { thread_id: TurnHost["threadId"]; turn_id: string };
  /** Items that were shown as begun: an answer may have several under way. */
  readonly #begun = new Set<string>();
  /** The one that streams now, for what names none. */
  #current: string | undefined;
  /** The message that streams now, in plan mode. */
  #planning: PlanMessage | undefined;
  isComplete = false;

  constructor(host: TurnHost, run: TurnRun) {
    this.#host = host;
    this.#run = run;
    this.#place = { thread_id: host.threadId, turn_id: run.turnId };
  }

  take(event: ModelEvent): void {
    switch (event.type) {
      case "created":
        return;
      case "rate_limits":
        this.#host.session.noteRateLimits(event.snapshot);
        this.#publish({ type: "token_count", info: this.#host.session.usage ?? null, rate_limits: event.snapshot });
        return;
      case "item_added":
        this.#start(event.item);
        return;
      case "text_delta":
        this.#textDelta(event.delta, event.itemId);
        return;
      case "reasoning_summary_part":
        this.#publish({
          type: "agent_reasoning_section_break",
          item_id: event.itemId ?? this.#current ?? "",
          summary_index: event.summaryIndex,
        });
        return;
      case "reasoning_summary_delta":
        this.#publish({
          type: "reasoning_content_delta",
          ...this.#place,
          item_id: event.itemId ?? this.#current ?? "",
          delta: event.delta,
          summary_index: event.summaryIndex,
        });
        this.#publish({ type: "agent_reasoning_delta", delta: event.delta });
        return;
      case "reasoning_text_delta":
        this.#rawReasoningDelta(event);
        return;
      case "item_done":
        this.#finish(event.item);
        return;
      case "completed":
        this.isComplete = true;
        countUsage(this.#host, this.#run, event.usage);
    }
  }

  /** A thread in the words of 0.87 knows no plans: there the message is shown as it came. */
  get #isPlanning(): boolean {
    return this.#run.config.collaborationMode?.mode === "plan" && this.#host.historyMode !== "legacy";
  }

  #publish(msg: Parameters<TurnHost["publish"]>[1]): void {
    this.#host.publish(this.#run.id, msg);
  }

  #start(item: ResponseItem): void {
    if (!isShown(item)) return;
    const id = item.id ?? newItemId();
    this.#current = id;
    this.#begun.add(id);
    if (item.type === "message" && this.#isPlanning) {
      const publish = (msg: Parameters<TurnHost["publish"]>[1]) => this.#publish(msg);
      this.#planning = new PlanMessage(item, { id, place: this.#place, publish });
      return;
    }
    this.#publish({ type: "item_started", ...this.#place, item: emptyTurnItem(item, id) });
    if (item.type === "web_search_call") this.#publish({ type: "web_search_begin", call_id: id });
  }

  #hasBegun(id: string | undefined): boolean {
    const named = id ?? this.#current;
    return named !== undefined && this.#begun.has(named);
  }

  #textDelta(delta: string, itemId: string | undefined): void {
    if (this.#run.firstTokenAt === undefined) this.#run.noteToken(this.#host.clock.now());
    if (!this.#hasBegun(itemId)) this.#start({ type: "message", role: "assistant", content: [], id: itemId });
    if (this.#planning !== undefined) {
      this.#planning.take(delta);
      return;
    }
    const item_id = itemId ?? this.#current ?? "";
    this.#publish({ type: "agent_message_content_delta", ...this.#place, item_id, delta });
    this.#publish({ type: "agent_message_delta", delta });
  }

  #rawReasoningDelta(event: Extract<ModelEvent, { type: "reasoning_text_delta" }>): void {
    if (!this.#run.config.showRawReasoning) return;
    this.#publish({
      type: "reasoning_raw_content_delta",
      ...this.#place,
      item_id: event.itemId ?? this.#current ?? "",
      delta: event.delta,
      content_index: event.contentIndex,
    });
    this.#publish({ type: "agent_reasoning_raw_content_delta", delta: event.delta });
  }

  #complete(whole: TurnItem): void {
    const { showRawReasoning } = this.#run.config;
    this.#publish({ type: "item_completed", ...this.#place, item: whole });
    for (const msg of legacyEventsOf(whole, { showRawReasoning })) this.#publish(msg);
    if (isAnswer(whole)) this.#run.noteMessage(agentMessageText(whole));
  }

  #finish(item: ResponseItem): void {
    if (isShown(item)) {
      if (!this.#hasBegun(item.id)) this.#start(item);
      const whole =
        this.#planning !== undefined && item.type === "message"
          ? this.#planning.finish(item)
          : wholeTurnItem(item, item.id ?? this.#current ?? newItemId());
      if (whole !== undefined) this.#complete(whole);
    }
    this.#current = undefined;
    if (item.type === "message") this.#planning = undefined;
    recordItem(this.#host, this.#run.id, item);
    startCall(this.#host, this.#run, item);
  }
}
