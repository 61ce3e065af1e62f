import type { Observable } from "rxjs";
import { withDeadline } from "../kernel/cancellation.ts";
import {
  type AgentRule,
  type AgentStatus,
  isFinalStatus,
  lastStatusOf,
  statusUnder,
} from "../protocol/agent-status.ts";
import { checkCallOptions, checkObject, WAIT_OPTIONS } from "../protocol/call-options.ts";
import { DeadlineExceededError, InvalidRequestError, ThreadNotFoundError } from "../protocol/errors.ts";
import { parseThreadId, type SubmissionId, type ThreadId, type TurnId } from "../protocol/ids.ts";
import type { Op } from "../protocol/op.ts";
import type { ResponseItem } from "../protocol/response-item.ts";
import type { ThreadConfig } from "../protocol/thread-config.ts";
import type { UserInput } from "../protocol/user-input.ts";
import type { LiveThread } from "../thread/live-thread.ts";
import type { Thread, WaitOptions } from "../thread/thread.ts";
import { inTime, whileOpen } from "../thread/wait-options.ts";
import { whileWaiting } from "../turn/tool-scope.ts";
import type { AgentInfo, AgentNode } from "./agent-node.ts";
import { flat } from "./agent-tree.ts";
import type { Capacity } from "./capacity.ts";
import { runtimeOf } from "./runtime-of.ts";
import type { ShutdownReport } from "./shutdown-report.ts";
import { givenThreadOptions, type ThreadOptions } from "./thread-options.ts";
import type { AgentThreads } from "./threads.ts";

/** What some agents had come to when the wait ended: those that were final then, and whether time ran out first. */
export type WaitOutcome = { readonly status: Readonly<Record<ThreadId, AgentStatus>>; readonly timedOut: boolean };

/** Codex: 30 s by default, 5 minutes at most, since then an hour (larger values are cut down). */
const DEFAULT_WAIT_MS = 30_000;
const DEFAULT_SHUTDOWN_MS = 10_000;
const LONGEST_WAIT_MS: Readonly<Record<AgentRule, number>> = { "0.80": 300_000, "0.169": 3_600_000 };

/** What an agent is told: a text, or a user's items. */
export type AgentPrompt = string | readonly UserInput[];

/** How an agent is started. */
export type AgentOptions = ThreadOptions & {
  /** What the agent knows from the beginning, of its parent's conversation; by default nothing. */
  readonly history?: readonly ResponseItem[] | undefined;
  /** The user's turn that the agent works for. */
  readonly rootTurn?: TurnId | undefined;
};

/** `id`: the submission's, where the caller chooses one. */
export type SubmitOptions = {
  readonly id?: string | undefined;
  /** The user's turn that the prompt is a part of. */
  readonly rootTurn?: TurnId | undefined;
  readonly signal?: AbortSignal | undefined;
};
const SUBMIT = ["id", "rootTurn", "signal"] satisfies (keyof SubmitOptions)[];

/** `rule`: whether an interrupted agent counts as done, as it does by default (`0.80`). */
export type WaitForOptions = WaitOptions & {
  readonly rule?: AgentRule | undefined;
  /** How many have to be final: one (`any`, the default), `all`, or so many. */
  readonly mode?: "any" | "all" | number | undefined;
};
const WAIT_FOR = [...WAIT_OPTIONS, "rule", "mode"] satisfies (keyof WaitForOptions)[];

/**
 * What an agent may do with other agents (SPEC 14.1). It holds the manager weakly, so that threads that are given one
 * never keep the manager alive: once the manager is gone, statuses are `not_found` and everything else fails with
 * InvalidRequestError `unsupported operation: thread manager dropped`.
 */
export class AgentControl {
  readonly #manager: WeakRef<object> | undefined;

  /** `manager`: a ThreadManager. Without one, it behaves as if that were gone. */
  constructor(manager?: object) {
    this.#manager = manager === undefined ? undefined : new WeakRef(manager);
  }

  #alive(): AgentThreads | undefined {
    const manager = this.#manager?.deref();
    const threads = manager === undefined ? undefined : runtimeOf(manager);
    return threads?.isClosing ? undefined : threads;
  }

  #threads(): AgentThreads {
    const threads = this.#alive();
    if (threads === undefined) throw new InvalidRequestError("unsupported operation: thread manager dropped");
    return threads;
  }

  /**
   * Starts a thread and sends it the prompt; when that fails, nothing is left. With `parentThreadId` it counts against
   * that thread's limits, and ends when that thread ends for good, unless `agent.endsWithParent` is false.
   * @throws LimitReachedError, and whatever starting a thread throws
   */
  async spawnAgent(config: ThreadConfig | undefined, prompt: AgentPrompt, given: AgentOptions = {}): Promise<ThreadId> {
    const threads = this.#threads();
    requirePrompt(prompt);
    checkObject("options", given);
    const { history, rootTurn, ...rest } = given;
    const options = givenThreadOptions(rest);
    const start = (signal: AbortSignal | undefined) =>
      this.#spawn(threads, config, prompt, { ...options, history, rootTurn, signal });
    return inTime("the start of an agent", start, options, threads);
  }

  async #spawn(
    threads: AgentThreads,
    config: ThreadConfig | undefined,
    prompt: AgentPrompt,
    { history = [], rootTurn, ...options }: AgentOptions,
  ): Promise<ThreadId> {
    const items = history.map((payload) => ({ type: "response_item" as const, payload }));
    const agent = { endsWithParent: options.parentThreadId !== undefined, ...options.agent };
    const { threadId, thread } =
      items.length === 0
        ? await threads.maker.spawn(config, { ...options, agent })
        : await threads.maker.fork({ history: { type: "forked", items } }, "full", config, {
            ...options,
            agent: { ...agent, forkedFrom: options.parentThreadId },
          });
    const parent = options.parentThreadId;
    try {
      options.signal?.throwIfAborted();
      // Stored before the agent has its task: a process that dies meanwhile owes the notice still.
      if (parent !== undefined && agent.notifiesParent !== false)
        await threads.notices.follow(await threads.get(threadId), parent);
      await submitPrompt(thread, prompt, { rootTurn, signal: options.signal });
    } catch (error) {
      await threads.discard(threadId);
      throw error;
    }
    return threadId;
  }

  /** @throws ThreadNotFoundError */
  async sendPrompt(id: string, prompt: AgentPrompt, options: SubmitOptions = {}): Promise<SubmissionId> {
    const threads = this.#threads();
    requirePrompt(prompt);
    checkCallOptions("sendPrompt", options, SUBMIT);
    const to = parseThreadId(id);
    const thread = await whileOpen(threads.get(to, options.signal), threads.over).catch((error: unknown) => {
      if (!options.signal?.aborted) {
        threads.deadLetters.note({ to, id: options.id ?? null, message: promptOf(prompt, options), error });
      }
      throw error;
    });
    return submitPrompt(thread, prompt, options);
  }

  /** Resolves when the running turn has ended; at once without one. @throws ThreadNotFoundError */
  async interrupt(id: string, options: WaitOptions = {}): Promise<void> {
    checkCallOptions("interrupt", options, WAIT_OPTIONS);
    const threads = this.#threads();
    const threadId = parseThreadId(id);
    const interrupt = async (signal: AbortSignal | undefined) =>
      (await threads.get(threadId, signal)).interrupt({ ...options, signal });
    await inTime(`the interrupt of agent ${threadId}`, interrupt, options, threads);
  }

  /** `not_found` when the thread is not in the manager, or the manager is gone. */
  async getStatus(id: string): Promise<AgentStatus> {
    const threads = this.#alive();
    if (threads === undefined) return "not_found";
    const place = await threads.locate(parseThreadId(id));
    if (place === undefined) return "not_found";
    return "unloaded" in place ? place.unloaded.outcome : place.thread.outcome;
  }

  /** The status now, and each change. @throws ThreadNotFoundError */
  async subscribeStatus(id: string): Promise<Observable<AgentStatus>> {
    return (await this.#threads().get(parseThreadId(id))).status$;
  }

  /** Shuts the thread down and takes it out of the manager, whatever the outcome. @throws ThreadNotFoundError */
  async shutdownAgent(id: string, options: WaitOptions = {}): Promise<void> {
    const threads = this.#threads();
    const threadId = parseThreadId(id);
    checkCallOptions("shutdownAgent", options, WAIT_OPTIONS);
    const remove = (signal: AbortSignal | undefined) => threads.remove(threadId, signal);
    const thread = await inTime(`the removal of agent ${threadId}`, remove, options, threads);
    if (thread === undefined) throw new ThreadNotFoundError(threadId);
    await thread.shutdown(options);
  }

  /**
   * Waits until at least one of the agents is final, or as many as `mode` says, and tells of all that are final then. Agents that
   * are not there count as final `not_found`. When time runs out first, those are told that are final by then.
   * @throws InvalidRequestError for no ids, no time, or a mode that they can't come to
   */
  async waitFor(ids: readonly string[], options: WaitForOptions = {}): Promise<WaitOutcome> {
    const threads = this.#threads();
    if (!Array.isArray(ids)) throw new InvalidRequestError("ids must be a list of thread ids");
    if (ids.length === 0) throw new InvalidRequestError("ids must be non-empty");
    checkCallOptions("waitFor", options, WAIT_FOR);
    const { deadlineMs = DEFAULT_WAIT_MS, rule = "0.80" } = options;
    if (deadlineMs <= 0) throw new InvalidRequestError("timeout_ms must be greater than zero");
    const threadIds = [...new Set(ids.map(parseThreadId))];
    const wanted = wantedOf(options.mode, threadIds.length);
    const isFinal: IsFinal = (status) => isFinalStatus(statusUnder(rule, status));
    const wait = new Wait(threadIds, isFinal, wanted);
    // One that can't be loaded to be watched keeps nobody from being told of the others.
    const enough = (signal: AbortSignal) => {
      const looking = threadIds.map(async (id) => wait.add(await this.#find(threads, id, isFinal, signal)));
      return Promise.race([wait.enough, Promise.all(looking).then(() => wait.enough)]);
    };
    try {
      await whileWaiting(threadIds, () =>
        whileOpen(
          withDeadline("the wait for agents", enough, {
            deadlineMs: Math.min(deadlineMs, LONGEST_WAIT_MS[rule]),
            signal: options.signal,
            clock: threads.clock,
          }),
          threads.over,
        ),
      );
      return { status: wait.final(), timedOut: false };
    } catch (error) {
      if (options.signal?.aborted || !(error instanceof DeadlineExceededError)) throw error;
      return { status: wait.final(), timedOut: true };
    } finally {
      wait.stop();
    }
  }

  /** The thread and its agents as a tree; without one, those of all open threads that no open thread has started. @throws ThreadNotFoundError */
  tree(): Promise<readonly AgentNode[]>;
  tree(root: string): Promise<AgentNode>;
  async tree(root?: string): Promise<AgentNode | readonly AgentNode[]> {
    const { tree } = this.#threads();
    return root === undefined ? tree.all() : tree.of(parseThreadId(root));
  }

  /** The same as a list, each before its agents. @throws ThreadNotFoundError */
  async list(root?: string): Promise<readonly AgentInfo[]> {
    return flat(root === undefined ? await this.tree() : [await this.tree(root)]);
  }

  /** As `manager.capacity()`. */
  capacity(): Capacity {
    return this.#threads().capacity();
  }

  /**
   * Ends a thread and all agents under it, children before parents and the last started first; what still runs at the deadline (default
   * 10,000 ms) is ended by force. Nobody can be started under it meanwhile. @throws ThreadNotFoundError
   */
  async shutdownTree(id: string, options: { deadlineMs?: number } = {}): Promise<ShutdownReport> {
    checkCallOptions("shutdownTree", options, ["deadlineMs"]);
    return this.#threads().shutdownTree(parseThreadId(id), options.deadlineMs ?? DEFAULT_SHUTDOWN_MS);
  }

  async #find(threads: AgentThreads, threadId: ThreadId, isFinal: IsFinal, signal: AbortSignal): Promise<Agent> {
    const place = await threads.locate(threadId);
    if (place === undefined) return { threadId, status: "not_found" };
    if ("unloaded" in place && isFinal(place.unloaded.outcome)) {
      return { threadId, status: place.unloaded.outcome };
    }
    return { threadId, thread: await threads.get(threadId, signal) };
  }
}

/** One that has to be watched, or one whose status is final already. */
type Agent = { readonly threadId: ThreadId } & ({ readonly thread: LiveThread } | { readonly status: AgentStatus });

type IsFinal = (status: AgentStatus) => boolean;

function wantedOf(mode: WaitForOptions["mode"], agents: number): number {
  if (mode === undefined || mode === "any") return 1;
  if (mode === "all") return agents;
  if (Number.isInteger(mode) && mode >= 1 && mode <= agents) return mode;
  throw new InvalidRequestError(`mode: must be "any", "all" or a number from 1 to ${agents}`);
}

/** Follows some agents until so many of them are final. */
class Wait {
  readonly enough: Promise<void>;
  readonly #agents = new Map<ThreadId, Agent | undefined>();
  readonly #isFinal: IsFinal;
  readonly #note: (threadId: ThreadId, status: AgentStatus) => void;
  readonly #subscriptions: { unsubscribe(): void }[] = [];
  #isOver = false;

  constructor(threadIds: readonly ThreadId[], isFinal: IsFinal, wanted: number) {
    for (const threadId of threadIds) this.#agents.set(threadId, undefined);
    this.#isFinal = isFinal;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.enough = promise;
    const final = new Set<ThreadId>();
    this.#note = (threadId, status) => {
      // One that goes on with more input is final no more.
      if (!isFinal(status)) final.delete(threadId);
      else if (final.add(threadId).size >= wanted) resolve();
    };
  }

  add(agent: Agent): void {
    const { threadId } = agent;
    if (this.#isOver) return;
    this.#agents.set(threadId, agent);
    this.#note(threadId, statusOf(agent));
    if ("status" in agent) return;
    const next = (status: AgentStatus) => this.#note(threadId, status);
    this.#subscriptions.push(agent.thread.status$.subscribe({ next, complete: () => next("shutdown") }));
  }

  final(): Record<ThreadId, AgentStatus> {
    const found = [...this.#agents.values()].filter((agent) => agent !== undefined);
    const statuses = found.map((agent) => [agent.threadId, statusOf(agent)] as const);
    return Object.fromEntries(statuses.filter(([, status]) => this.#isFinal(status)));
  }

  stop(): void {
    this.#isOver = true;
    for (const subscription of this.#subscriptions) subscription.unsubscribe();
  }
}

const statusOf = (agent: Agent): AgentStatus => ("status" in agent ? agent.status : lastStatusOf(agent.thread));

function requirePrompt(prompt: AgentPrompt): void {
  if (typeof prompt !== "string" && !Array.isArray(prompt))
    throw new InvalidRequestError('prompt: give a text, or input items such as { type: "text", text }');
  const isEmpty = typeof prompt === "string" ? prompt.trim() === "" : prompt.length === 0;
  if (isEmpty) throw new InvalidRequestError("Empty message can't be sent to an agent");
}

function submitPrompt(
  thread: Thread,
  prompt: AgentPrompt,
  { id, rootTurn, signal }: SubmitOptions,
): Promise<SubmissionId> {
  const op = promptOf(prompt, { rootTurn });
  return id === undefined ? thread.submit(op, { signal }) : thread.submitWithId({ id, op }, { signal });
}

function promptOf(prompt: AgentPrompt, { rootTurn }: Pick<SubmitOptions, "rootTurn">): Op {
  const items: UserInput[] = typeof prompt === "string" ? [{ type: "text", text: prompt }] : [...prompt];
  return { type: "user_input", items, ...(rootTurn === undefined ? {} : { root_turn_id: rootTurn }) };
}
