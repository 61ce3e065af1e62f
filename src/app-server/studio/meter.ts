/** Counts what all threads say, second by second, and remembers ten minutes of it. */
import type { Clock } from "../../kernel/clock.ts";
import type { EventMsg } from "../../protocol/event.ts";
import type { MetricsSample } from "./wire.ts";

export const METRICS_SECONDS = 600;

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

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** After a time without a watcher: what was not counted is no second of its own. */
  restart(): void {
    this.#counts = none();
    this.#loop = performance.eventLoopUtilization();
  }

  /** An event that says nothing more than that it came, such as a delta. */
  tick(): void {
    this.#counts.events += 1;
  }

  count(msg: EventMsg): void {
    const counts = this.#counts;
    counts.events += 1;
    if (msg.type === "token_count") {
      const last = msg.info?.last_token_usage;
      if (last == null) return;
      counts.in += last.input_tokens;
      counts.cached += last.cached_input_tokens;
      counts.out += last.output_tokens;
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
