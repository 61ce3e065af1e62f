/**
 * An open loop: what is to happen comes at its time, however long the things before it take, and is timed from then on. A turn
 * that finds no idle thread waits for one, and the wait counts, as its user would count it (no coordinated omission).
 */
import { Histogram } from "./histogram.ts";
import { type Arrival, type Kind, type Rates, schedule } from "./schedule.ts";
import type { LoadTarget } from "./target.ts";

export type LoadPlan = {
  readonly threads: number;
  /** In all. */
  readonly turns: number;
  readonly seconds: number;
  readonly rates: Rates;
};

/** Milliseconds from some start, and waiting for them. */
export interface LoadClock {
  now(): number;
  /** Resolves in time or with the abort, whichever is first. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

export type Phase = "start" | Kind;
type Latency = Readonly<Record<"p50" | "p90" | "p99" | "p999" | "max" | "mean", number>>;
type PhaseResult = {
  readonly begun: number;
  readonly done: number;
  readonly failed: number;
  /** Begun, and not over when the run was. */
  readonly unfinished: number;
  readonly perSecond: number;
  readonly latencyMs: Latency;
};
export type LoadResult = {
  readonly seconds: number;
  readonly interrupted: boolean;
  /** Removals and forks for which there was no idle thread. */
  readonly skipped: number;
  readonly errors: Readonly<Record<string, number>>;
} & Readonly<Record<Phase, PhaseResult>>;

/** What was done so far, for whoever watches. */
type LoadProgress = {
  readonly elapsed: number;
  readonly done: number;
  readonly failed: number;
  readonly open: number;
};

/** How long what is still open when the schedule is over gets. */
export const DRAIN_MS = 10_000;
/** So many threads are started side by side before the run. */
const STARTS = 16;

class Counter {
  readonly #latencies = new Histogram();
  begun = 0;
  done = 0;
  failed = 0;

  end(ms: number): void {
    this.done += 1;
    this.#latencies.record(ms * 1000);
  }

  result(seconds: number): PhaseResult {
    const { begun, done, failed } = this;
    const at = (percent: number) => this.#latencies.percentile(percent) / 1000;
    return {
      ...{ begun, done, failed, unfinished: begun - done - failed },
      perSecond: seconds > 0 ? Math.round((done / seconds) * 100) / 100 : 0,
      latencyMs: {
        ...{ p50: at(50), p90: at(90), p99: at(99), p999: at(99.9) },
        max: this.#latencies.max / 1000,
        mean: Math.round(this.#latencies.mean) / 1000,
      },
    };
  }
}

type Options = {
  readonly clock: LoadClock;
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: LoadProgress) => void;
};

/** Runs a plan to its end, or to the abort; what was done by then is the result. */
export async function runLoad(target: LoadTarget, plan: LoadPlan, options: Options): Promise<LoadResult> {
  const run = new LoadRun(target, options);
  await run.startThreads(plan.threads);
  return run.play(plan);
}

class LoadRun {
  readonly #target: LoadTarget;
  readonly #clock: LoadClock;
  readonly #options: Options;
  /** Ends what is open, when its time is up. */
  readonly #end = new AbortController();
  readonly #counters: Record<Phase, Counter> = {
    start: new Counter(),
    turn: new Counter(),
    fork: new Counter(),
    remove: new Counter(),
  };
  readonly #errors = new Map<string, number>();
  /** Oldest first: whoever has been idle for longest has the next turn. */
  #idle: string[] = [];
  readonly #waiting: Arrival[] = [];
  readonly #open = new Set<Promise<void>>();
  #skipped = 0;
  #begun = 0;
  #isPlaying = false;
  #started = 0;

  constructor(target: LoadTarget, options: Options) {
    this.#target = target;
    this.#clock = options.clock;
    this.#options = options;
  }

  async startThreads(count: number): Promise<void> {
    const { signal } = this.#options;
    this.#started = this.#clock.now();
    let left = count;
    const starting = Array.from({ length: Math.min(STARTS, count) }, async () => {
      while (left > 0 && !signal.aborted) {
        left -= 1;
        const begun = this.#clock.now();
        await this.#count("start", begun, async () => {
          this.#idle.push(await this.#target.start(signal));
        });
        this.#tell();
      }
    });
    await Promise.all(starting);
    if (!signal.aborted && this.#idle.length === 0) {
      const why = [...this.#errors.keys()].join(", ");
      throw new Error(`no thread could be started: ${why}`);
    }
  }

  async play(plan: LoadPlan): Promise<LoadResult> {
    const { signal } = this.#options;
    this.#begun = this.#clock.now();
    this.#isPlaying = true;
    for (const arrival of schedule(plan.rates, plan)) {
      const due = this.#begun + arrival.at - this.#clock.now();
      // Where it is late already, the loop is still to turn now and then.
      if (due > 0 || this.#counters.turn.begun % 64 === 63) await this.#clock.sleep(Math.max(0, due), signal);
      if (signal.aborted) break;
      this.#arrive(arrival);
      this.#tell();
    }
    await this.#drain();
    const seconds = (this.#clock.now() - this.#begun) / 1000;
    const startSeconds = (this.#begun - this.#started) / 1000;
    return {
      seconds: Math.round(seconds * 1000) / 1000,
      interrupted: signal.aborted,
      skipped: this.#skipped,
      errors: Object.fromEntries(this.#errors),
      start: this.#counters.start.result(startSeconds),
      turn: this.#counters.turn.result(seconds),
      fork: this.#counters.fork.result(seconds),
      remove: this.#counters.remove.result(seconds),
    };
  }

  #arrive(arrival: Arrival): void {
    if (arrival.kind === "turn") {
      this.#counters.turn.begun += 1;
      this.#waiting.push(arrival);
      this.#serve();
      return;
    }
    // The last thread stays, so that turns have one to run in.
    const threadId = this.#idle.length > 1 ? this.#idle.shift() : undefined;
    if (threadId === undefined) {
      this.#skipped += 1;
      return;
    }
    this.#counters[arrival.kind].begun += 1;
    const work = arrival.kind === "fork" ? () => this.#fork(threadId) : () => this.#remove(threadId);
    this.#keep(this.#settle(arrival.kind, this.#begun + arrival.at, work));
  }

  /** Gives what waits to threads that are idle. */
  #serve(): void {
    while (this.#waiting.length > 0 && this.#idle.length > 0) {
      const threadId = this.#idle.shift();
      const arrival = this.#waiting.shift();
      if (threadId === undefined || arrival === undefined) return;
      const work = async () => {
        try {
          await this.#target.turn(threadId, this.#end.signal);
        } finally {
          this.#free(threadId);
        }
      };
      this.#keep(this.#settle("turn", this.#begun + arrival.at, work));
    }
  }

  #free(threadId: string): void {
    this.#idle.push(threadId);
    if (!this.#options.signal.aborted) this.#serve();
  }

  async #fork(threadId: string): Promise<void> {
    try {
      this.#free(await this.#target.fork(threadId, this.#end.signal));
    } finally {
      this.#free(threadId);
    }
  }

  async #remove(threadId: string): Promise<void> {
    await this.#target.remove(threadId, this.#end.signal);
  }

  #count(phase: Phase, from: number, work: () => Promise<void>): Promise<void> {
    this.#counters[phase].begun += 1;
    return this.#settle(phase, from, work);
  }

  async #settle(phase: Phase, from: number, work: () => Promise<void>): Promise<void> {
    const counter = this.#counters[phase];
    try {
      await work();
      counter.end(this.#clock.now() - from);
    } catch (error) {
      // What our own end has cut off has not failed.
      if (this.#end.signal.aborted || this.#options.signal.aborted) return;
      counter.failed += 1;
      const code = codeOf(error);
      this.#errors.set(code, (this.#errors.get(code) ?? 0) + 1);
    }
  }

  #keep(work: Promise<void>): void {
    this.#open.add(work);
    void work.finally(() => this.#open.delete(work));
  }

  /** What is open has a while to end; an interrupt ends it at once. */
  async #drain(): Promise<void> {
    const { signal } = this.#options;
    const timer = new AbortController();
    const both = AbortSignal.any([signal, timer.signal]);
    const timeUp = this.#clock.sleep(DRAIN_MS, both);
    const all = async () => {
      while (this.#open.size > 0) await Promise.all(this.#open);
    };
    await Promise.race([all(), timeUp]);
    timer.abort();
    this.#waiting.length = 0;
    this.#end.abort(new DOMException("the run is over", "AbortError"));
    await Promise.race([all(), this.#clock.sleep(1_000, AbortSignal.timeout(60_000))]);
  }

  #tell(): void {
    const { turn, start } = this.#counters;
    const since = this.#isPlaying ? this.#begun : this.#started;
    const { done, failed, begun } = this.#isPlaying ? turn : start;
    this.#options.onProgress?.({ elapsed: this.#clock.now() - since, done, failed, open: begun - done - failed });
  }
}

/** By which errors are counted: their code where they have one. */
function codeOf(error: unknown): string {
  if (typeof error === "object" && error !== null && "code" in error) return String(error.code);
  return error instanceof Error ? error.name : typeof error;
}
