/** The threads of a worker's manager, as invocations need them: what is noted of them, and how they are loaded. */
import type { SkeinLogger } from "../kernel/log.ts";
import type { Post } from "../manager/post.ts";
import type { Prompt } from "../manager/requests.ts";
import type { ThreadManager } from "../manager/thread-manager.ts";
import type { BudgetUse } from "../protocol/budget.ts";
import { DeadlineExceededError, InvalidRequestError, RolloutNotFoundError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { StoredTimer } from "../protocol/schedule.ts";
import type { ServerAnswer, ServerAsk } from "../protocol/server-ask.ts";
import type { ResolvedThreadConfig, ThreadConfig } from "../protocol/thread-config.ts";
import type { StandingNotes } from "../store/standing-notes.ts";
import { LiveThread } from "../thread/live-thread.ts";
import {
  type ClusterNote,
  type Facts,
  PROTOCOL_VERSION,
  type Run,
  readNote,
  type SentConfig,
  type StepAnswer,
  type StepAsk,
} from "./wire.ts";

/** What of a manager a worker uses. */
export type WorkerThreads = {
  readonly manager: ThreadManager;
  readonly notes: StandingNotes;
  readonly logger: SkeinLogger;
  /** How long a lease that a living worker holds is waited for before it is taken: its attempt is over. */
  readonly leasePatienceMs: number;
  /** Where clients reach the live side; null before the worker listens. */
  readonly url: () => string | null;
  giveAway(threadId: ThreadId): Promise<void>;
  /** Reads what a turn of the thread needs before it asks its model. Never rejects: what can't be read, the turn tells. */
  readAhead(thread: LiveThread, signal: AbortSignal): Promise<unknown>;
  /** The living agents under a thread, at any depth, but for those that an invocation of their own runs or opens here. */
  agentsUnder(threadId: ThreadId): readonly ThreadId[];
  /** What stands in the thread's note. */
  timersOf(threadId: ThreadId): Promise<readonly StoredTimer[]>;
  /** Stores a message for the thread, which is given to it from then on. */
  receive(thread: LiveThread, post: Post): Promise<void>;
  /** How a turn answers a request; undefined where the thread's own logic does. @throws MessageRefusedError */
  promptOf(thread: LiveThread, post: Post): Promise<Prompt | undefined>;
  /** What the thread's own logic replies. @throws RequestFailedError, MessageRefusedError */
  answer(post: Post, signal: AbortSignal): Promise<unknown>;
  /** Asks an MCP server of the thread's, and the thread's user for it. */
  askServer(thread: LiveThread, ask: ServerAsk, signal: AbortSignal): Promise<ServerAnswer>;
  /** Writes down what a client says of a step. @throws StepFailedError */
  stepOf(thread: LiveThread, ask: StepAsk, signal: AbortSignal): Promise<StepAnswer>;
  isServing(threadId: ThreadId): boolean;
  /** Of a thread that is not loaded here. */
  budgetOf(threadId: ThreadId, config: ResolvedThreadConfig): Promise<BudgetUse | undefined>;
};

/** @throws RolloutNotFoundError for a thread that is not stored, or was never the cluster's */
export async function noteOf({ manager, notes }: WorkerThreads, threadId: ThreadId): Promise<ClusterNote> {
  const note = readNote(await notes.read(threadId, "cluster"));
  if (note !== undefined) return note;
  await manager.store.get(threadId);
  throw new RolloutNotFoundError(
    `thread ${threadId} is stored, and no cluster has opened it yet: resume it by resumeThread first`,
  );
}

/** Loads a thread, taking its lease: that of a dead worker is free, and that of one whose attempt is over may be taken from it. */
export async function loadThread(
  { manager, leasePatienceMs, logger }: WorkerThreads,
  threadId: ThreadId,
  config: ThreadConfig,
  signal?: AbortSignal,
): Promise<LiveThread> {
  const options = { initialMessages: "none", signal } as const;
  let made: Awaited<ReturnType<ThreadManager["resumeThread"]>>;
  try {
    made = await manager.resumeThread(threadId, config, { ...options, lease: "wait", deadlineMs: leasePatienceMs });
  } catch (error) {
    if (!(error instanceof DeadlineExceededError)) throw error;
    logger.warn({ threadId }, "the lease is held by a worker whose attempt is over: it is taken");
    made = await manager.resumeThread(threadId, config, { ...options, lease: "takeOver" });
  }
  return liveOf(made.thread);
}

/** @throws InvalidRequestError for a thread of another copy of this package */
export function liveOf(thread: unknown): LiveThread {
  if (thread instanceof LiveThread) return thread;
  throw new InvalidRequestError("createWorker: the manager is of another copy of skein; import both from one");
}

export function sentConfig({ config: given }: LiveThread): SentConfig {
  const { tools: _, messages: __, mcpServers: ___, shellEnvironmentPolicy: ____, ...config } = given;
  return config;
}

/** What handles are shown, once all that the thread has said is stored. */
export async function factsOf(thread: LiveThread): Promise<Facts> {
  const { incarnation, sessionConfigured, epoch, status, tokenUsage } = thread;
  await incarnation.storage.flush();
  return {
    ...{ threadId: thread.id, epoch, status, config: sentConfig(thread), tokenUsage },
    configured: { ...sessionConfigured, initial_messages: null },
    position: incarnation.writer.position().ordinal,
  };
}

/** What ops have changed stays, whichever worker runs the next turn; but for MCP servers, whose secrets stand in no note. */
function changedSettings(now: SentConfig, began: SentConfig): ThreadConfig {
  const before: Readonly<Record<string, unknown>> = began;
  return Object.fromEntries(
    Object.entries(now).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(before[name])),
  );
}

/** A thread's note while it runs here, and the settings that it began with. */
export type AtWork = { readonly note: ClusterNote & { readonly run: Run }; readonly began: SentConfig };

/** What it, or an agent that has its settings from it, is given from now on in place of the workers' own settings. */
export const configSince = ({ note, began }: AtWork, now: SentConfig): ThreadConfig => ({
  ...note.config,
  ...changedSettings(now, began),
});

export const newNote = (config: ThreadConfig, facts: Facts): ClusterNote => ({
  ...{ protocol: PROTOCOL_VERSION, config, state: "open", facts, run: null, fence: facts.epoch },
});
