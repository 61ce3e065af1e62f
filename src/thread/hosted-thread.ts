/** The thread as its own logic sees it, over the life that the logic leads. */
import type { Submission } from "../../machines/thread.machine.ts";
import { onceAborted } from "../kernel/abort-listeners.ts";
import { backoffDelay } from "../kernel/backoff.ts";
import { raceAbort } from "../kernel/cancellation.ts";
import { sleep } from "../kernel/clock.ts";
import { yieldToLoop } from "../kernel/yield-to-loop.ts";
import { closedEarly } from "../model/model-failure.ts";
import { InvalidRequestError, SkeinError, ThreadClosedError } from "../protocol/errors.ts";
import type { EventMsg } from "../protocol/event.ts";
import {
  INITIAL_SUBMISSION_ID,
  newTurnId,
  type SubmissionId,
  type ThreadId,
  toSubmissionId,
  toTurnId,
} from "../protocol/ids.ts";
import { ModelError } from "../protocol/model-error.ts";
import { type ResponseItem, textOf, userMessage } from "../protocol/response-item.ts";
import { INSPECT } from "../protocol/shown-as.ts";
import type { ThreadConfig } from "../protocol/thread-config.ts";
import type { TokenUsage } from "../protocol/token-usage.ts";
import type { UserInput } from "../protocol/user-input.ts";
import { askModel } from "../turn/ask-model.ts";
import { askedOf } from "../turn/asked-model.ts";
import { countUsage } from "../turn/compaction.ts";
import { outputOf, settleCalls, startCall } from "../turn/tool-calls.ts";
import type { TurnHost } from "../turn/turn-host.ts";
import { TurnRun } from "../turn/turn-run.ts";
import type { LogicThread, ModelAnswer, ModelQuestion, OpsOptions, StartTurnOptions } from "./logic-thread.ts";
import type { ReceivedMessage, ThreadMessenger } from "./messaging.ts";
import type { OwnTurns } from "./own-turns.ts";
import type { Thread } from "./thread.ts";
import type { ThreadEnv } from "./thread-env.ts";
import type { TurnResult } from "./turn-result.ts";

/** The life that the logic leads. */
export interface LogicHost extends TurnHost {
  readonly epoch: number;
  readonly env: ThreadEnv;
  readonly past: TurnHost["past"] & { keep(): void };
  /** Where it is heard what the logic emits. */
  readonly door: { hear(emitted: unknown): void };
}

/** The turns that the logic makes, and what it keeps. */
export interface LogicTurns {
  readonly turns: OwnTurns;
  /** Has the house run a turn. @throws InvalidRequestError while one runs */
  runHouseTurn(submission: Submission, signal: AbortSignal): Promise<TurnResult<never>>;
  /** @throws InvalidRequestError for a logic that was not defined to keep any */
  save(state: unknown): void;
}

const DEFAULT_ROUNDS = 50;

export class HostedThread implements LogicThread {
  readonly id: ThreadId;
  readonly epoch: number;
  readonly #host: LogicHost;
  readonly #own: LogicTurns;
  /** Made for who asks for it: most logics listen for the op `shutdown`, and an idle thread is to be small. */
  #closing: AbortController | undefined;
  /** What its life ended by. */
  #end: { readonly cause: unknown } | undefined;
  #received: Submission[] | undefined;
  #wake: (() => void) | undefined;

  constructor(host: LogicHost, own: LogicTurns) {
    this.id = host.threadId;
    this.epoch = host.epoch;
    this.#host = host;
    this.#own = own;
  }

  /** Ids alone, also where an actor's snapshot shows its input. */
  toJSON(): object {
    return { threadId: this.id, epoch: this.epoch };
  }

  [INSPECT](): object {
    return this.toJSON();
  }

  get signal(): AbortSignal {
    this.#closing ??= new AbortController();
    if (this.#end !== undefined) this.#abort(this.#end);
    return this.#closing.signal;
  }

  publish(id: SubmissionId | string, msg: EventMsg): void {
    this.#host.door.hear({ type: msg.type, id, msg });
  }

  record(item: ResponseItem): void {
    this.publish(this.#own.turns.running?.id ?? INITIAL_SUBMISSION_ID, { type: "raw_response_item", item });
  }

  async history({ signal = this.signal }: { signal?: AbortSignal } = {}): Promise<readonly ResponseItem[]> {
    const opening = this.#host.past.open(signal);
    if (opening !== undefined) await opening;
    const items = this.#host.history?.forModel() ?? [];
    this.#host.past.keep();
    return items;
  }

  ops({ whileRunning = "give" }: OpsOptions = {}): AsyncGenerator<Submission, undefined> {
    if (whileRunning === "hold") this.#own.turns.holdWhileRunning();
    this.#received ??= [];
    return this.#drain(this.#received);
  }

  async *#drain(received: Submission[]): AsyncGenerator<Submission, undefined> {
    for (;;) {
      const next = received.shift();
      if (next !== undefined) yield next;
      else if (this.#end !== undefined) return undefined;
      else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  async ask({ input = [], signal, maxRounds = DEFAULT_ROUNDS, ...how }: ModelQuestion = {}): Promise<ModelAnswer> {
    const both = signal === undefined ? this.signal : AbortSignal.any([signal, this.signal]);
    both.throwIfAborted();
    const run = this.#newRun(how);
    const { turns } = this.#own;
    // The logic itself only waits for what works.
    turns.beginWait();
    try {
      return await this.#ask(run, { input, maxRounds, signal: both });
    } finally {
      await turns.endWait();
    }
  }

  async #ask(
    run: TurnRun,
    {
      input,
      maxRounds,
      signal: both,
    }: { input: string | readonly ResponseItem[]; maxRounds: number; signal: AbortSignal },
  ): Promise<ModelAnswer> {
    const stopListening = onceAborted(both, () => run.abort(both.reason));
    try {
      const { turns } = this.#own;
      const place = turns.work(both);
      run.occupy(place instanceof Promise ? await place : place, () => turns.work(run.signal));
      await this.#host.tools.open(this.#host.config.mcpServers, both);
      await this.history({ signal: both });
      for (const item of typeof input === "string" ? [userMessage(input)] : input) this.record(item);
      return await this.#converse(run, { signal: run.signal, maxRounds });
    } catch (error) {
      // A call that has begun has its output, whatever became of the question.
      run.abort(error);
      await settleCalls(this.#host, run);
      throw error;
    } finally {
      run.vacate();
      stopListening();
    }
  }

  async startTurn(
    input: string | readonly UserInput[],
    { signal = this.signal, outputSchema, submission }: StartTurnOptions = {},
  ): Promise<TurnResult<never>> {
    const both = signal === this.signal ? signal : AbortSignal.any([signal, this.signal]);
    both.throwIfAborted();
    const items = inputOf(input);
    const schema = outputSchema === undefined ? {} : { final_output_json_schema: outputSchema };
    const op = { type: "user_input" as const, items, ...schema };
    if (submission !== undefined) return this.#own.runHouseTurn({ ...submission, op }, both);
    // Its id is a turn's id too, so that nobody else can have it.
    return this.#own.runHouseTurn({ id: toSubmissionId(newTurnId()), op }, both);
  }

  /** What tools know as their turn: the one that the logic runs, or one of the question's own. */
  #newRun({ instructions, outputSchema }: Pick<ModelQuestion, "instructions" | "outputSchema">): TurnRun {
    const { config, clock } = this.#host;
    const ownTurn = this.#own.turns.running;
    return new TurnRun({
      id: ownTurn?.id ?? INITIAL_SUBMISSION_ID,
      turnId: ownTurn?.started?.turn_id ? toTurnId(ownTurn.started.turn_id) : newTurnId(),
      kind: "regular",
      config: instructions === undefined ? config : { ...config, baseInstructions: instructions },
      startedAt: clock.now(),
      outputSchema,
    });
  }

  async #converse(
    run: TurnRun,
    { signal, maxRounds }: { signal: AbortSignal; maxRounds: number },
  ): Promise<ModelAnswer> {
    const items: ResponseItem[] = [];
    const take = (item: ResponseItem) => {
      this.record(item);
      items.push(item);
    };
    for (let round = 0; round < maxRounds; round += 1) {
      const back = run.takeBack();
      if (back !== undefined) await raceAbort(back, signal);
      const answer = await this.#answer(run, signal);
      countUsage(this.#host, run, answer.usage);
      for (const item of answer.items) {
        take(item);
        startCall(this.#host, run, item);
      }
      if (run.calls.length === 0) {
        return { text: lastText(items), items, usage: run.usage.total_tokens === 0 ? null : run.usage };
      }
      for (let call = run.calls[0]; call !== undefined; call = run.calls[0]) {
        const output = await raceAbort(call.output, signal);
        run.calls.shift();
        take(outputOf(call, output));
      }
    }
    throw new InvalidRequestError(`the model was asked ${maxRounds} times and still calls tools; give \`maxRounds\``);
  }

  /** One answer, whole; what fails on the way is tried again as a turn of the house would. */
  async #answer(run: TurnRun, signal: AbortSignal): Promise<{ items: ResponseItem[]; usage: TokenUsage | undefined }> {
    for (let retries = 0; ; ) {
      try {
        return await this.#sample(run, signal);
      } catch (error) {
        const mayRetry = error instanceof SkeinError && error.retryable && retries < run.config.streamMaxRetries;
        if (signal.aborted || !mayRetry) throw error;
        retries += 1;
        const retryAfterMs = error instanceof ModelError ? error.retryAfterMs : undefined;
        await sleep(this.#host.clock, backoffDelay(retries, { retryAfterMs }), signal);
      }
    }
  }

  async #sample(run: TurnRun, signal: AbortSignal): Promise<{ items: ResponseItem[]; usage: TokenUsage | undefined }> {
    const { tools, threadId } = this.#host;
    const request = {
      threadId,
      turnId: run.turnId,
      ...askedOf(run.config),
      input: await this.history({ signal }),
      tools: tools.current.specs,
      parallelToolCalls: true,
      ...(run.outputSchema === undefined ? {} : { outputSchema: run.outputSchema }),
    };
    const items: ResponseItem[] = [];
    for await (const event of askModel(this.#host, run, request, signal)) {
      signal.throwIfAborted();
      // One that never really waits would keep the loop from turning.
      const turning = yieldToLoop();
      if (turning !== undefined) await turning;
      if (event.type === "item_done") items.push(event.item);
      if (event.type === "completed") return { items, usage: event.usage };
    }
    throw closedEarly();
  }

  spawn(config?: ThreadConfig, { signal = this.signal }: { signal?: AbortSignal } = {}): Promise<Thread> {
    return this.#host.env.startChild(this.id, config, signal);
  }

  get messenger(): ThreadMessenger {
    return this.#host.env.messages.messengerOf(this.id);
  }

  message(id: SubmissionId | string): ReceivedMessage | undefined {
    return this.#host.env.messages.messageOf(this.id, toSubmissionId(id));
  }

  reply(id: SubmissionId | string, value?: unknown): void {
    this.#host.env.messages.settle(this.id, toSubmissionId(id), { value });
  }

  refuse(id: SubmissionId | string, error: unknown): void {
    this.#host.env.messages.settle(this.id, toSubmissionId(id), { error });
  }

  save(state: unknown): void {
    this.#own.save(state);
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

  close(cause?: unknown): void {
    if (this.#end !== undefined) return;
    this.#end = { cause };
    this.#abort(this.#end);
    this.#wake?.();
  }

  #abort({ cause }: { readonly cause: unknown }): void {
    this.#closing?.abort(new ThreadClosedError(this.id, undefined, cause));
  }
}

/** @throws InvalidRequestError */
function inputOf(input: string | readonly UserInput[]): UserInput[] {
  if (typeof input === "string") return [{ type: "text", text: input }];
  if (!Array.isArray(input) || input.length === 0) {
    throw new InvalidRequestError('startTurn: give a text, or input items such as { type: "text", text }');
  }
  return [...input];
}

const lastText = (items: readonly ResponseItem[]): string => {
  const message = items.findLast((item) => item.type === "message" && item.role === "assistant");
  return message === undefined ? "" : textOf(message);
};
