/** What a manager offers over fan-out.ts: many inputs through one function, many tasks at once, the first of many. */
import { checkCallOptions, WAIT_OPTIONS } from "../protocol/call-options.ts";
import { InvalidRequestError, type TaskOutcome, TurnFailedError } from "../protocol/errors.ts";
import type { ThreadConfig } from "../protocol/thread-config.ts";
import type { UserInput } from "../protocol/user-input.ts";
import type { Thread, ThreadHandle } from "../thread/thread.ts";
import type { TurnResult } from "../thread/turn-result.ts";
import {
  allOf,
  type FailureMode,
  type FanOutHost,
  type FanOutOptions,
  firstOf,
  settledOf,
  type Task,
  type TaskContext,
} from "./fan-out.ts";

/** Where a `map`'s inputs come from. An asynchronous source is asked for the next input as a place comes free. */
export type Inputs<I> = Iterable<I> | AsyncIterable<I>;

/** How a `map` goes about its inputs. */
export type MapOptions<I, R, H extends ThreadHandle = Thread> = FanOutOptions & {
  /** What is done with each input. */
  readonly run: (input: I, context: TaskContext<H>) => R | PromiseLike<R>;
  readonly onFailure?: FailureMode | undefined;
};

/** How a `map` without a function goes about its prompts: each is one turn of a new thread. */
export type PromptOptions = FanOutOptions & {
  readonly run?: undefined;
  /** Of the threads. */
  readonly config?: ThreadConfig | undefined;
  readonly onFailure?: FailureMode | undefined;
};

/** How the tasks of a `gather` run, and what a failure does to the others. */
export type GatherOptions = FanOutOptions & { readonly onFailure?: FailureMode | undefined };

/** What a task of a `gather` comes to. */
export type ResultOf<T> = T extends (context: never) => infer R ? Awaited<R> : Awaited<T>;

export const FAN_OUT = [...WAIT_OPTIONS, "concurrency"] satisfies (keyof FanOutOptions)[];
const GATHER = [...FAN_OUT, "onFailure"] satisfies (keyof GatherOptions)[];

type Prompt = string | readonly UserInput[];

export function map<I, H extends ThreadHandle>(
  host: FanOutHost<H>,
  inputs: Inputs<I>,
  options: MapOptions<I, unknown, H> | PromptOptions = {},
): Promise<unknown[]> {
  if (!isSource(inputs)) throw new InvalidRequestError("map: give the inputs, an array or any other iterable");
  checkCallOptions("map", options, [...GATHER, "run", "config"]);
  const { run } = options;
  if (run !== undefined && typeof run !== "function")
    throw new InvalidRequestError("map: `run` is a function of an input and its context");
  const one = run ?? turnOf((options as PromptOptions).config);
  const plan = { what: "map", tasks: tasksOf(inputs, one as (input: I, context: TaskContext<H>) => unknown) };
  return carriedOut(host, plan, options);
}

export function gather<H extends ThreadHandle>(
  host: FanOutHost<H>,
  tasks: readonly (Task<unknown, H> | PromiseLike<unknown>)[],
  options: GatherOptions = {},
): Promise<unknown[]> {
  checkCallOptions("gather", options, GATHER);
  return carriedOut(host, { what: "gather", tasks: checked("gather", tasks) }, options);
}

export async function race<T, H extends ThreadHandle>(
  host: FanOutHost<H>,
  tasks: readonly (Task<T, H> | PromiseLike<T>)[],
  options: FanOutOptions = {},
): Promise<T> {
  checkCallOptions("race", options, FAN_OUT);
  const all = checked("race", tasks);
  if (all.length === 0) throw new InvalidRequestError("race: give a task at least, or nobody ever wins");
  return firstOf(host, { what: "race", tasks: all }, { concurrency: Number.POSITIVE_INFINITY, ...options });
}

function carriedOut<T, H extends ThreadHandle>(
  host: FanOutHost<H>,
  plan: Parameters<typeof allOf<T, H>>[1],
  { onFailure = "stop", ...options }: GatherOptions,
): Promise<T[] | TaskOutcome<T>[]> {
  if (onFailure !== "stop" && onFailure !== "settle")
    throw new InvalidRequestError(`${plan.what}: \`onFailure\` is "stop" or "settle"`);
  return onFailure === "stop" ? allOf(host, plan, options) : settledOf(host, plan, options);
}

const isSource = (value: unknown): boolean =>
  typeof value === "object" && value !== null && (Symbol.iterator in value || Symbol.asyncIterator in value);

function tasksOf<I, R, H extends ThreadHandle>(
  inputs: Inputs<I>,
  run: (input: I, context: TaskContext<H>) => R,
): Iterable<Task<R, H>> | AsyncIterable<Task<R, H>> {
  const taskOf = (input: I) => (context: TaskContext<H>) => run(input, context);
  if (Symbol.asyncIterator in inputs) {
    return (async function* () {
      for await (const input of inputs) yield taskOf(input);
    })();
  }
  return (function* () {
    for (const input of inputs) yield taskOf(input);
  })();
}

/** A promise runs already: it is only waited for, and what becomes of it is never unheard. */
function checked<T, H extends ThreadHandle>(
  what: string,
  tasks: readonly (Task<T, H> | PromiseLike<T>)[],
): Task<T, H>[] {
  if (!Array.isArray(tasks)) throw new InvalidRequestError(`${what}: give an array of tasks`);
  return tasks.map((task: Task<T, H> | PromiseLike<T>, index) => {
    if (typeof task === "function") return task;
    if (typeof task?.then !== "function")
      throw new InvalidRequestError(`${what}: task ${index} is neither a function nor a promise`);
    task.then(undefined, () => undefined);
    return () => task;
  });
}

const turnOf =
  (config: ThreadConfig | undefined) =>
  async (input: Prompt, { startThread, signal }: TaskContext<ThreadHandle>): Promise<TurnResult> =>
    completed(await (await startThread(config)).run(input, { signal }));

/** @throws TurnFailedError for a turn that gave no result */
export function completed(result: TurnResult): TurnResult {
  if (result.status === "completed") return result;
  throw new TurnFailedError(
    result.error === null ? "the turn was interrupted" : `the turn failed: ${result.error.message}`,
  );
}
