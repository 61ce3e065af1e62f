/** What is counted and timed, under the GenAI conventions' names where they have one. Seconds and tokens. */
import type { Attributes, Histogram, Meter, ObservableGauge } from "@opentelemetry/api";
import type { TokenUsage } from "../protocol/token-usage.ts";
import { TOKEN_TYPE } from "./names.ts";

/** As the conventions advise, for requests and tools; and for turns, which hold many of them. */
const SECONDS = [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92];
const TURN_SECONDS = [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 51.2, 102.4, 204.8, 409.6];
const TOKENS = [1, 4, 16, 64, 256, 1024, 4096, 16384, 65536, 262144, 1048576, 4194304, 16777216, 67108864];
const CALLS = [1, 2, 4, 8, 16, 32, 64, 128];
/** Of a store: a local write takes microseconds. */
const STORE_SECONDS = [0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3];

/** How many threads and turns a manager has, and may have. */
export type Capacity = {
  readonly residentThreads: { readonly used: number };
  readonly runningTurns: { readonly used: number; readonly waiting: number };
};

export class Metrics {
  readonly #meter: Meter;
  readonly #tokens: Histogram;
  readonly request: Histogram;
  readonly firstChunk: Histogram;
  readonly turn: Histogram;
  readonly turnRequests: Histogram;
  readonly turnCalls: Histogram;
  readonly tool: Histogram;
  readonly spawn: Histogram;
  readonly approval: Histogram;
  readonly storeWrite: Histogram;
  readonly lease: Histogram;
  readonly slot: Histogram;

  constructor(meter: Meter) {
    this.#meter = meter;
    const histogram = (name: string, description: string, unit: string, explicitBucketBoundaries: number[]) =>
      meter.createHistogram(name, { description, unit, advice: { explicitBucketBoundaries } });
    this.#tokens = histogram("gen_ai.client.token.usage", "Tokens of a model's request.", "{token}", TOKENS);
    this.request = histogram("gen_ai.client.operation.duration", "Time of a model's request.", "s", SECONDS);
    this.firstChunk = histogram(
      "gen_ai.client.operation.time_to_first_chunk",
      "Time to the first word of a model's answer.",
      "s",
      SECONDS,
    );
    this.turn = histogram("gen_ai.invoke_agent.duration", "Time of a turn.", "s", TURN_SECONDS);
    this.turnRequests = histogram(
      "gen_ai.invoke_agent.inference_calls",
      "Model requests of a turn.",
      "{inference_call}",
      CALLS,
    );
    this.turnCalls = histogram("gen_ai.invoke_agent.tool_calls", "Tool calls of a turn.", "{tool_call}", CALLS);
    this.tool = histogram("gen_ai.execute_tool.duration", "Time of a tool's call.", "s", SECONDS);
    this.spawn = histogram("skein.spawn.duration", "Time until a thread is in memory.", "s", STORE_SECONDS);
    this.approval = histogram("skein.approval.duration", "Time until a question is answered.", "s", TURN_SECONDS);
    this.storeWrite = histogram(
      "skein.store.write.duration",
      "Time that a thread waits for what it has said to be stored.",
      "s",
      STORE_SECONDS,
    );
    this.slot = histogram(
      "skein.slot.duration",
      "Time that a turn waits for a place among the running ones.",
      "s",
      TURN_SECONDS,
    );
    this.lease = histogram("skein.lease.duration", "Time to take or give back a thread's lease.", "s", STORE_SECONDS);
  }

  /** Cached input is part of the input, reasoning of the output. */
  countTokens({ input_tokens, output_tokens }: TokenUsage, attributes: Attributes): void {
    this.#tokens.record(input_tokens, { ...attributes, [TOKEN_TYPE]: "input" });
    this.#tokens.record(output_tokens, { ...attributes, [TOKEN_TYPE]: "output" });
  }

  /** Watches how full a manager is. @returns what ends it */
  observe(capacity: () => Capacity): () => void {
    const gauge = (name: string, description: string, unit: string): ObservableGauge =>
      this.#meter.createObservableGauge(name, { description, unit });
    const resident = gauge("skein.threads.resident", "Threads in memory.", "{thread}");
    const running = gauge("skein.turns.running", "Turns that run.", "{turn}");
    const waiting = gauge("skein.turns.waiting", "Turns that wait for a place among the running ones.", "{turn}");
    const observe: Parameters<Meter["addBatchObservableCallback"]>[0] = (result) => {
      const { residentThreads, runningTurns } = capacity();
      result.observe(resident, residentThreads.used);
      result.observe(running, runningTurns.used);
      result.observe(waiting, runningTurns.waiting);
    };
    const gauges = [resident, running, waiting];
    this.#meter.addBatchObservableCallback(observe, gauges);
    return () => this.#meter.removeBatchObservableCallback(observe, gauges);
  }
}
