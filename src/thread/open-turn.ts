/** How far a turn had come that a life has left open, folded from its lines in order. Pure. */
import type { TaskKind } from "../../machines/thread.machine.ts";
import type { Resumption } from "../../machines/turn.machine.ts";
import type { TaskStartedEvent } from "../protocol/event.ts";
import type { ThreadId, TurnId } from "../protocol/ids.ts";
import { type ResponseItem, textOf } from "../protocol/response-item.ts";
import type { RolloutLine, TaskItem } from "../protocol/rollout.ts";
import { addUsage, type TokenUsage, type TokenUsageInfo, zeroUsage } from "../protocol/token-usage.ts";
import { isFinalMessage } from "../turn/answer-turn-items.ts";
import { callOf, outputFor } from "../turn/history.ts";

const KINDS: readonly TaskKind[] = ["regular", "compact", "user_shell", "review"];

export class OpenTurn {
  readonly turnId: TurnId;
  readonly #threadId: ThreadId;
  #stamp: Pick<Resumption, "startedAt" | "rootTurnId"> | undefined;
  /** What its own lines say of it; undefined where there are none. */
  #task: Omit<TaskItem, "thread_id" | "turn_id"> | undefined;
  #hasItems = false;
  #hasAnswer = false;
  #isAnswered = false;
  readonly #calls = new Map<string, "asking" | "begun">();
  #lastAgentMessage: string | null = null;
  #usage: TokenUsage = zeroUsage;
  #total: number | undefined;

  constructor(threadId: ThreadId, turnId: TurnId) {
    this.#threadId = threadId;
    this.turnId = turnId;
  }

  get hasBegun(): boolean {
    return this.#stamp !== undefined;
  }

  /** Whether anything of it is in the history. */
  get hasItems(): boolean {
    return this.#hasItems;
  }

  get task(): Omit<TaskItem, "thread_id" | "turn_id"> | undefined {
    return this.#task;
  }

  get kind(): TaskKind | undefined {
    return KINDS.find((kind) => kind === this.#task?.kind);
  }

  add(line: RolloutLine): void {
    if (line.type === "event_msg" && line.payload.type === "task_started" && line.payload.turn_id === this.turnId) {
      this.#begin(line.payload, line.timestamp);
    } else if (line.type === "task") this.#addTask(line.payload);
    else if (this.#stamp === undefined) return;
    else if (line.type === "response_item") this.#addItem(line.payload);
    // What follows the summary of a turn that was to make it is its end.
    else if (line.type === "compacted") this.#isAnswered = this.kind === "compact";
    else if (line.type === "event_msg" && line.payload.type === "token_count") this.#addUsage(line.payload.info);
  }

  #begin({ started_at: seconds, root_turn_id: root }: TaskStartedEvent, timestamp: string): void {
    const startedAt = seconds == null ? Date.parse(timestamp) : seconds * 1000;
    this.#stamp = { startedAt, ...(root != null && { rootTurnId: root }) };
  }

  #addTask({ thread_id, turn_id, ...facts }: TaskItem): void {
    if (thread_id !== this.#threadId || turn_id !== this.turnId) return;
    this.#task = { ...this.#task, ...facts };
    if (facts.answered === true) this.#isAnswered = true;
    const { asking } = facts;
    if (asking !== undefined && this.#calls.has(asking.call_id)) {
      this.#calls.set(asking.call_id, asking.open ? "asking" : "begun");
    }
  }

  #addItem(item: ResponseItem): void {
    this.#hasItems = true;
    this.#isAnswered = false;
    const call = callOf(item);
    const answered = outputFor(item);
    if (call !== undefined) this.#calls.set(call, "begun");
    else if (answered !== undefined) this.#calls.delete(answered);
    this.#hasAnswer ||= call !== undefined || item.type === "reasoning" || isFinalMessage(item);
    if (isFinalMessage(item)) this.#lastAgentMessage = textOf(item);
  }

  /** Each total is told once or more; what comes before the model has said anything repeats an earlier turn's. */
  #addUsage(info: TokenUsageInfo | null | undefined): void {
    if (info == null || info.total_token_usage.total_tokens === this.#total) return;
    this.#total = info.total_token_usage.total_tokens;
    if (this.#hasAnswer) this.#usage = addUsage(this.#usage, info.last_token_usage);
  }

  /** @param limit how many lives may take a turn up after the first one */
  resumption(limit: number): Resumption {
    const { attempt: before = 0, output_schema: outputSchema } = this.#task ?? {};
    return {
      startedAt: 0,
      ...this.#stamp,
      attempt: before + 1,
      isGivenUp: before >= limit,
      isAnswered: this.#isAnswered,
      calls: [...this.#calls].map(([callId, state]) => ({ callId, state })),
      lastAgentMessage: this.#lastAgentMessage,
      usage: this.#usage,
      ...(outputSchema !== undefined && { outputSchema }),
    };
  }
}
