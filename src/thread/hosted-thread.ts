/** The thread as its own logic sees it, over the life that the logic leads. */
import type { Submission } from "../../machines/thread.machine.ts";
import { raceAbort } from "../kernel/cancellation.ts";
import { textOfThrown } from "../kernel/thrown.ts";
import type { ModelClient } from "../model/model-client.ts";
import { closedEarly } from "../model/model-failure.ts";
import { InvalidRequestError, ThreadClosedError } from "../protocol/errors.ts";
import type { EventMsg } from "../protocol/event.ts";
import { INITIAL_SUBMISSION_ID, newTurnId, type SubmissionId, type ThreadId, toTurnId } from "../protocol/ids.ts";
import {
  type FunctionCallItem,
  functionCallOutput,
  type ResponseItem,
  textOf,
  userMessage,
} from "../protocol/response-item.ts";
import { INSPECT } from "../protocol/shown-as.ts";
import type { ResolvedThreadConfig, ThreadConfig } from "../protocol/thread-config.ts";
import { addUsage, type TokenUsage } from "../protocol/token-usage.ts";
import type { History } from "../turn/history.ts";
import { logRequest } from "../turn/request-log.ts";
import type { ToolSet } from "../turn/tool-set.ts";
import type { LogicThread, ModelAnswer, ModelQuestion, OpsOptions } from "./logic-thread.ts";
import type { OwnLife } from "./own-life.ts";
import type { Thread } from "./thread.ts";
import type { ThreadEnv } from "./thread-env.ts";

/** The life that the logic leads. */
export interface LogicHost {
  readonly threadId: ThreadId;
  readonly epoch: number;
  readonly env: ThreadEnv;
  readonly config: ResolvedThreadConfig;
  readonly tools: ToolSet;
  readonly model: ModelClient;
  readonly history: History | undefined;
  readonly ownTurn: OwnLife["turns"]["running"];
  openHistory(signal: AbortSignal): Promise<void> | undefined;
  keepHistory(): void;
  holdWhileRunning(): void;
  saveState(state: unknown): void;
  /** As if the logic had emitted it. */
  hear(emitted: unknown): void;
}

const DEFAULT_ROUNDS = 50;

export class HostedThread implements LogicThread {
  readonly id: ThreadId;
  readonly epoch: number;
  readonly #host: LogicHost;
  readonly #closing = new AbortController();
  #received: Submission[] | undefined;
  #wake: (() => void) | undefined;

  constructor(host: LogicHost) {
    this.id = host.threadId;
    this.epoch = host.epoch;
    this.#host = host;
  }

  /** Ids alone, also where an actor's snapshot shows its input. */
  toJSON(): object {
    return { threadId: this.id, epoch: this.epoch };
  }

  [INSPECT](): object {
    return this.toJSON();
  }

  get signal(): AbortSignal {
    return this.#closing.signal;
  }

  publish(id: SubmissionId | string, msg: EventMsg): void {
    this.#host.hear({ type: msg.type, id, msg });
  }

  record(item: ResponseItem): void {
    this.publish(this.#host.ownTurn?.id ?? INITIAL_SUBMISSION_ID, { type: "raw_response_item", item });
  }

  async history({ signal = this.signal }: { signal?: AbortSignal } = {}): Promise<readonly ResponseItem[]> {
    const opening = this.#host.openHistory(signal);
    if (opening !== undefined) await opening;
    const items = this.#host.history?.forModel() ?? [];
    this.#host.keepHistory();
    return items;
  }

  ops({ whileRunning = "give" }: OpsOptions = {}): AsyncGenerator<Submission, undefined> {
    if (whileRunning === "hold") this.#host.holdWhileRunning();
    this.#received ??= [];
    return this.#drain(this.#received);
  }

  async *#drain(received: Submission[]): AsyncGenerator<Submission, undefined> {
    for (;;) {
      const next = received.shift();
      if (next !== undefined) yield next;
      else if (this.signal.aborted) return undefined;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  async ask({
    input = [],
    instructions,
    outputSchema,
    signal,
    maxRounds = DEFAULT_ROUNDS,
  }: ModelQuestion = {}): Promise<ModelAnswer> {
    const both = signal === undefined ? this.signal : AbortSignal.any([signal, this.signal]);
    both.throwIfAborted();
    await this.history({ signal: both });
    for (const item of typeof input === "string" ? [userMessage(input)] : input) this.record(item);
    const items: ResponseItem[] = [];
    let usage: TokenUsage | null = null;
    for (let round = 0; round < maxRounds; round += 1) {
      const answer = await this.#sample({ instructions, outputSchema, signal: both });
      usage = usage === null || answer.usage === null ? (usage ?? answer.usage) : addUsage(usage, answer.usage);
      for (const item of answer.items) this.record(item);
      items.push(...answer.items);
      const calls = answer.items.filter((item): item is FunctionCallItem => item.type === "function_call");
      if (calls.length === 0) return { text: lastText(items), items, usage };
      for (const output of await Promise.all(calls.map((call) => this.#call(call, both)))) {
        this.record(output);
        items.push(output);
      }
    }
    throw new InvalidRequestError(`the model was asked ${maxRounds} times and still calls tools; give \`maxRounds\``);
  }

  async #sample({
    instructions,
    outputSchema,
    signal,
  }: {
    instructions: string | undefined;
    outputSchema: unknown;
    signal: AbortSignal;
  }) {
    const { config, model, tools, ownTurn } = this.#host;
    const request = {
      threadId: this.id,
      turnId: ownTurn?.started?.turn_id ? toTurnId(ownTurn.started.turn_id) : newTurnId(),
      model: config.model,
      instructions: instructions ?? config.baseInstructions ?? "",
      input: await this.history({ signal }),
      tools: tools.specs.filter((spec) => tools.get(spec.name) !== undefined),
      parallelToolCalls: true,
      reasoning: { effort: config.reasoningEffort, summary: config.reasoningSummary },
      ...(outputSchema === undefined ? {} : { outputSchema }),
    };
    const items: ResponseItem[] = [];
    using _ = logRequest(this.#host.env, request);
    for await (const event of model.stream(request, { signal })) {
      signal.throwIfAborted();
      if (event.type === "item_done") items.push(event.item);
      if (event.type === "completed") return { items, usage: event.usage ?? null };
    }
    throw closedEarly();
  }

  /** A call never fails the question: whatever goes wrong is its output. */
  async #call({ name, arguments: raw, call_id: callId }: FunctionCallItem, signal: AbortSignal): Promise<ResponseItem> {
    const found = this.#host.tools.get(name);
    if (found === undefined) return functionCallOutput(callId, `unsupported call: ${name}`);
    const turnId = toTurnId(this.#host.ownTurn?.started?.turn_id ?? newTurnId());
    try {
      return functionCallOutput(
        callId,
        await raceAbort(found.call(raw, { threadId: this.id, turnId, callId, signal }), signal),
      );
    } catch (error) {
      return functionCallOutput(callId, signal.aborted ? "aborted" : textOfThrown(error));
    }
  }

  spawn(config?: ThreadConfig, { signal = this.signal }: { signal?: AbortSignal } = {}): Promise<Thread> {
    return this.#host.env.startChild(this.id, config, signal);
  }

  save(state: unknown): void {
    this.#host.saveState(state);
  }

  // For the thread's life.

  /** How many ops its logic has not read. */
  get unread(): number {
    return this.#received?.length ?? 0;
  }

  offer({ id, op, turnId }: Submission): void {
    if (op.type === "shutdown" || this.#received === undefined) return;
    this.#received.push(turnId === undefined ? { id, op } : { id, op, turnId });
    this.#wake?.();
  }

  close(): void {
    if (this.signal.aborted) return;
    this.#closing.abort(new ThreadClosedError(this.id));
    this.#wake?.();
  }
}

const lastText = (items: readonly ResponseItem[]): string => {
  const message = items.findLast((item) => item.type === "message" && item.role === "assistant");
  return message === undefined ? "" : textOf(message);
};
