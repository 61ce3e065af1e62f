/**
 * Where the threads' events meet the clients: one observer of the whole manager, and a feed for each thread that
 * somebody follows or that is at work.
 */

import type { Subscription as RxSubscription } from "rxjs";
import type { Clock } from "../kernel/clock.ts";
import { definedFields } from "../protocol/defined-fields.ts";
import type { ThreadEvent } from "../protocol/event.ts";
import type { ThreadId } from "../protocol/ids.ts";
import { isApproval, isElicitation, isQuestion } from "./asked-msg.ts";
import type { Connection } from "./connection.ts";
import type { ServedThread, ServedThreads } from "./served-threads.ts";
import type { ServerRequests } from "./server-requests.ts";
import { type Subscription, ThreadFeed } from "./thread-feed.ts";
import type { Told, V2Status } from "./v2/wire-types.ts";

export type HubOptions = {
  readonly manager: ServedThreads;
  readonly clock: Clock;
  readonly connections: ReadonlySet<Connection>;
  readonly requests: ServerRequests;
  /** Hears of a thread's failure before its clients do. */
  readonly onFailure: (event: ThreadEvent) => void;
  /** Makes the notifications of a thread that an agent has started. */
  readonly announce: (thread: ServedThread) => Promise<Told | undefined>;
};

export class ThreadHub {
  readonly #options: HubOptions;
  readonly #feeds = new Map<ThreadId, ThreadFeed>();
  readonly #observers: RxSubscription[];
  /** Threads that somebody has followed, and agents: only of these is everybody told. A reviewer is nobody's to know. */
  readonly #shown = new Set<ThreadId>();
  /** Threads whose last turn has failed and that have no feed any more. */
  readonly #failed = new Set<ThreadId>();

  constructor(options: HubOptions) {
    this.#options = options;
    const { manager, requests } = options;
    const answers = manager.questionAnswered$?.subscribe((answered) => requests.settled(answered));
    this.#observers = [
      ...(answers === undefined ? [] : [answers]),
      manager.events$.subscribe((event) => this.#onEvent(event)),
      manager.threadCreated$.subscribe((thread) => this.#onCreated(thread)),
      manager.threadClosed$.subscribe(({ threadId }) => this.#onClosed(threadId)),
    ];
  }

  get size(): number {
    return this.#feeds.size;
  }

  #onEvent(event: ThreadEvent): void {
    const { threadId, id, msg } = event;
    const isStart = msg.type === "task_started" || msg.type === "turn_resumed";
    const asks = isApproval(msg) || isQuestion(msg) || isElicitation(msg);
    const known = this.#feeds.get(threadId);
    const feed = known ?? (isStart ? this.#newFeed(threadId) : asks ? this.feedOf(threadId) : undefined);
    if (feed === undefined) return;
    const isEnd = feed.mapper.endsTurn(event) || msg.type === "session_configured";
    if (isEnd) this.#options.requests.withdraw(feed);
    if (msg.type === "error") this.#options.onFailure(event);
    feed.onEvent(event, this.#options.clock.now());
    if (asks) this.#options.requests.open(feed, { turn: id, msg });
    const isToEnd = isStart && feed.promised.get(msg.turn_id ?? id) === true;
    if (isStart || isEnd) feed.promised.delete(isStart ? (msg.turn_id ?? id) : id);
    if (isToEnd) this.interrupt(threadId).catch(() => undefined);
    if (isEnd) this.#drop(feed);
  }

  /** Ends the running turn. Resolves when the thread has been told; over a cluster, when the turn has ended. */
  async interrupt(threadId: ThreadId, signal?: AbortSignal): Promise<void> {
    const thread = this.#options.manager.loadedThread(threadId);
    await thread?.submit({ type: "interrupt" }, definedFields({ signal }));
  }

  /** An agent's thread is followed by those who follow its parent; they hear of it before it says anything. */
  #onCreated(thread: ServedThread): void {
    const parent = this.#options.manager.parentOf(thread.id);
    if (parent !== undefined) this.#shown.add(thread.id);
    const followed = parent === undefined ? undefined : this.#feeds.get(parent);
    if (followed === undefined || followed.subscriptions.size === 0 || this.#feeds.has(thread.id)) return;
    const followers = [...followed.subscriptions.values()].filter(({ looksOn }) => looksOn === undefined);
    if (followers.length === 0) return;
    const feed = this.feedOf(thread.id);
    const releases = followers.map((above) => {
      const { connection, isV2, listeners } = above;
      const own = feed.subscribe(connection);
      own.isV2 = isV2;
      for (const [name, listener] of listeners) own.listeners.set(`${name}:${thread.id}`, listener);
      return feed.hold(connection);
    });
    void this.#options
      .announce(thread)
      .then((told) => {
        if (told === undefined) return;
        for (const { connection, isV2 } of feed.subscriptions.values()) if (isV2) connection.tell(told);
      })
      .finally(() => {
        for (const release of releases) release();
      });
  }

  #onClosed(threadId: ThreadId): void {
    const feed = this.#feeds.get(threadId);
    if (feed !== undefined) {
      this.#options.requests.withdraw(feed);
      feed.close(this.#options.clock.now());
      onlyOnlookers(feed);
      this.#drop(feed);
    }
    this.#shown.delete(threadId);
    this.#failed.delete(threadId);
  }

  #drop(feed: ThreadFeed): void {
    if (feed.isNeeded) return;
    this.#feeds.delete(feed.threadId);
    if (feed.mapper.status.type === "systemError") this.#failed.add(feed.threadId);
  }

  /** The thread's feed, made when there is none. */
  feedOf(threadId: ThreadId): ThreadFeed {
    const found = this.#feeds.get(threadId);
    if (found !== undefined) return found;
    const status = this.statusOf(threadId);
    const feed = this.#newFeed(threadId);
    feed.mapper.adopt(status, this.#options.manager.loadedThread(threadId)?.activeTurn);
    return feed;
  }

  #newFeed(threadId: ThreadId): ThreadFeed {
    const feed = new ThreadFeed(threadId, (followers, told) => {
      if (this.#shown.has(threadId)) this.tellOthers(followers, told);
    });
    this.#feeds.set(threadId, feed);
    this.#failed.delete(threadId);
    return feed;
  }

  find(threadId: ThreadId): ThreadFeed | undefined {
    return this.#feeds.get(threadId);
  }

  /** Subscribes for v2. Requests that wait for an answer are asked again by `replayRequests`. */
  follow(connection: Connection, threadId: ThreadId): Subscription {
    connection.versions.add("v2");
    this.#shown.add(threadId);
    const subscription = this.feedOf(threadId).subscribe(connection);
    subscription.isV2 = true;
    subscription.looksOn = undefined;
    return subscription;
  }

  /** Tells a client what a thread says, and neither loads it nor asks the client anything. Who follows it already goes on so. */
  lookOn(connection: Connection, threadId: ThreadId, looksOn: { readonly deltas: boolean }): Subscription {
    const subscription = this.feedOf(threadId).subscribe(connection);
    const follows = subscription.isV2 || subscription.listeners.size > 0;
    if (follows && subscription.looksOn === undefined) return subscription;
    subscription.isV2 = true;
    subscription.looksOn = looksOn;
    return subscription;
  }

  lookAway(connection: Connection, threadId: ThreadId): boolean {
    const looksOn = this.#feeds.get(threadId)?.subscriptions.get(connection)?.looksOn;
    return looksOn !== undefined && this.unfollow(connection, threadId);
  }

  replayRequests(connection: Connection, threadId: ThreadId): void {
    const feed = this.#feeds.get(threadId);
    if (feed !== undefined) this.#options.requests.replay(feed, connection);
  }

  /** false: it was not subscribed. */
  unfollow(connection: Connection, threadId: ThreadId): boolean {
    const feed = this.#feeds.get(threadId);
    const subscription = feed?.subscriptions.get(connection);
    if (feed === undefined || subscription === undefined || !subscription.isV2) return false;
    subscription.isV2 = false;
    this.release(feed, subscription);
    return true;
  }

  /** Lets go of a subscription that nobody uses any more, neither by v2 nor by a listener. */
  release(feed: ThreadFeed, subscription: Subscription): void {
    if (subscription.isV2 || subscription.listeners.size > 0) return;
    feed.subscriptions.delete(subscription.connection);
    this.#options.requests.forget(feed, subscription.connection);
    this.#drop(feed);
  }

  *subscriptionsOf(connection: Connection): Generator<{ feed: ThreadFeed; subscription: Subscription }> {
    for (const feed of this.#feeds.values()) {
      const subscription = feed.subscriptions.get(connection);
      if (subscription !== undefined) yield { feed, subscription };
    }
  }

  /** The client has gone. */
  leave(connection: Connection): void {
    for (const feed of this.#feeds.values()) {
      feed.dropBacklogOf(connection);
      if (feed.subscriptions.delete(connection)) this.#options.requests.forget(feed, connection);
      this.#drop(feed);
    }
  }

  statusOf(threadId: ThreadId): V2Status {
    const status = this.#feeds.get(threadId)?.mapper.status;
    const thread = this.#options.manager.loadedThread(threadId);
    if (status !== undefined && status.type !== "notLoaded")
      return thread === undefined ? { type: "notLoaded" } : status;
    if (thread === undefined) return { type: "notLoaded" };
    const { activeTurn, pendingApprovals, pendingUserQuestions } = thread;
    if (activeTurn === undefined) return { type: this.#failed.has(threadId) ? "systemError" : "idle" };
    const approval = pendingApprovals.length > 0 ? (["waitingOnApproval"] as const) : [];
    const question = pendingUserQuestions.length > 0 ? (["waitingOnUserInput"] as const) : [];
    return { type: "active", activeFlags: [...approval, ...question] };
  }

  /** Tells every v2 client, whether it follows the thread or not. */
  broadcast(told: Told): void {
    for (const connection of this.#options.connections) if (!connection.speaksOnlyV1) connection.tell(told);
  }

  /** Tells the v2 clients that have not been told as followers of a thread. */
  tellOthers(followers: ReadonlySet<Connection>, told: Told): void {
    for (const connection of this.#options.connections) {
      if (!connection.speaksOnlyV1 && !followers.has(connection)) connection.tell(told);
    }
  }

  close(): void {
    for (const observer of this.#observers) observer.unsubscribe();
    this.#feeds.clear();
  }
}

/** The thread has ended: whoever looks on waits for its next life. */
function onlyOnlookers({ subscriptions }: ThreadFeed): void {
  for (const [connection, { looksOn }] of subscriptions) if (looksOn === undefined) subscriptions.delete(connection);
}
