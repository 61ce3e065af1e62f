/**
 * Many tasks side by side: at most so many at once, results in the order of the inputs, and nothing left behind.
 *
 * - Inputs are taken one by one, as places come free; an endless or asynchronous source is asked for no more than that.
 * - What a task has started through its context ends with it, whatever became of the task.
 * - Whoever gives up (signal, deadline), and in the strict mode the first failure, stops the others: their signals fire, their
 *   threads end, and what they come to later is nobody's concern any more.
 */
import { linkSignals, raceAbort } from "../kernel/cancellation.ts";
import type { Clock } from "../kernel/clock.ts";
import { textOfThrown } from "../kernel/thrown.ts";
import { checkCallOptions, WAIT_OPTIONS } from "../protocol/call-options.ts";
import { DeadlineExceededError, FanOutError, InvalidRequestError, type TaskOutcome } from "../protocol/errors.ts";
import type { ThreadConfig } from "../protocol/thread-config.ts";
import type { NewThread, Thread, ThreadHandle, WaitOptions } from "../thread/thread.ts";
import type { ThreadOptions } from "./thread-options.ts";

/** How many tasks run at once, and how their caller waits. */
export type FanOutOptions = WaitOptions & {
  /** Default: `limits.runningTurns`, or 16 where that has no bound. */
  readonly concurrency?: number | undefined;
};

/** What a task is given. */
export type TaskContext<H extends ThreadHandle = Thread> = {
  /** Of its input, counted from 0. */
  readonly index: number;
  /** Fires when the task is to stop. */
  readonly signal: AbortSignal;
  /** Starts a thread that ends with the task. @throws as ThreadManager.startThread */
  startThread(config?: ThreadConfig, options?: ThreadOptions): Promise<H>;
};

/** One piece of work of a fan-out. */
export type Task<T, H extends ThreadHandle = Thread> = (context: TaskContext<H>) => T | PromiseLike<T>;

/** `stop` (the default): the first failure stops the others, and is thrown. `settle`: each failure stands among the results. */
export type FailureMode = "stop" | "settle";

/** Who starts threads, and bounds how many turns run. */
export interface FanOutHost<H extends ThreadHandle = Thread> {
  readonly clock: Clock;
  readonly maxTurns: number;
  startThread(config: ThreadConfig | undefined, options: ThreadOptions): Promise<NewThread<H>>;
}

const DEFAULT_CONCURRENCY = 16;

/** What tasks come to: `when` looks at each outcome, and stops the others by giving true. */
type Plan<T, H extends ThreadHandle> = {
  readonly what: string;
  readonly tasks: Iterable<Task<T, H>> | AsyncIterable<Task<T, H>>;
  readonly isDecided: (outcome: TaskOutcome<T>, index: number) => boolean;
};

/** @returns what each task came to, those that were stopped left out; and which one decided */
async function runTasks<T, H extends ThreadHandle>(
  host: FanOutHost<H>,
  { what, tasks, isDecided }: Plan<T, H>,
  { concurrency, signal, deadlineMs }: FanOutOptions,
): Promise<{ readonly outcomes: (TaskOutcome<T> | undefined)[]; readonly decided: number | undefined }> {
  checkCallOptions(what, { signal, deadlineMs }, WAIT_OPTIONS);
  signal?.throwIfAborted();
  const bound = checkedConcurrency(what, concurrency, host.maxTurns);
  const outcomes: (TaskOutcome<T> | undefined)[] = [];
  let decided: number | undefined;
  using stop = linkSignals(signal);
  const giveUp = (ms: number) => stop.abort(new DeadlineExceededError(what, ms));
  const timer = deadlineMs === undefined ? undefined : host.clock.setTimeout(() => giveUp(deadlineMs), deadlineMs);
  const source = new Source(tasks);
  const workers: Promise<void>[] = [];
  let failure: { readonly error: unknown } | undefined;
  // At once, whichever worker it is: others may wait for this signal alone.
  const fail = (error: unknown) => {
    failure ??= { error };
    stop.abort(error);
  };
  /** One more for each task that has begun, up to the bound. */
  const add = () => {
    if (workers.length < bound) workers.push(work().catch(fail));
  };
  const work = async () => {
    for (;;) {
      const next = await raceAbort(source.next(), stop.signal);
      if (next === undefined) return;
      const { task, index } = next;
      outcomes[index] = undefined;
      add();
      const outcome = await runTask(host, task, { index, signal: stop.signal });
      // What was stopped has come to nothing of its own.
      if (stop.signal.aborted) return;
      outcomes[index] = outcome;
      if (!isDecided(outcome, index)) continue;
      decided = index;
      stop.abort(new DOMException(`${what} is over`, "AbortError"));
    }
  };
  try {
    add();
    // It grows meanwhile. Whoever gives up is told once all that was started has ended.
    for (const worker of workers) await worker;
  } finally {
    if (timer !== undefined) host.clock.clearTimeout(timer);
    source.close();
  }
  if (decided !== undefined) return { outcomes, decided };
  if (stop.signal.aborted) throw failure === undefined ? stop.signal.reason : failure.error;
  return { outcomes, decided };
}

async function runTask<T, H extends ThreadHandle>(
  host: FanOutHost<H>,
  task: Task<T, H>,
  { index, signal }: { index: number; signal: AbortSignal },
): Promise<TaskOutcome<T>> {
  const threads = new OwnedThreads(host, signal);
  try {
    const context = { index, signal, startThread: threads.start };
    const value = await raceAbort(
      Promise.resolve().then(() => task(context)),
      signal,
    );
    return { status: "fulfilled", value };
  } catch (reason) {
    return { status: "rejected", reason };
  } finally {
    await threads.end();
  }
}

/** The threads of one task. */
class OwnedThreads<H extends ThreadHandle> {
  readonly #host: FanOutHost<H>;
  readonly #signal: AbortSignal;
  readonly #threads: Promise<H | undefined>[] = [];
  #isOver = false;

  constructor(host: FanOutHost<H>, signal: AbortSignal) {
    this.#host = host;
    this.#signal = signal;
  }

  readonly start = async (config?: ThreadConfig, options: ThreadOptions = {}): Promise<H> => {
    this.#signal.throwIfAborted();
    if (this.#isOver) throw new InvalidRequestError("startThread: the task has ended, and its threads with it");
    const signal = options.signal === undefined ? this.#signal : AbortSignal.any([options.signal, this.#signal]);
    const starting = this.#host.startThread(config, { ...options, signal }).then(({ thread }) => thread);
    this.#threads.push(starting.catch(() => undefined));
    return starting;
  };

  async end(): Promise<void> {
    this.#isOver = true;
    await Promise.all(this.#threads.map(async (starting) => (await starting)?.shutdown().catch(() => undefined)));
  }
}

/** The tasks, given out one at a time, in order. */
class Source<T, H extends ThreadHandle> {
  readonly #iterator: Iterator<Task<T, H>> | AsyncIterator<Task<T, H>>;
  #index = 0;
  #isDone = false;
  #asking: Promise<unknown> = Promise.resolve();

  constructor(tasks: Iterable<Task<T, H>> | AsyncIterable<Task<T, H>>) {
    this.#iterator = Symbol.asyncIterator in tasks ? tasks[Symbol.asyncIterator]() : tasks[Symbol.iterator]();
  }

  next(): Promise<{ readonly task: Task<T, H>; readonly index: number } | undefined> {
    const asked = this.#asking.then(async () => {
      if (this.#isDone) return undefined;
      const { done, value } = await this.#iterator.next();
      if (done) {
        this.#isDone = true;
        return undefined;
      }
      return { task: value, index: this.#index++ };
    });
    this.#asking = asked.catch(() => {
      this.#isDone = true;
    });
    return asked;
  }

  /** Nothing more is asked for. One that hangs is not waited for. */
  close(): void {
    if (this.#isDone) return;
    this.#isDone = true;
    void Promise.resolve(this.#iterator.return?.()).catch(() => undefined);
  }
}

function checkedConcurrency(what: string, given: number | undefined, maxTurns: number): number {
  if (given === undefined) return Number.isFinite(maxTurns) ? maxTurns : DEFAULT_CONCURRENCY;
  if (given === Number.POSITIVE_INFINITY || (Number.isSafeInteger(given) && given >= 1)) return given;
  throw new InvalidRequestError(`${what}: \`concurrency\` must be a whole number from 1 on, or Infinity; got ${given}`);
}

/** All results, in order. @throws FanOutError by the first failure */
export async function allOf<T, H extends ThreadHandle>(
  host: FanOutHost<H>,
  { what, tasks }: Pick<Plan<T, H>, "what" | "tasks">,
  options: FanOutOptions,
): Promise<T[]> {
  const isDecided = (outcome: TaskOutcome<T>) => outcome.status === "rejected";
  const { outcomes, decided } = await runTasks(host, { what, tasks, isDecided }, options);
  if (decided !== undefined) throw failureAt(what, decided, outcomes);
  return outcomes.map((outcome) => (outcome as PromiseFulfilledResult<T>).value);
}

/** What each came to, in order. */
export async function settledOf<T, H extends ThreadHandle>(
  host: FanOutHost<H>,
  { what, tasks }: Pick<Plan<T, H>, "what" | "tasks">,
  options: FanOutOptions,
): Promise<TaskOutcome<T>[]> {
  const { outcomes } = await runTasks(host, { what, tasks, isDecided: () => false }, options);
  return outcomes as TaskOutcome<T>[];
}

/** The first result. @throws FanOutError when all have failed */
export async function firstOf<T, H extends ThreadHandle>(
  host: FanOutHost<H>,
  { what, tasks }: Pick<Plan<T, H>, "what" | "tasks">,
  options: FanOutOptions,
): Promise<T> {
  const isDecided = (outcome: TaskOutcome<T>) => outcome.status === "fulfilled";
  const { outcomes, decided } = await runTasks(host, { what, tasks, isDecided }, options);
  if (decided !== undefined) return (outcomes[decided] as PromiseFulfilledResult<T>).value;
  throw failureAt(
    what,
    outcomes.findIndex((outcome) => outcome?.status === "rejected"),
    outcomes,
  );
}

function failureAt(what: string, index: number, outcomes: readonly (TaskOutcome | undefined)[]): FanOutError {
  const cause: unknown = (outcomes[index] as PromiseRejectedResult | undefined)?.reason;
  const others = outcomes.filter((outcome) => outcome?.status === "rejected").length - 1;
  const more = others > 0 ? ` (and ${others} more failed)` : "";
  return new FanOutError(`${what}: task ${index} failed: ${textOfThrown(cause)}${more}`, { cause, index, outcomes });
}
