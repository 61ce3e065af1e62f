/** The threads of a cluster, as a server serves them: those that its clients have opened are listened to here, and run on workers. */
import { type Observable, Subject, type Subscription } from "rxjs";
import type { Cluster, ClusterThread } from "../cluster/index.ts";
import type { ManagerSetup } from "../manager/options.ts";
import { definedFields } from "../protocol/defined-fields.ts";
import { InvalidRequestError } from "../protocol/errors.ts";
import type { ThreadEvent } from "../protocol/event.ts";
import type { ThreadId } from "../protocol/ids.ts";
import type { InitialHistory } from "../protocol/initial-history.ts";
import type { ThreadConfig } from "../protocol/thread-config.ts";
import type { NewThread } from "../thread/thread.ts";
import type { ServedThreads } from "./served-threads.ts";

/** So many threads are listened to; beyond them the one that was asked for longest ago and has nothing to do is let go of. */
const MOST_OPEN = 256;

/** How long a worker is asked what a thread is at; one that has just died can't tell. */
const STATE_DEADLINE_MS = 2_000;

/** The server's own services and settings, with the store that the workers share. */
export type OwnServices = Pick<ManagerSetup, "auth" | "config" | "environment" | "models" | "skills" | "store">;

type Opened = { readonly thread: ClusterThread; readonly stop: () => void };

export class ClusterThreads implements ServedThreads, Disposable {
  readonly #cluster: Cluster;
  readonly #own: OwnServices;
  /** The one that was asked for last is the last. */
  readonly #open = new Map<ThreadId, Opened>();
  readonly #parents = new Map<ThreadId, ThreadId>();
  readonly #agents: Subscription;
  readonly #events = new Subject<ThreadEvent>();
  readonly #created = new Subject<ClusterThread>();
  readonly #closed = new Subject<{ readonly threadId: ThreadId }>();

  constructor(cluster: Cluster, own: OwnServices) {
    this.#cluster = cluster;
    this.#own = own;
    this.#agents = cluster.agents$.subscribe(({ thread, parentThreadId }) => {
      this.#parents.set(thread.id, parentThreadId);
      this.#listenTo(thread);
    });
  }

  get store() {
    return this.#own.store;
  }

  get config() {
    return this.#own.config;
  }

  get environment() {
    return this.#own.environment;
  }

  get authManager() {
    return this.#own.auth;
  }

  get modelsManager() {
    return this.#own.models;
  }

  get skillsManager() {
    return this.#own.skills;
  }

  get events$(): Observable<ThreadEvent> {
    return this.#events.asObservable();
  }

  get threadCreated$(): Observable<ClusterThread> {
    return this.#created.asObservable();
  }

  get threadClosed$(): Observable<{ readonly threadId: ThreadId }> {
    return this.#closed.asObservable();
  }

  loadedThread(threadId: ThreadId): ClusterThread | undefined {
    return this.#open.get(threadId)?.thread;
  }

  async listThreadIds(): Promise<ThreadId[]> {
    return [...this.#open.keys()];
  }

  listThreads(...[query]: Parameters<Cluster["listThreads"]>): ReturnType<Cluster["listThreads"]> {
    return this.#cluster.listThreads(query);
  }

  /** Of an agent that is listened to here. */
  parentOf(threadId: ThreadId): ThreadId | undefined {
    return this.#parents.get(threadId);
  }

  async startThread(...[config, options]: Parameters<Cluster["startThread"]>): Promise<NewThread<ClusterThread>> {
    return this.#opened(await this.#cluster.startThread(sent(config), options));
  }

  async resumeThread(...[id, config, options]: Parameters<Cluster["resumeThread"]>): Promise<NewThread<ClusterThread>> {
    const resumed = this.#opened(await this.#cluster.resumeThread(id, sent(config), options));
    await this.#known(resumed.thread);
    return resumed;
  }

  async resumeThreadFromRollout(): Promise<never> {
    throw new InvalidRequestError(
      "a rollout file can't be resumed over a cluster, whose threads are in its database: resume the thread by its id, or load the file into the database by `skein load`",
    );
  }

  /** A history of the client's becomes a thread of its own. */
  async resumeThreadWithHistory(
    config: ThreadConfig | undefined,
    history: InitialHistory,
    ...[options]: [Parameters<Cluster["forkThread"]>[1]?]
  ): Promise<NewThread<ClusterThread>> {
    return this.forkThread({ from: { history }, ...definedFields({ config }) }, options);
  }

  async forkThread(
    { config, ...fork }: Parameters<Cluster["forkThread"]>[0],
    options?: Parameters<Cluster["forkThread"]>[1],
  ): Promise<NewThread<ClusterThread>> {
    return this.#opened(
      await this.#cluster.forkThread({ ...fork, ...definedFields({ config: sent(config) }) }, options),
    );
  }

  async getThread(...[id, options]: Parameters<Cluster["getThread"]>): Promise<ClusterThread> {
    return this.#known(this.#listenTo(await this.#cluster.getThread(id, options)));
  }

  async removeThread(...[id, options]: Parameters<Cluster["removeThread"]>): Promise<ClusterThread | undefined> {
    const thread = await this.#cluster.removeThread(id, options);
    if (thread !== undefined) this.#letGo(thread.id);
    return thread;
  }

  #opened(made: NewThread<ClusterThread>): NewThread<ClusterThread> {
    this.#listenTo(made.thread);
    return made;
  }

  /** One that was at work before it was opened here: which turn runs, its worker tells. */
  async #known(thread: ClusterThread): Promise<ClusterThread> {
    if (thread.status === "running" && thread.activeTurn === undefined)
      await thread.refresh({ deadlineMs: STATE_DEADLINE_MS }).catch(() => undefined);
    return thread;
  }

  #listenTo(thread: ClusterThread): ClusterThread {
    const { id } = thread;
    const known = this.#open.get(id);
    if (known?.thread === thread) {
      this.#open.delete(id);
      this.#open.set(id, known);
      return thread;
    }
    known?.stop();
    const subscription = thread.events$.subscribe({
      next: (event) => this.#take(event),
      complete: () => this.#ended(thread),
    });
    this.#open.set(id, { thread, stop: () => subscription.unsubscribe() });
    if (known === undefined) this.#created.next(thread);
    this.#trim();
    return thread;
  }

  /** That a worker has taken the thread up is news only where a turn goes on in another life. */
  #take(event: ThreadEvent): void {
    const { msg } = event;
    if (msg.type !== "session_configured" || msg.resumed_turn_id !== undefined) this.#events.next(event);
  }

  #ended(thread: ClusterThread): void {
    if (this.#open.get(thread.id)?.thread !== thread) return;
    this.#letGo(thread.id);
    this.#closed.next({ threadId: thread.id });
  }

  #letGo(threadId: ThreadId): void {
    const opened = this.#open.get(threadId);
    this.#open.delete(threadId);
    this.#parents.delete(threadId);
    opened?.stop();
  }

  #trim(): void {
    for (const [threadId, { thread }] of this.#open) {
      if (this.#open.size <= MOST_OPEN) return;
      if (thread.activeTurn === undefined) this.#letGo(threadId);
    }
  }

  [Symbol.dispose](): void {
    this.#agents.unsubscribe();
    for (const threadId of [...this.#open.keys()]) this.#letGo(threadId);
  }
}

/** MCP servers are the workers' own: their settings hold secrets, which do not pass through an engine. */
function sent(config: ThreadConfig | undefined): ThreadConfig | undefined {
  if (config === undefined) return undefined;
  const { mcpServers: _, ...others } = config;
  return others;
}
