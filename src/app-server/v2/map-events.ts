/**
 * A thread's events in v2's words (SPEC 11.8 and 13.4). Pure but for the memory of the running turn: no IO, no clock.
 *
 * - Each turn/started is followed by exactly one turn/completed, also when the thread's incarnation ended in between.
 * - status active precedes turn/started, and idle precedes turn/completed; after a failure the status is systemError.
 */
import type { EventMsg, TaskCompleteEvent, ThreadEvent, TurnAbortedEvent } from "../../protocol/event.ts";
import type { RateLimitSnapshot, TokenUsageInfo } from "../../protocol/token-usage.ts";
import { agentMessageText, type CommandExecutionTurnItem, isAnswer, type TurnItem } from "../../protocol/turn-item.ts";
import type { ActiveTurn } from "../../thread/thread.ts";
import { LONG_THREAD_WARNING } from "../../turn/compaction.ts";
import { itemToV2 } from "./items.ts";
import { camel, turnErrorOf } from "./settings.ts";
import { toolItemOf, toolNotification } from "./tool-items.ts";
import { LateUsage, usageToV2 } from "./usage.ts";
import type { Told, V2Item, V2Status, V2Turn, V2TurnError } from "./wire-types.ts";

export class EventMapper {
  readonly threadId: string;
  status: V2Status = { type: "idle" };
  turn: RunningTurn | undefined;
  #lastTokens: { readonly info: string; readonly limits: string | null } | undefined;
  /** A report that said nothing new, and is told only if its response ends without one that does. */
  #heldTokens: Told[] = [];
  /** Submissions whose reports of usage are told by nobody: a revert's answer says all. */
  readonly quiet = new Set<string>();
  #isCompacting = false;
  readonly #late = new LateUsage();
  /** Commands that may outlive their turn: which it was, and when they began. */
  readonly #commands = new Map<string, { readonly turnId: string; readonly startedAtMs: number }>();

  constructor(threadId: string) {
    this.threadId = threadId;
  }

  /** Takes a thread up as it is, with the turn that runs already. */
  adopt(status: V2Status, turn: ActiveTurn | undefined): void {
    this.status = status;
    if (turn === undefined) return;
    const { turnId, submissionId, startedAt } = turn;
    this.turn = runningTurn({ id: turnId, submission: submissionId, startedAt: Math.floor(startedAt / 1000) });
  }

  /** @param now Unix milliseconds */
  map(event: ThreadEvent, now: number): Told[] {
    const held = endsResponse(event.msg) ? [...this.#late.flush(), ...this.flushTokens()] : [];
    return [...held, ...this.#map(event, now), ...this.#late.after(event.msg)];
  }

  #map({ id, msg }: ThreadEvent, now: number): Told[] {
    switch (msg.type) {
      case "session_configured":
        this.#commands.clear();
        if (this.status.type === "notLoaded") this.status = { type: "idle" };
        // A turn that goes on has not ended.
        return msg.resumed_turn_id !== undefined && msg.resumed_turn_id === this.turn?.id ? [] : this.lost(now);
      case "task_started":
        return [...this.lost(now), ...this.#begin(turnOf(id, msg, now))];
      case "turn_resumed":
        if (this.turn !== undefined && this.turn.id === msg.turn_id) return [];
        return [...this.lost(now), ...this.#begin(turnOf(id, msg, now))];
      case "task_complete":
      case "turn_aborted":
        return this.endsTurn({ id, msg }) ? this.#end(id, msg, now) : [];
      case "item_started":
        return this.#itemStarted(msg.item, msg.turn_id, msg.started_at_ms ?? now);
      case "item_completed":
        return this.#itemCompleted(msg.item, msg.turn_id, msg.completed_at_ms ?? now);
      case "token_count":
        return this.#tokens(msg, id);
      case "error":
        return this.#error(msg, id);
      case "shutdown_complete":
        return this.setStatus({ type: "notLoaded" });
      default:
        return this.#simple(msg, id, now);
    }
  }

  /** A call that waits for an approval is shown, though it has not begun. */
  asked(body: { readonly type: string; readonly id: string }, now: number): Told[] {
    const { turn } = this;
    if (turn === undefined || turn.begun.has(body.id)) return [];
    turn.begun.set(body.id, now);
    if (body.type === "commandExecution") turn.unbegun.set(body.id, body);
    const item = { ...body, startedAtMs: now, completedAtMs: null };
    return [this.#told("item/started", { item, turnId: turn.id, startedAtMs: now })];
  }

  /** A command that was asked about will not run. */
  declined(callId: string, now: number): Told[] {
    const body = this.turn?.unbegun.get(callId);
    if (body === undefined || this.turn === undefined) return [];
    const { id: turnId, begun, unbegun } = this.turn;
    unbegun.delete(callId);
    const item = { ...body, status: "declined", startedAtMs: begun.get(callId) ?? now, completedAtMs: now };
    return [this.#told("item/completed", { item, turnId, contentTokenCount: null, completedAtMs: now })];
  }

  /** Input without content that comes while a turn runs is over at once, and its end is not that turn's. */
  endsTurn({ id, msg }: Pick<ThreadEvent, "id" | "msg">): boolean {
    if (msg.type !== "task_complete" && msg.type !== "turn_aborted") return false;
    return this.turn === undefined || this.turn.id === msg.turn_id || this.turn.submission === id;
  }

  /** The running turn will not be ended by its thread: it is told as interrupted. */
  lost(now: number): Told[] {
    if (this.turn === undefined) return [];
    return this.#end(this.turn.id, { type: "turn_aborted", reason: "interrupted" }, now);
  }

  setStatus(status: V2Status): Told[] {
    if (JSON.stringify(status) === JSON.stringify(this.status)) return [];
    this.status = status;
    return [this.#told("thread/status/changed", { status })];
  }

  #told(method: string, params: Record<string, unknown>): Told {
    if (method === "item/started") this.#open(params.item as V2Item, params.turnId);
    else if (method === "item/completed") this.turn?.open.delete((params.item as V2Item).id);
    return { method, params: { threadId: this.threadId, ...params } };
  }

  #open(item: V2Item, turnId: unknown): void {
    if (this.turn?.id === turnId) this.turn?.open.set(item.id, item);
  }

  #turnId(id: string): string {
    return this.turn?.id ?? id;
  }

  #begin(turn: RunningTurn): Told[] {
    this.turn = turn;
    const shown = { ...turnInProgress(turn.id, turn.startedAt), rootTurnId: turn.rootId };
    return [...this.setStatus({ type: "active", activeFlags: [] }), this.#told("turn/started", { turn: shown })];
  }

  #end(id: string, msg: TaskCompleteEvent | TurnAbortedEvent, now: number): Told[] {
    const begun = this.turn === undefined ? this.#begin(turnOf(id, { turn_id: msg.turn_id }, now)) : [];
    const running = this.turn ?? runningTurn({ id, submission: id, startedAt: null });
    this.turn = undefined;
    this.#isCompacting = false;
    const error =
      running.error ??
      (msg.type === "task_complete" && msg.error ? turnErrorOf(msg.error.message, msg.error.codex_error_info) : null);
    const failed = msg.type === "task_complete" && error !== null;
    // A message that came before the failure, or the interrupt, is no answer.
    const isWhole = msg.type === "task_complete" && !failed;
    const items = running.lastAgentMessage === undefined || !isWhole ? [] : [running.lastAgentMessage];
    const turn: V2Turn = {
      id: running.id,
      rootTurnId: running.rootId,
      items,
      itemsView: items.length === 0 ? "notLoaded" : "summary",
      status: msg.type === "turn_aborted" ? "interrupted" : failed ? "failed" : "completed",
      error: failed ? error : null,
      startedAt: running.startedAt,
      completedAt: msg.completed_at ?? Math.floor(now / 1000),
      durationMs: msg.duration_ms ?? null,
    };
    const status = failed ? this.setStatus({ type: "systemError" }) : this.setStatus({ type: "idle" });
    return [...begun, ...status, this.#told("turn/completed", { turn })];
  }

  #itemStarted(item: TurnItem, turnId: string, at: number): Told[] {
    const isShown = isCommand(item) && this.turn?.unbegun.delete(item.id) === true;
    if (!isShown) this.turn?.begun.set(itemId(item), at);
    if (isCommand(item)) this.#commands.set(item.id, { turnId, startedAtMs: this.turn?.begun.get(item.id) ?? at });
    if (item.type === "FileChange") this.turn?.fileChanges.add(itemId(item));
    if (item.type === "ContextCompaction") this.#isCompacting = true;
    const shown = itemToV2(item, { startedAtMs: at, completedAtMs: null });
    if (shown === undefined) return [];
    if (isShown) {
      this.#open(shown, turnId);
      return [];
    }
    return [this.#told("item/started", { item: shown, turnId, startedAtMs: at })];
  }

  #itemCompleted(item: TurnItem, turnId: string, at: number): Told[] {
    const startedAtMs = this.#commands.get(itemId(item))?.startedAtMs ?? this.turn?.begun.get(itemId(item)) ?? at;
    this.turn?.completed.add(itemId(item));
    if (isCommand(item)) this.#commands.set(item.id, { turnId, startedAtMs });
    if (item.type === "ContextCompaction") this.#isCompacting = false;
    const shown = itemToV2(item, { startedAtMs, completedAtMs: at });
    if (shown === undefined) return [];
    if (isAnswer(item) && agentMessageText(item).trim() !== "" && this.turn !== undefined)
      this.turn.lastAgentMessage = shown;
    return [this.#told("item/completed", { item: shown, turnId, contentTokenCount: null, completedAtMs: at })];
  }

  /** What a response has told at its beginning, if it ended before its usage was known. */
  flushTokens(): Told[] {
    const held = this.#heldTokens;
    this.#heldTokens = [];
    return held;
  }

  /**
   * One report a response: what only repeats the last one, as the snapshot of the response's headers does, is held back.
   * Of a compaction's response stock Codex tells both.
   */
  #tokens(msg: Extract<EventMsg, { type: "token_count" }>, id: string): Told[] {
    const told: Told[] = [];
    if (msg.info)
      told.push(this.#told("thread/tokenUsage/updated", { turnId: this.#turnId(id), tokenUsage: usageToV2(msg.info) }));
    if (msg.rate_limits)
      told.push({ method: "account/rateLimits/updated", params: { rateLimits: rateLimitsToV2(msg.rate_limits) } });
    const limits = meaningful(msg.rate_limits);
    const last = this.#lastTokens;
    const now = { info: JSON.stringify(msg.info ?? null), limits: limits && JSON.stringify(limits) };
    const isBaseline = last === undefined && this.turn?.hasOutput !== true && limits === null;
    const isOther = now.info !== last?.info || (now.limits !== null && now.limits !== last.limits);
    const isNew = this.#isCompacting || (isOther && !isBaseline);
    this.#lastTokens = now;
    if (this.quiet.delete(id)) return [];
    const held = isOfResponse(msg.info) ? [] : this.flushTokens();
    this.#heldTokens = isNew ? [] : told;
    return [...this.#late.hold(isNew ? [...held, ...told] : [])];
  }

  /** A refused rollback is told by its answer alone. An error outside a turn leaves the status as it is. */
  #error(msg: Extract<EventMsg, { type: "error" }>, id: string): Told[] {
    if (msg.codex_error_info === "thread_rollback_failed") return [];
    const error = turnErrorOf(msg.message, msg.codex_error_info);
    const told = this.#told("error", { error, willRetry: false, turnId: this.#turnId(id) });
    if (this.turn === undefined) return [told];
    this.turn.error = error;
    return [...this.setStatus({ type: "systemError" }), told];
  }

  #simple(msg: EventMsg, id: string, now: number): Told[] {
    const turnId = this.#turnId(id);
    switch (msg.type) {
      case "stream_error": {
        const error = turnErrorOf(msg.message, msg.codex_error_info, msg.additional_details ?? null);
        return [this.#told("error", { error, willRetry: true, turnId })];
      }
      case "agent_message_content_delta":
        return [this.#told("item/agentMessage/delta", { turnId: msg.turn_id, itemId: msg.item_id, delta: msg.delta })];
      case "plan_delta":
        return [this.#told("item/plan/delta", { turnId: msg.turn_id, itemId: msg.item_id, delta: msg.delta })];
      case "reasoning_content_delta": {
        const { turn_id, item_id, delta, summary_index } = msg;
        return [
          this.#told("item/reasoning/summaryTextDelta", {
            turnId: turn_id,
            itemId: item_id,
            delta,
            summaryIndex: summary_index,
          }),
        ];
      }
      case "reasoning_raw_content_delta": {
        const { turn_id, item_id, delta, content_index } = msg;
        return [
          this.#told("item/reasoning/textDelta", {
            turnId: turn_id,
            itemId: item_id,
            delta,
            contentIndex: content_index,
          }),
        ];
      }
      case "agent_reasoning_section_break":
        return [
          this.#told("item/reasoning/summaryPartAdded", {
            turnId,
            itemId: msg.item_id,
            summaryIndex: msg.summary_index,
          }),
        ];
      case "turn_diff":
        return [this.#told("turn/diff/updated", { turnId, diff: msg.unified_diff })];
      case "plan_update": {
        const plan = msg.plan.map(({ step, status }) => ({ step, status: camel(status) }));
        return [this.#told("turn/plan/updated", { turnId, explanation: msg.explanation ?? null, plan })];
      }
      case "raw_response_item":
        return [this.#told("rawResponseItem/completed", { turnId, item: msg.item })];
      case "context_compacted":
        return [this.#told("thread/compacted", { turnId })];
      case "budget_warning":
      case "budget_exceeded":
        return [this.#told("warning", { message: msg.message })];
      case "warning":
        return msg.message === LONG_THREAD_WARNING ? [] : [this.#told("warning", { message: msg.message })];
      case "deprecation_notice":
        return [{ method: "deprecationNotice", params: { summary: msg.summary, details: msg.details ?? null } }];
      case "mcp_startup_update": {
        const { state } = msg.status;
        const error = state === "failed" ? msg.status.error : null;
        const about = { name: msg.server, environmentId: null, status: state, error, failureReason: null };
        return [this.#told("mcpServer/startupStatus/updated", about)];
      }
      case "skills_update_available":
        return [{ method: "skills/changed", params: {} }];
      default:
        return this.#tool(msg, turnId, now);
    }
  }

  /** Tool events of the older kind become items, unless the core published the same item itself. */
  #tool(msg: EventMsg, turnId: string, now: number): Told[] {
    // The end follows its item, which has told all.
    if (msg.type === "exec_command_end" && this.#commands.delete(msg.call_id)) return [];
    const of = msg.type === "exec_command_output_delta" ? this.#commands.get(msg.call_id)?.turnId : undefined;
    const direct = toolNotification(msg, of ?? turnId);
    if (direct !== undefined) {
      const isFileChange =
        msg.type === "exec_command_output_delta" && this.turn?.fileChanges.has(msg.call_id as string) === true;
      return [this.#told(isFileChange ? "item/fileChange/outputDelta" : direct.method, direct.params)];
    }
    const found = toolItemOf(msg);
    if (found === undefined) return [];
    const { phase, body } = found;
    const begunAt = this.turn?.begun.get(body.id);
    const told: Told[] = [];
    if (phase !== "end" && begunAt === undefined) {
      this.turn?.begun.set(body.id, now);
      const item = { ...body, startedAtMs: now, completedAtMs: null };
      told.push(this.#told("item/started", { item, turnId, startedAtMs: now }));
    }
    if (phase !== "begin" && this.turn?.completed.has(body.id) !== true) {
      const item = { ...body, startedAtMs: begunAt ?? now, completedAtMs: now };
      told.push(this.#told("item/completed", { item, turnId, contentTokenCount: null, completedAtMs: now }));
    }
    return told;
  }
}

/** What comes after a response, whichever way it ended. */
const endsResponse = (msg: EventMsg): boolean =>
  ["stream_error", "error", "task_complete", "turn_aborted"].includes(msg.type) ||
  (msg.type === "item_started" && ["UserMessage", "FunctionCallOutput"].includes(msg.item.type));

/** Usage that was told by the model, and not estimated. */
const isOfResponse = (info: TokenUsageInfo | null | undefined): boolean =>
  info == null || info.last_token_usage.input_tokens > 0 || info.last_token_usage.output_tokens > 0;

/** A snapshot without any limit says nothing. */
const meaningful = (limits: RateLimitSnapshot | null | undefined): RateLimitSnapshot | null =>
  limits && Object.values(limits).some((value) => value !== null) ? limits : null;

const isCommand = (item: TurnItem): item is CommandExecutionTurnItem => item.type === "CommandExecution";

const itemId = (item: TurnItem): string => ("id" in item && typeof item.id === "string" ? item.id : "");

type TurnStamp = Pick<TaskCompleteEvent, "turn_id" | "root_turn_id" | "started_at">;

const turnOf = (submission: string, { turn_id, root_turn_id, started_at }: TurnStamp, now: number): RunningTurn =>
  runningTurn({
    id: turn_id ?? submission,
    submission,
    startedAt: started_at ?? Math.floor(now / 1000),
    rootId: root_turn_id,
  });

/** As far as the protocol's percents go. */
const INT32 = 2 ** 31 - 1;

const window = (limit: RateLimitSnapshot["primary"]) =>
  limit === null
    ? null
    : {
        usedPercent: Math.round(Math.max(-INT32, Math.min(INT32, limit.used_percent))),
        windowDurationMins: limit.window_minutes ?? null,
        resetsAt: limit.resets_at ?? null,
      };

export const rateLimitsToV2 = (limits: RateLimitSnapshot) => ({
  limitId: "codex",
  limitName: null,
  normalModelSlug: null,
  primary: window(limits.primary),
  secondary: window(limits.secondary),
  credits:
    limits.credits === null
      ? null
      : {
          hasCredits: limits.credits.has_credits,
          unlimited: limits.credits.unlimited,
          balance: limits.credits.balance ?? null,
        },
  individualLimit: null,
  spendControlReached: null,
  planType: limits.plan_type,
  rateLimitReachedType: null,
});

/** What is known of a turn while it runs. */
export type RunningTurn = {
  readonly id: string;
  /** The submission that started it. */
  readonly submission: string;
  /** The user's turn that it is a part of. */
  readonly rootId: string;
  /** Unix seconds. */
  readonly startedAt: number | null;
  /** Items that have begun and not ended, as they were told: who comes late sees them. */
  readonly open: Map<string, V2Item>;
  /** When each item began, in Unix milliseconds. */
  readonly begun: Map<string, number>;
  /** Those whose end the core published as items, so that the older event behind it says nothing new. */
  readonly completed: Set<string>;
  /** Commands that wait for an approval and are shown, though they have not begun. */
  readonly unbegun: Map<string, { readonly type: string; readonly id: string }>;
  /** Calls that are file changes: their output is told as such. */
  readonly fileChanges: Set<string>;
  /** Whether the model has begun to answer. */
  hasOutput: boolean;
  lastAgentMessage: V2Item | undefined;
  error: V2TurnError | null;
};

type Beginning = Pick<RunningTurn, "id" | "submission" | "startedAt"> & { readonly rootId?: string | null | undefined };

const runningTurn = ({ id, submission, startedAt, rootId }: Beginning): RunningTurn => ({
  id,
  submission,
  rootId: rootId ?? id,
  startedAt,
  open: new Map(),
  begun: new Map(),
  completed: new Set(),
  unbegun: new Map(),
  fileChanges: new Set(),
  hasOutput: false,
  lastAgentMessage: undefined,
  error: null,
});

/** A turn as it is shown when it begins; `startedAt` is null in the answer to turn/start. */
export const turnInProgress = (id: string, startedAt: number | null): V2Turn => ({
  id,
  rootTurnId: id,
  items: [],
  itemsView: "notLoaded",
  status: "inProgress",
  error: null,
  startedAt,
  completedAt: null,
  durationMs: null,
});
