/** Counts what all threads say, second by second, and remembers ten minutes of it. */

import { type IntervalHistogram, monitorEventLoopDelay } from "node:perf_hooks";
import type { Clock } from "../../kernel/clock.ts";
import type { EventMsg } from "../../protocol/event.ts";
import type { TokenUsage } from "../../protocol/token-usage.ts";
import type { MetricsSample } from "./wire.ts";

export const METRICS_SECONDS = 600;
const LAG_RESOLUTION_MS = 20;

type Counts = {
  events: number;
  in: number;
  cached: number;
  out: number;
  begun: number;
  ended: number;
  failed: number;
  readonly firstWords: number[];
};

const none = (): Counts => ({ events: 0, in: 0, cached: 0, out: 0, begun: 0, ended: 0, failed: 0, firstWords: [] });

export class Meter {
  readonly #clock: Clock;
  readonly #ring: MetricsSample[] = [];
  #counts = none();
  #loop = performance.eventLoopUtilization();
  /** While somebody looks. */
  #lag: IntervalHistogram | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** After a time without a watcher: what was not counted is no second of its own. */
  restart(): void {
    this.#counts = none();
    this.#loop = performance.eventLoopUtilization();
    this.#lag ??= monitorEventLoopDelay({ resolution: LAG_RESOLUTION_MS });
    this.#lag.enable();
  }

  /** Nobody looks any more. */
  stop(): void {
    this.#lag?.disable();
    this.#lag = undefined;
  }

  #lagNow(): MetricsSample["loopLag"] {
    const lag = this.#lag;
    if (lag === undefined || lag.count === 0) return null;
    // It measures from one of its own timers to the next.
    const late = (ns: number) => Math.max(0, Number((ns / 1e6 - LAG_RESOLUTION_MS).toFixed(1)));
    const told = { p50: late(lag.percentile(50)), p99: late(lag.percentile(99)), max: late(lag.max) };
    lag.reset();
    return told;
  }

  /** An event that says nothing more than that it came, such as a delta. */
  tick(): void {
    this.#counts.events += 1;
  }

  /** @param used what the request has used that ends with it */
  count(msg: EventMsg, used: TokenUsage | undefined): void {
    const counts = this.#counts;
    counts.events += 1;
    if (used !== undefined) {
      counts.in += used.input_tokens;
      counts.cached += used.cached_input_tokens;
      counts.out += used.output_tokens;
    } else if (msg.type === "task_started") counts.begun += 1;
    else if (msg.type === "error") counts.failed += 1;
    else if (msg.type === "turn_aborted") counts.ended += 1;
    else if (msg.type === "task_complete") {
      counts.ended += 1;
      if (msg.time_to_first_token_ms != null) counts.firstWords.push(msg.time_to_first_token_ms);
    }
  }

  /** Ends the second. */
  sample({ pending, capacity }: Pick<MetricsSample, "pending" | "capacity">): MetricsSample {
    const { events, begun, ended, failed, firstWords, ...tokens } = this.#counts;
    this.#counts = none();
    const loop = performance.eventLoopUtilization();
    const { utilization } = performance.eventLoopUtilization(loop, this.#loop);
    this.#loop = loop;
    firstWords.sort((a, b) => a - b);
    const sample: MetricsSample = {
      t: this.#clock.now(),
      events,
      tokens,
      turns: { begun, ended, failed },
      ttft: { p50: quantile(firstWords, 0.5), p95: quantile(firstWords, 0.95), n: firstWords.length },
      pending,
      capacity,
      eventLoop: Number(utilization.toFixed(3)),
      loopLag: this.#lagNow(),
      rss: process.memoryUsage.rss(),
    };
    this.#ring.push(sample);
    if (this.#ring.length > METRICS_SECONDS) this.#ring.shift();
    return sample;
  }

  since(t: number): readonly MetricsSample[] {
    return this.#ring.filter((sample) => sample.t > t);
  }
}

/** The nearest rank; null of nothing. */
const quantile = (sorted: readonly number[], q: number): number | null =>
  sorted[Math.min(sorted.length - 1, Math.ceil(q * sorted.length) - 1)] ?? null;
