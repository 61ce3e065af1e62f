/**
 * A model that answers from a script, without network or chance: the default of an embedder that names no model, and
 * what tests and benches stand on.
 *
 * - Each play begins with `created` and `rate_limits` (all null, as Codex sees a server without such headers) and ends
 *   with `completed`, unless it fails, hangs or is cut.
 * - An event that is ready costs one resolved promise: no timer, no other task.
 * - An abort rejects at the next event, and at once during a wait; it leaves neither timer nor listener behind.
 * - Ids are counted by each client: `resp_1`, `msg_1`, `rs_1`, `fc_1`, `call_1` and so on.
 */
import { raceAbort } from "../kernel/cancellation.ts";
import { type Clock, sleep, systemClock } from "../kernel/clock.ts";
import { type ResponseItem, textOf } from "../protocol/response-item.ts";
import type { RateLimitSnapshot, TokenUsage } from "../protocol/token-usage.ts";
import type { ModelClient, ModelEvent, ModelRequest } from "./model-client.ts";
import { type Play, type Script, type Step, say, type WaitFor } from "./script.ts";

/** A ModelClient that plays a script, for tests and demos: no key, no network. */
export interface ScriptedClient extends ModelClient {
  /** How many answers were asked for so far. */
  readonly asked: number;
  /** The last requests, oldest first, at most `recordRequests` of them. */
  readonly requests: readonly ModelRequest[];
}

/** How a scripted client waits, is called and remembers. */
export type ScriptedClientOptions = {
  /** Times `wait(ms)`. Default: the system's. */
  readonly clock?: Clock;
  /** Default `"scripted"`. */
  readonly providerId?: string;
  /** How many requests `requests` keeps. Default 0: a history would live as long as the client. */
  readonly recordRequests?: number;
};

/**
 * Makes a scripted client. Without a script, and after the last play of a list, it answers `ack: ` and the text of the
 * last user message, word by word.
 *
 * A script that throws rejects the stream with what it threw. An abort rejects it with `signal.reason`.
 */
export function scriptedClient(script?: Script, options: ScriptedClientOptions = {}): ScriptedClient {
  const { clock = systemClock, providerId = "scripted", recordRequests = 0 } = options;
  const ids = new Ids();
  const requests: ModelRequest[] = [];
  let asked = 0;
  return {
    providerId,
    requests,
    get asked() {
      return asked;
    },
    stream(request, { signal }) {
      const n = asked++;
      if (recordRequests > 0) {
        requests.push(request);
        if (requests.length > recordRequests) requests.shift();
      }
      return new Playback(() => stepsOf(choose(script, request, n)), { ids, clock, signal });
    },
  };
}

function choose(script: Script | undefined, request: ModelRequest, n: number): Play {
  const play = typeof script === "function" ? script(request, n) : script?.[n];
  return play ?? `ack: ${textOfLastUserMessage(request.input)}`;
}

const stepsOf = (play: Play): readonly Step[] => (typeof play === "string" ? [say(play)] : play);

function textOfLastUserMessage(input: readonly ResponseItem[]): string {
  const message = input.findLast((item) => item.type === "message" && item.role === "user");
  return message === undefined ? "" : textOf(message);
}

class Ids {
  readonly #counts = new Map<string, number>();

  next(prefix: string): string {
    const n = (this.#counts.get(prefix) ?? 0) + 1;
    this.#counts.set(prefix, n);
    return `${prefix}_${n}`;
  }
}

const NO_RATE_LIMITS: RateLimitSnapshot = Object.freeze({
  primary: null,
  secondary: null,
  credits: null,
  plan_type: null,
});

const DEFAULT_USAGE: Readonly<TokenUsage> = Object.freeze({
  input_tokens: 100,
  cached_input_tokens: 0,
  output_tokens: 20,
  reasoning_output_tokens: 0,
  total_tokens: 120,
});

const END = Object.freeze({ done: true, value: undefined });

type Environment = { readonly ids: Ids; readonly clock: Clock; readonly signal: AbortSignal };

/** One answer being played. `next` is to be called once at a time, as `for await` does. */
class Playback implements AsyncIterableIterator<ModelEvent, undefined> {
  readonly #environment: Environment;
  readonly #signal: AbortSignal;
  #open: (() => readonly Step[]) | undefined;
  #steps: readonly Step[] = [];
  #nextStep = 0;
  /** The events that are ready. */
  #events: ModelEvent[] = [];
  #nextEvent = 0;
  #responseId = "";
  #usage = DEFAULT_USAGE;
  /** Nothing comes after the events that are ready. */
  #last = false;

  constructor(open: () => readonly Step[], environment: Environment) {
    this.#open = open;
    this.#environment = environment;
    this.#signal = environment.signal;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  next(): Promise<IteratorResult<ModelEvent, undefined>> {
    if (this.#signal.aborted && !this.#isOver) {
      this.#end();
      return Promise.reject(this.#signal.reason);
    }
    const event = this.#events[this.#nextEvent];
    if (event === undefined) return this.#refill();
    this.#nextEvent += 1;
    return Promise.resolve({ done: false, value: event });
  }

  return(): Promise<IteratorResult<ModelEvent, undefined>> {
    this.#end();
    return Promise.resolve(END);
  }

  get #isOver(): boolean {
    return this.#last && this.#nextEvent >= this.#events.length;
  }

  #end(): void {
    this.#last = true;
    this.#events = [];
  }

  #refill(): Promise<IteratorResult<ModelEvent, undefined>> {
    this.#events = [];
    this.#nextEvent = 0;
    try {
      while (this.#events.length === 0 && !this.#last) {
        const waiting = this.#advance();
        if (waiting !== undefined) return this.#resume(waiting);
      }
    } catch (error) {
      this.#end();
      return Promise.reject(error);
    }
    return this.#isOver ? Promise.resolve(END) : this.next();
  }

  async #resume(waiting: PromiseLike<unknown>): Promise<IteratorResult<ModelEvent, undefined>> {
    try {
      await waiting;
    } catch (error) {
      this.#end();
      throw error;
    }
    return this.next();
  }

  /** Turns the next step into events, or into something to wait for. */
  #advance(): PromiseLike<unknown> | undefined {
    if (this.#open !== undefined) {
      const open = this.#open;
      this.#open = undefined;
      this.#steps = open();
      this.#responseId = this.#environment.ids.next("resp");
      this.#events.push(
        { type: "created", responseId: this.#responseId },
        { type: "rate_limits", snapshot: NO_RATE_LIMITS },
      );
      return undefined;
    }
    const step = this.#steps[this.#nextStep++];
    switch (step?.step) {
      case undefined:
        this.#last = true;
        this.#events.push({ type: "completed", responseId: this.#responseId, usage: { ...this.#usage } });
        return undefined;
      case "say":
        return this.#say(step);
      case "think":
        return this.#think(step);
      case "call":
        return this.#call(step);
      case "wait":
        return this.#wait(step.until);
      case "fail":
        throw step.error;
      case "hang":
        return raceAbort(new Promise(() => {}), this.#signal);
      case "cut":
        this.#last = true;
        return undefined;
      case "raw":
        this.#events.push(step.event);
        this.#last = step.event.type === "completed";
        return undefined;
      case "usage":
        this.#usage = step.usage;
        return undefined;
    }
  }

  #say({ text, deltas }: Extract<Step, { step: "say" }>): undefined {
    const id = this.#environment.ids.next("msg");
    const events = this.#events;
    events.push({ type: "item_added", item: { type: "message", role: "assistant", id, content: [] } });
    for (const delta of deltas) events.push({ type: "text_delta", delta, itemId: id });
    const content = [{ type: "output_text" as const, text }];
    events.push({ type: "item_done", item: { type: "message", role: "assistant", id, content } });
  }

  #think({ summary, deltas }: Extract<Step, { step: "think" }>): undefined {
    const itemId = this.#environment.ids.next("rs");
    const events = this.#events;
    events.push({ type: "item_added", item: { type: "reasoning", id: itemId, summary: [] } });
    events.push({ type: "reasoning_summary_part", summaryIndex: 0, itemId });
    for (const delta of deltas) events.push({ type: "reasoning_summary_delta", delta, summaryIndex: 0, itemId });
    const parts = [{ type: "summary_text", text: summary }];
    const item: ResponseItem = { type: "reasoning", id: itemId, summary: parts, encrypted_content: "c2NyaXB0" };
    events.push({ type: "item_done", item });
  }

  #call({ name, args, callId, namespace }: Extract<Step, { step: "call" }>): undefined {
    const { ids } = this.#environment;
    const item: ResponseItem = {
      type: "function_call",
      id: ids.next("fc"),
      call_id: callId ?? ids.next("call"),
      name,
      ...(namespace !== undefined && { namespace }),
      arguments: args,
    };
    this.#events.push({ type: "item_done", item });
  }

  #wait(until: WaitFor): PromiseLike<unknown> {
    const { clock } = this.#environment;
    if (typeof until === "number") return sleep(clock, until, this.#signal);
    return raceAbort(typeof until === "function" ? until(this.#signal) : until, this.#signal);
  }
}
