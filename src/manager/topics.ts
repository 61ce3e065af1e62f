/** Who listens to which topic: threads, which are sent what is published in their tree, and callers of the library. */
import { InvalidRequestError } from "../protocol/errors.ts";
import type { ThreadId } from "../protocol/ids.ts";
import { ByThread, type Subtree } from "../thread/by-thread.ts";
import type { Published, Subscription } from "../thread/messaging.ts";

type Watcher = { readonly in: ThreadId; readonly tell: (published: Published) => void };

const MAX_LENGTH = 256;

/** @throws InvalidRequestError */
export function checkTopic(topic: unknown): string {
  if (typeof topic === "string" && topic !== "" && topic.length <= MAX_LENGTH) return topic;
  throw new InvalidRequestError(`topic: give a text of 1 to ${MAX_LENGTH} characters`);
}

export class Topics {
  /** By topic, the subscriptions of each thread. */
  readonly #threads = new Map<string, ByThread<Set<object>>>();
  /** The topics of each thread, so that its end costs what it listens to. */
  readonly #of = new Map<ThreadId, Set<string>>();
  readonly #watchers = new Map<string, Set<Watcher>>();

  /** How many subscriptions there are: for tests, which expect none once all threads are gone. */
  get size(): number {
    let size = 0;
    for (const threads of this.#threads.values()) for (const held of threads.values()) size += held.size;
    for (const watchers of this.#watchers.values()) size += watchers.size;
    return size;
  }

  subscribe(threadId: ThreadId, given: string): Subscription {
    const topic = checkTopic(given);
    const threads = this.#threads.get(topic) ?? new ByThread<Set<object>>();
    const held = threads.get(threadId) ?? new Set();
    const subscription = {
      topic,
      unsubscribe: (): boolean => {
        if (!held.delete(subscription)) return false;
        if (held.size === 0) this.#drop(threadId, topic);
        return true;
      },
      [Symbol.dispose]: () => void subscription.unsubscribe(),
    };
    held.add(subscription);
    threads.set(threadId, held);
    this.#threads.set(topic, threads);
    this.#of.set(threadId, (this.#of.get(threadId) ?? new Set()).add(topic));
    return subscription;
  }

  #drop(threadId: ThreadId, topic: string): void {
    const threads = this.#threads.get(topic);
    threads?.get(threadId)?.clear();
    threads?.delete(threadId);
    if (threads?.size === 0) this.#threads.delete(topic);
    const topics = this.#of.get(threadId);
    topics?.delete(topic);
    if (topics?.size === 0) this.#of.delete(threadId);
  }

  /** The thread has ended. */
  forget(threadId: ThreadId): void {
    for (const topic of [...(this.#of.get(threadId) ?? [])]) this.#drop(threadId, topic);
  }

  /** The threads of the tree that listen, in the order in which they began to. */
  within(topic: string, tree: Subtree): readonly ThreadId[] {
    return (
      this.#threads
        .get(topic)
        ?.within(tree)
        .map(({ threadId }) => threadId) ?? []
    );
  }

  watch(topic: string, watcher: Watcher): () => void {
    const watchers = this.#watchers.get(topic) ?? new Set<Watcher>();
    this.#watchers.set(topic, watchers.add(watcher));
    return () => {
      watchers.delete(watcher);
      if (watchers.size === 0 && this.#watchers.get(topic) === watchers) this.#watchers.delete(topic);
    };
  }

  watchers(topic: string): readonly Watcher[] {
    return [...(this.#watchers.get(topic) ?? [])];
  }
}
