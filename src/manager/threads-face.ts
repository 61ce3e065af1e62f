import type { TaskOutcome } from "../protocol/errors.ts";
import type { SubmissionId, ThreadId } from "../protocol/ids.ts";
import type { ForkAnchor } from "../protocol/initial-history.ts";
import type { Op } from "../protocol/op.ts";
import type { ThreadConfig } from "../protocol/thread-config.ts";
import type { UserInput } from "../protocol/user-input.ts";
import type { ThreadPage, ThreadQuery } from "../store/thread-store.ts";
import type { NewThread, ThreadHandle, WaitOptions, WhenFull } from "../thread/thread.ts";
import type { TurnResult } from "../thread/turn-result.ts";
import type { FanOutOptions, Task } from "./fan-out.ts";
import type { ShutdownReport } from "./shutdown-report.ts";
import type { GatherOptions, Inputs, MapOptions, PromptOptions, ResultOf } from "./side-by-side.ts";
import type { ForkSource } from "./supervisor-messages.ts";
import type { ThreadOptions } from "./thread-options.ts";
import type { ForkPoint, TournamentOptions, TournamentResult } from "./tournament.ts";

/**
 * Threads, wherever they run: in this process (`ThreadManager`) or on many machines (`connect` of `skein/cluster`). A program
 * that is written for it runs on either.
 */
export interface Threads<H extends ThreadHandle = ThreadHandle> extends AsyncDisposable {
  /** Starts a new thread; it is stored, and has emitted SessionConfigured, when this resolves. */
  startThread(config?: ThreadConfig, options?: ThreadOptions): Promise<NewThread<H>>;
  /** Resumes a stored thread by its id. One that is loaded is given as it is. @throws RolloutNotFoundError */
  resumeThread(threadId: ThreadId | string, config?: ThreadConfig, options?: ThreadOptions): Promise<NewThread<H>>;
  /** Forks a thread at an anchor. @throws RolloutNotFoundError, InvalidForkPointError */
  forkThread(
    fork: { from: ForkSource | string; at?: ForkAnchor; config?: ThreadConfig },
    options?: ThreadOptions,
  ): Promise<NewThread<H>>;
  /** Takes a thread out, and gives it back still working; undefined when it was not there. */
  removeThread(threadId: ThreadId | string, options?: WaitOptions): Promise<H | undefined>;
  /** Ends the thread, and deletes what is stored of it; its forks keep what they need. @throws RolloutNotFoundError */
  deleteThread(threadId: ThreadId | string, options?: WaitOptions): Promise<void>;
  /** @throws ThreadNotFoundError */
  getThread(threadId: ThreadId | string, options?: WaitOptions): Promise<H>;
  /** The threads that are stored, a page at a time. Sub-agents are left out unless asked for. */
  listThreads(query?: ThreadQuery): Promise<ThreadPage>;
  /** Hands an op to a thread. @throws ThreadNotFoundError, and as Thread.submit */
  sendOp(
    threadId: ThreadId | string,
    op: Op,
    options?: WaitOptions & { id?: string; whenFull?: WhenFull },
  ): Promise<SubmissionId>;
  /** The thread's forks and their forks. */
  descendants(threadId: ThreadId | string): Promise<readonly ThreadId[]>;
  ancestors(threadId: ThreadId | string): Promise<readonly ThreadId[]>;
  /** Each input through `run`, or as the prompt of a new thread's turn, at most `concurrency` at once. @throws FanOutError */
  map<I, R>(
    inputs: Inputs<I>,
    options: MapOptions<I, R, H> & { onFailure: "settle" },
  ): Promise<TaskOutcome<Awaited<R>>[]>;
  map<I, R>(inputs: Inputs<I>, options: MapOptions<I, R, H>): Promise<Awaited<R>[]>;
  map(
    inputs: Inputs<string | readonly UserInput[]>,
    options: PromptOptions & { onFailure: "settle" },
  ): Promise<TaskOutcome<TurnResult>[]>;
  map(inputs: Inputs<string | readonly UserInput[]>, options?: PromptOptions): Promise<TurnResult[]>;
  /** Different tasks side by side; their results stand in the order of the tasks. @throws FanOutError */
  gather<const T extends readonly (Task<unknown, H> | PromiseLike<unknown>)[]>(
    tasks: T,
    options: GatherOptions & { onFailure: "settle" },
  ): Promise<{ -readonly [K in keyof T]: TaskOutcome<ResultOf<T[K]>> }>;
  gather<const T extends readonly (Task<unknown, H> | PromiseLike<unknown>)[]>(
    tasks: T,
    options?: GatherOptions,
  ): Promise<{ -readonly [K in keyof T]: ResultOf<T[K]> }>;
  /** The result of the first task that has one; the others are stopped. @throws FanOutError when all have failed */
  race<T>(tasks: readonly (Task<T, H> | PromiseLike<T>)[], options?: FanOutOptions): Promise<T>;
  /** Forks a place `count` times, has each fork go its way, and keeps the best. @throws FanOutError */
  tournament<R = string | null>(
    forkPoint: ForkPoint,
    count: number,
    options: TournamentOptions<R, H>,
  ): Promise<TournamentResult<R, H>>;
  /** Ends what is this program's to end: a manager's threads; of a cluster, the connection. */
  shutdown(options?: { deadlineMs?: number }): Promise<ShutdownReport>;
}
