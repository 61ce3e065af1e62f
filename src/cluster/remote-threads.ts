/** The threads of a cluster, for one program. */
import { type Observable, Subject } from "rxjs";
import { withDeadline } from "../kernel/cancellation.ts";
import { elapsedBy, sleep, systemClock } from "../kernel/clock.ts";
import type { FanOutOptions, Task } from "../manager/fan-out.ts";
import type { ShutdownReport } from "../manager/shutdown-report.ts";
import {
  type GatherOptions,
  gather,
  type Inputs,
  type MapOptions,
  map,
  type PromptOptions,
  race,
} from "../manager/side-by-side.ts";
import type { ForkSource } from "../manager/supervisor-messages.ts";
import { givenThreadOptions, type ThreadOptions, tellsHistory } from "../manager/thread-options.ts";
import {
  type ForkPoint,
  type TournamentHost,
  type TournamentOptions,
  type TournamentResult,
  tournament,
} from "../manager/tournament.ts";
import { checkCallOptions } from "../protocol/call-options.ts";
import { definedFields } from "../protocol/defined-fields.ts";
import {
  ClusterMismatchError,
  InvalidRequestError,
  ManagerClosedError,
  RolloutNotFoundError,
  ThreadNotFoundError,
} from "../protocol/errors.ts";
import type { EventMsg, SessionConfiguredEvent } from "../protocol/event.ts";
import { givenThreadId, newThreadId, parseThreadId, type SubmissionId, type ThreadId } from "../protocol/ids.ts";
import { eventMsgsOf, type ForkAnchor, parseInitialHistory } from "../protocol/initial-history.ts";
import type { MessageTo, Recipient, ReplyFrom, RequestTo, ThreadMessage } from "../protocol/message.ts";
import type { Op } from "../protocol/op.ts";
import type { RolloutLine } from "../protocol/rollout.ts";
import { parseThreadConfig, type ThreadConfig } from "../protocol/thread-config.ts";
import { ifStored } from "../store/is-stored.ts";
import type { ThreadPage, ThreadQuery, ThreadStore } from "../store/thread-store.ts";
import { checkCall, checkFork } from "../thread/call-checks.ts";
import type { PublishReport, RequestOptions, SendOptions } from "../thread/messaging.ts";
import type { NewThread, WaitOptions, WhenFull } from "../thread/thread.ts";
import type { Cluster, StartedAgent } from "./cluster-face.ts";
import type { ClusterThread } from "./cluster-thread.ts";
import { EngineCalls } from "./engine-calls.ts";
import type { Ingress } from "./ingress.ts";
import { REFUSED_OF_MANAGERS, refuseMembers } from "./refused-members.ts";
import { RemoteMessages } from "./remote-messages.ts";
import { RemoteThread } from "./remote-thread.ts";
import type { ThreadHost } from "./thread-host.ts";
import { type Facts, type Look, PROTOCOL_VERSION, type SentOptions, sendable, shownConfig } from "./wire.ts";

/** What was asked for and not awaited gets as long before the connection ends. */
const FINISH_MS = 2_000;
const AGENT_NOTED_MS = 10_000;
const AGENT_LOOK_MS = 25;

type Limited = { readonly signal?: AbortSignal | undefined; readonly deadlineMs?: number | undefined };

/** @throws InvalidRequestError, also for what only one process has */
function givenClusterOptions(given: unknown): ThreadOptions {
  const options = givenThreadOptions(given);
  if (options.lease === undefined) return options;
  throw new InvalidRequestError(
    "options.lease is not there over a cluster: its workers settle who writes a thread; leave it out",
  );
}

export class RemoteThreads implements Cluster, ThreadHost {
  readonly calls: EngineCalls;
  readonly messages: RemoteMessages;
  readonly #store: ThreadStore | undefined;
  readonly #closing = new AbortController();
  readonly signal: AbortSignal;
  readonly #handles = new Map<ThreadId, WeakRef<RemoteThread>>();
  readonly #forgotten = new FinalizationRegistry((threadId: ThreadId) => {
    if (this.#handles.get(threadId)?.deref() === undefined) this.#handles.delete(threadId);
  });
  readonly #agents = new Subject<StartedAgent>();
  readonly #unfinished = new Set<Promise<unknown>>();
  #isSameStore = false;

  /** @param store that of the workers, to be read from; `signal` ends the connection */
  constructor(
    ingress: Ingress,
    { store, signal }: { readonly store?: ThreadStore | undefined; readonly signal?: AbortSignal | undefined },
  ) {
    this.#store = store;
    this.signal = signal === undefined ? this.#closing.signal : AbortSignal.any([signal, this.#closing.signal]);
    this.calls = new EngineCalls(ingress, store, this.signal);
    this.messages = new RemoteMessages({
      calls: this.calls,
      bounded: (what, work, options) => this.#bounded(what, work, options),
      finish: (work) => this.finish(work),
      receiver: async (threadId, inner) => this.#handle(await this.#found(threadId, inner), { isNew: false }),
    });
    const disconnect = () => {
      this.#agents.complete();
      for (const handle of this.#handles.values()) handle.deref()?.disconnect();
    };
    if (this.signal.aborted) return;
    this.signal.addEventListener("abort", disconnect, { once: true });
  }

  // Threads.

  async startThread(config?: ThreadConfig, options?: ThreadOptions): Promise<NewThread<ClusterThread>> {
    return this.#make("the start of a thread", { config, options });
  }

  async forkThread(
    fork: { from: ForkSource | string; at?: ForkAnchor; config?: ThreadConfig },
    options?: ThreadOptions,
  ): Promise<NewThread<ClusterThread>> {
    checkFork(fork);
    const { from, at, config } = fork;
    return this.#make("the fork", { config, options, fork: { from: sourceOf(from), ...definedFields({ at }) } });
  }

  async #make(
    what: string,
    { config, options: given, fork }: { config: ThreadConfig | undefined; options: unknown; fork?: object },
  ): Promise<NewThread<ClusterThread>> {
    const options = givenClusterOptions(given);
    const { parentThreadId, agent, source, originator, historyMode, restart } = options;
    const sent: SentOptions = definedFields({ parentThreadId, agent, source, originator, historyMode, restart });
    const threadId = options.threadId === undefined ? newThreadId() : givenThreadId(options.threadId, "threadId");
    const request = {
      ...{ config: sendable(parseThreadConfig(config)), options: sent },
      ...{ isNamed: options.threadId !== undefined, ...(fork && { fork }) },
    };
    const facts = await this.#bounded(
      what,
      (signal) => this.calls.change<Facts>(threadId, "start", request, signal),
      options,
    );
    return this.#newThread(facts, fork === undefined ? { ...options, initialMessages: "none" } : options);
  }

  async #newThread(facts: Facts, options: ThreadOptions): Promise<NewThread<ClusterThread>> {
    await this.#checkStore(facts.threadId, options.signal);
    const note = { protocol: PROTOCOL_VERSION, config: {}, state: "open", facts, run: null } as const;
    const thread = this.#handle({ note, position: facts.position }, { isNew: true });
    return { threadId: facts.threadId, thread, sessionConfigured: await this.#configured(facts, options) };
  }

  /** A history is read for it where that is asked for: workers tell none of it. */
  async #configured(facts: Facts, options: ThreadOptions): Promise<SessionConfiguredEvent> {
    const { initialMessages = "none" } = options;
    const { threadId, position, configured, config } = facts;
    if (!tellsHistory(initialMessages, position)) return configured;
    const items: RolloutLine[] = [];
    const read = async (signal: AbortSignal) => {
      for await (const page of this.calls.lines(threadId, 0, position, signal)) items.push(...page);
    };
    await this.#bounded("the history", read, options);
    return { ...configured, initial_messages: eventMsgsOf({ type: "forked", items }, shownConfig(config)) };
  }

  /** A thread has one handle here, as long as somebody holds it. */
  #handle(look: Look, { isNew }: { isNew: boolean }): RemoteThread {
    const { threadId } = look.note.facts;
    const known = isNew ? undefined : this.#handles.get(threadId)?.deref();
    if (known !== undefined && known.status !== "shutdown") {
      known.takeLook(look);
      return known;
    }
    return this.#keep(new RemoteThread(this, look));
  }

  #keep(thread: RemoteThread): RemoteThread {
    this.#handles.set(thread.id, new WeakRef(thread));
    this.#forgotten.register(thread, thread.id);
    return thread;
  }

  /** The first thread that the workers have and the given store does not tells that it is another cluster's. */
  async #checkStore(threadId: ThreadId, signal: AbortSignal | undefined): Promise<void> {
    if (this.#store === undefined || this.#isSameStore) return;
    signal?.throwIfAborted();
    try {
      await this.#store.get(threadId);
      this.#isSameStore = true;
    } catch (cause) {
      if (!(cause instanceof RolloutNotFoundError)) throw cause;
      throw new ClusterMismatchError(
        `the store that connect was given has no thread ${threadId}, which the cluster's workers have: give it the store that they share, or none`,
        { cause },
      );
    }
  }

  async resumeThread(
    id: ThreadId | string,
    config?: ThreadConfig,
    given?: ThreadOptions,
  ): Promise<NewThread<ClusterThread>> {
    const options = givenClusterOptions(given);
    const threadId = givenThreadId(id, "threadId");
    const request = { config: sendable(parseThreadConfig(config)) };
    const atWork = await this.#bounded("the look", (signal) => this.#atWork(threadId, signal), options);
    if (atWork !== undefined) {
      await this.#checkStore(threadId, options.signal);
      const thread = this.#handle(atWork, { isNew: false });
      return { threadId, thread, sessionConfigured: await this.#configured(atWork.note.facts, options) };
    }
    const facts = await this.#bounded(
      "the resumption",
      (signal) => this.calls.change<Facts>(threadId, "open", request, signal),
      options,
    );
    return this.#newThread(facts, options);
  }

  async getThread(id: ThreadId | string, options: WaitOptions = {}): Promise<ClusterThread> {
    checkCall("getThread", options);
    const threadId = givenThreadId(id, "threadId");
    const look = await this.#bounded("the look", (signal) => this.#found(threadId, signal), options);
    await this.#checkStore(threadId, options.signal);
    return this.#handle(look, { isNew: false });
  }

  /** undefined for one that is not there, or was removed or closed. */
  async #openOne(threadId: ThreadId, signal: AbortSignal): Promise<Look | undefined> {
    const look = await ifStored(this.calls.look(threadId, signal));
    return look?.note.state === "open" ? look : undefined;
  }

  /** A thread that a worker has in memory is given as it is. */
  async #atWork(threadId: ThreadId, signal: AbortSignal): Promise<Look | undefined> {
    const look = await this.#openOne(threadId, signal);
    return look?.note.run == null ? undefined : look;
  }

  /** @throws ThreadNotFoundError for one that was removed or closed, too */
  async #found(threadId: ThreadId, signal: AbortSignal): Promise<Look> {
    const look = await this.#openOne(threadId, signal);
    if (look === undefined) throw new ThreadNotFoundError(threadId);
    return look;
  }

  async removeThread(id: ThreadId | string, options: WaitOptions = {}): Promise<ClusterThread | undefined> {
    checkCall("removeThread", options);
    const threadId = givenThreadId(id, "threadId");
    return this.#bounded(
      "the removal",
      async (signal) => {
        const look = await this.#openOne(threadId, signal);
        if (look === undefined) return undefined;
        const isDone = await this.calls.change<boolean>(threadId, "remove", {}, signal);
        return isDone ? this.#handle(look, { isNew: false }) : undefined;
      },
      options,
    );
  }

  async deleteThread(id: ThreadId | string, options: WaitOptions = {}): Promise<void> {
    checkCall("deleteThread", options);
    const threadId = givenThreadId(id, "threadId");
    const open = await this.removeThread(threadId, options);
    await open?.shutdown(options);
    await this.#bounded("the deletion", (signal) => this.calls.change(threadId, "delete", {}, signal), options);
  }

  async listThreads(query?: ThreadQuery): Promise<ThreadPage> {
    checkCall("listThreads", query);
    return this.calls.list(query);
  }

  async descendants(threadId: ThreadId | string): Promise<readonly ThreadId[]> {
    return this.calls.lineage(givenThreadId(threadId, "threadId"), "descendants");
  }

  async ancestors(threadId: ThreadId | string): Promise<readonly ThreadId[]> {
    return this.calls.lineage(givenThreadId(threadId, "threadId"), "ancestors");
  }

  async sendOp(
    id: ThreadId | string,
    op: Op,
    options: WaitOptions & { id?: string; whenFull?: WhenFull } = {},
  ): Promise<SubmissionId> {
    checkCall("sendOp", options);
    const threadId = givenThreadId(id, "threadId");
    const look = await this.#bounded("the look", (signal) => this.#found(threadId, signal), options);
    await this.#checkStore(threadId, options.signal);
    const { id: submissionId, ...others } = options;
    return this.#handle(look, { isNew: false }).submitAfter(look, { id: submissionId, op }, others);
  }

  // Agents of turns.

  get agents$(): Observable<StartedAgent> {
    return this.#agents.asObservable();
  }

  hear(parentThreadId: ThreadId, msg: EventMsg): void {
    if (!this.#agents.observed) return;
    if (msg.type === "collab_agent_spawn_end" && msg.new_thread_id)
      void this.#tellAgent(parseThreadId(msg.new_thread_id), parentThreadId, "start");
    if (msg.type === "collab_resume_end")
      void this.#tellAgent(parseThreadId(msg.receiver_thread_id), parentThreadId, "now");
  }

  /** Its worker notes it while the parent goes on: what is told of it may come first. */
  async #tellAgent(threadId: ThreadId, parentThreadId: ThreadId, since: "start" | "now"): Promise<void> {
    const { signal } = this;
    for (const end = elapsedBy(systemClock) + AGENT_NOTED_MS; !signal.aborted && elapsedBy(systemClock) < end; ) {
      try {
        const look = await this.#found(threadId, signal);
        const known = this.#handles.get(threadId)?.deref();
        // It was told before: its start is told again with the history.
        if (known !== undefined && since === "start") return;
        const thread = known ?? this.#keep(new RemoteThread(this, look, since));
        thread.takeLook(look);
        return this.#agents.next({ thread, parentThreadId });
      } catch (error) {
        // Nobody waits for this; whoever looks for the agent is told what is the matter.
        if (!(error instanceof ThreadNotFoundError)) return;
        await sleep(systemClock, AGENT_LOOK_MS, signal).catch(() => undefined);
      }
    }
  }

  // Messages.

  send<const To extends Recipient>(to: To, message: MessageTo<To>, options?: SendOptions): Promise<SubmissionId> {
    return this.messages.send(null, to, message, options);
  }

  request<const To extends Recipient, const Message extends RequestTo<To>>(
    to: To,
    message: Message,
    options?: RequestOptions,
  ): Promise<ReplyFrom<To, Message>> {
    return this.messages.request(null, to, message, options) as Promise<never>;
  }

  async publish(
    tree: ThreadId | string,
    topic: string,
    message: ThreadMessage,
    options?: SendOptions,
  ): Promise<PublishReport> {
    return this.messages.publish({ from: null, tree: givenThreadId(tree, "tree") }, topic, message, options);
  }

  // Side by side.

  map<I>(inputs: Inputs<I>, options?: MapOptions<I, unknown, ClusterThread> | PromptOptions): Promise<never[]> {
    return map(this.#fanOut, inputs, options) as Promise<never[]>;
  }

  gather(
    tasks: readonly (Task<unknown, ClusterThread> | PromiseLike<unknown>)[],
    options?: GatherOptions,
  ): Promise<never> {
    return gather(this.#fanOut, tasks, options) as Promise<never>;
  }

  race<T>(tasks: readonly (Task<T, ClusterThread> | PromiseLike<T>)[], options?: FanOutOptions): Promise<T> {
    return race(this.#fanOut, tasks, options);
  }

  tournament<R = string | null>(
    forkPoint: ForkPoint,
    count: number,
    options: TournamentOptions<R, ClusterThread>,
  ): Promise<TournamentResult<R, ClusterThread>> {
    return tournament(this.#fanOut, forkPoint, count, options);
  }

  get #fanOut(): TournamentHost<ClusterThread> {
    return {
      ...{ clock: systemClock, maxTurns: Number.POSITIVE_INFINITY },
      startThread: (config, options) => this.startThread(config, options),
      forkThread: ({ from, at, config }, options) =>
        this.forkThread({ from, ...definedFields({ at, config }) }, options),
      deleteThread: (threadId) => this.deleteThread(threadId),
    };
  }

  // What its threads ask for.

  async close(): Promise<void> {
    const late = sleep(systemClock, FINISH_MS, this.signal);
    await Promise.race([Promise.allSettled(this.#unfinished), late]).catch(() => undefined);
    this.#closing.abort(new ManagerClosedError("the connection to the cluster is closed"));
  }

  finish(work: Promise<unknown>): void {
    const ended = () => void this.#unfinished.delete(work);
    this.#unfinished.add(work);
    work.then(ended, ended);
  }

  async #bounded<T>(
    what: string,
    work: (signal: AbortSignal) => Promise<T>,
    { signal, deadlineMs }: Limited,
  ): Promise<T> {
    const both = signal === undefined ? this.signal : AbortSignal.any([signal, this.signal]);
    return withDeadline(what, work, { signal: both, deadlineMs, clock: systemClock });
  }

  async shutdown(options: { deadlineMs?: number } = {}): Promise<ShutdownReport> {
    checkCallOptions("shutdown", options, ["deadlineMs"]);
    await this.close();
    return { completed: [], failed: [], timedOut: [] };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

refuseMembers(RemoteThreads.prototype, REFUSED_OF_MANAGERS);

function sourceOf(from: ForkSource | string): ThreadId | { readonly history: ReturnType<typeof parseInitialHistory> } {
  if (typeof from === "string") return givenThreadId(from, "from");
  if (typeof from === "object" && from !== null && "history" in from)
    return { history: parseInitialHistory(from.history) };
  throw new InvalidRequestError("forkThread: a rollout file is on this machine; give the thread's id, or its history");
}
