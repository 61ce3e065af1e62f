/** Many ways to go on from one place: a fork for each, side by side, and the best one stays. */
import { checkCallOptions, checkObject, ofType, oneOf } from "../protocol/call-options.ts";
import { FanOutError, InvalidRequestError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { ForkAnchor } from "../protocol/initial-history.ts";
import type { ThreadConfig } from "../protocol/thread-config.ts";
import type { NewThread, Thread, ThreadHandle } from "../thread/thread.ts";
import { type FanOutHost, type FanOutOptions, settledOf, type TaskContext } from "./fan-out.ts";
import { completed, FAN_OUT } from "./side-by-side.ts";
import type { ForkSource } from "./supervisor-messages.ts";

/** Where a tournament's forks begin: a thread as it stands, or an anchor of one, with the forks' settings. */
export type ForkPoint =
  | ThreadHandle
  | ThreadId
  | string
  | { readonly from: ForkSource | string; readonly at?: ForkAnchor; readonly config?: ThreadConfig };

/** A fork, and what it came to. */
export type Entry<R, H extends ThreadHandle = Thread> = {
  readonly index: number;
  readonly thread: H;
  /** Where its task failed, or its score could not be told. */
  readonly error?: unknown;
  readonly result?: R;
  readonly score?: number;
};

/** A fork that has come to a result. */
export type Contender<R, H extends ThreadHandle = Thread> = Entry<R, H> & { readonly result: R };

/** What the forks of a tournament do, and how the winner is found. */
export type TournamentOptions<R, H extends ThreadHandle = Thread> = FanOutOptions & {
  /** What each fork does. Default: a turn of `prompt`, whose last message is the result. */
  readonly run?: ((thread: H, context: Pick<TaskContext, "index" | "signal">) => R | PromiseLike<R>) | undefined;
  readonly prompt?: string | ((index: number) => string) | undefined;
  /** The highest wins; of equals, the first. */
  readonly score?: ((result: R, entry: Contender<R, H>) => number | PromiseLike<number>) | undefined;
  /** Names the winner's place among the contenders, in place of scores. */
  readonly judge?: ((contenders: readonly Contender<R, H>[]) => number | PromiseLike<number>) | undefined;
  /** What becomes of the other forks: they end and stay stored (the default), are deleted, or live on. */
  readonly losers?: "end" | "delete" | "keep" | undefined;
};

/** `winner.thread` lives on; `entries` stand in the order of the forks, failed ones too. */
export type TournamentResult<R, H extends ThreadHandle = Thread> = {
  readonly winner: Contender<R, H>;
  readonly entries: readonly Entry<R, H>[];
};

/** Who forks threads, and deletes them. */
export interface TournamentHost<H extends ThreadHandle = Thread> extends FanOutHost<H> {
  forkThread(from: Exclude<ForkPoint, string | ThreadHandle>, options: { signal: AbortSignal }): Promise<NewThread<H>>;
  deleteThread(threadId: ThreadId): Promise<void>;
}

export async function tournament<R, H extends ThreadHandle>(
  host: TournamentHost<H>,
  forkPoint: ForkPoint,
  count: number,
  options: TournamentOptions<R, H>,
): Promise<TournamentResult<R, H>> {
  const point = pointOf(forkPoint);
  check(count, options);
  const run = options.run ?? promptRun(options.prompt);
  const forking: Promise<H | undefined>[] = [];
  const play = async ({ index, signal }: TaskContext<H>) => {
    const made = host.forkThread(point, { signal }).then(({ thread }) => thread);
    forking[index] = made.catch(() => undefined);
    const thread = await made;
    return (await run(thread, { index, signal })) as R;
  };
  try {
    const tasks = Array.from({ length: count }, () => play);
    const outcomes = await settledOf(host, { what: "tournament", tasks }, options);
    const forks = await Promise.all(forking);
    const entries = await Promise.all(
      outcomes.map(async (outcome, index): Promise<Entry<R, H> | undefined> => {
        const thread = forks[index];
        if (thread === undefined) return undefined;
        if (outcome.status === "rejected") return { index, thread, error: outcome.reason };
        return scored({ index, thread, result: outcome.value }, options.score);
      }),
    );
    const contenders = entries.filter((entry): entry is Contender<R, H> => entry !== undefined && !("error" in entry));
    if (contenders.length === 0) {
      const cause = outcomes
        .map((outcome) => (outcome.status === "rejected" ? outcome.reason : undefined))
        .find(Boolean);
      throw new FanOutError(
        `tournament: no fork came to a result${cause instanceof Error ? `: ${cause.message}` : ""}`,
        {
          cause: cause ?? entries.find((entry) => entry?.error !== undefined)?.error,
          outcomes,
        },
      );
    }
    const winner = await best(contenders, options.judge);
    await dismiss(
      host,
      forks.filter((thread) => thread !== winner.thread),
      options.losers ?? "end",
    );
    return { winner, entries: entries.filter((entry) => entry !== undefined) };
  } catch (error) {
    // Nobody has seen them: nothing is left behind.
    await dismiss(host, await Promise.all(forking), "delete");
    throw error;
  }
}

async function scored<R, H extends ThreadHandle>(
  entry: Contender<R, H>,
  score: TournamentOptions<R, H>["score"],
): Promise<Contender<R, H> | Entry<R, H>> {
  if (score === undefined) return entry;
  try {
    const value = await score(entry.result, entry);
    if (typeof value !== "number" || Number.isNaN(value))
      throw new InvalidRequestError(
        `tournament: \`score\` gave ${String(value)} for fork ${entry.index}, and not a number`,
      );
    return { ...entry, score: value };
  } catch (error) {
    return { ...entry, error };
  }
}

async function best<R, H extends ThreadHandle>(
  contenders: readonly Contender<R, H>[],
  judge: TournamentOptions<R, H>["judge"],
): Promise<Contender<R, H>> {
  if (judge === undefined)
    return contenders.reduce((one, other) => ((other.score ?? 0) > (one.score ?? 0) ? other : one));
  const at = await judge(contenders);
  const winner = contenders[at];
  if (winner === undefined)
    throw new InvalidRequestError(
      `tournament: \`judge\` named ${at}, and there are ${contenders.length} contenders, from 0 on`,
    );
  return winner;
}

async function dismiss<H extends ThreadHandle>(
  host: TournamentHost<H>,
  forks: readonly (H | undefined)[],
  how: "end" | "delete" | "keep",
): Promise<void> {
  if (how === "keep") return;
  const end = (thread: H) => (how === "end" ? thread.shutdown() : host.deleteThread(thread.id));
  await Promise.allSettled(forks.filter((thread) => thread !== undefined).map(end));
}

const promptRun =
  <R>(prompt: TournamentOptions<R>["prompt"]) =>
  async (thread: ThreadHandle, { index, signal }: Pick<TaskContext, "index" | "signal">): Promise<unknown> => {
    const text = typeof prompt === "function" ? prompt(index) : String(prompt);
    return completed(await thread.run(text, { signal })).lastAgentMessage;
  };

function pointOf(point: ForkPoint): Exclude<ForkPoint, string | ThreadHandle> {
  if (typeof point === "string") return { from: point };
  if (typeof point !== "object" || point === null) throw wrongPoint();
  if ("from" in point) return point;
  if (typeof point.id === "string") return { from: point.id };
  throw wrongPoint();
}

const wrongPoint = () =>
  new InvalidRequestError("tournament: give where the forks begin: a thread, its id, or { from, at, config }");

const TOURNAMENT = [
  ...FAN_OUT,
  "run",
  "prompt",
  "score",
  "judge",
  "losers",
] satisfies (keyof TournamentOptions<unknown>)[];
const TOURNAMENT_KINDS = {
  run: ofType("function"),
  prompt: (value: unknown) =>
    typeof value === "string" || typeof value === "function" ? undefined : "must be a text or a function",
  score: ofType("function"),
  judge: ofType("function"),
  losers: oneOf("end", "delete", "keep"),
};

function check<R, H extends ThreadHandle>(count: number, options: TournamentOptions<R, H>): void {
  checkObject("tournament: options", options);
  checkCallOptions("tournament", options, TOURNAMENT, TOURNAMENT_KINDS);
  const { run, prompt, score, judge } = options;
  if (!Number.isSafeInteger(count) || count < 1)
    throw new InvalidRequestError(`tournament: give how many forks there are to be, from 1 on; got ${count}`);
  if ((run === undefined) === (prompt === undefined))
    throw new InvalidRequestError("tournament: give `run` or `prompt`, what each fork is to do");
  if ((score === undefined) === (judge === undefined))
    throw new InvalidRequestError("tournament: give `score` or `judge`, by which the best is found");
}
