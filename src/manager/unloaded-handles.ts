import type { ThreadId } from "../protocol/ids.ts";
import type { LiveThread } from "../thread/live-thread.ts";

/**
 * Handles of threads that are not in memory. An observed one is kept, so that its observers see the next incarnation;
 * any other lives only as long as somebody holds it, and then it is found again, so that a thread has one handle.
 */
export class UnloadedHandles {
  readonly #observed = new Map<ThreadId, LiveThread>();
  readonly #held = new Map<ThreadId, WeakRef<LiveThread>>();
  readonly #dropped = new FinalizationRegistry<ThreadId>((id) => {
    if (this.#held.get(id)?.deref() === undefined) this.#held.delete(id);
  });

  add(thread: LiveThread): void {
    this.#dropped.register(thread, thread.id, thread);
    this.#place(thread);
  }

  #place(thread: LiveThread): void {
    if (thread.isObserved) this.#observed.set(thread.id, thread);
    else this.#held.set(thread.id, new WeakRef(thread));
  }

  /** Somebody has begun or ceased to observe the handle. */
  noteObserved(thread: LiveThread): void {
    if (this.#find(thread.id) !== thread) return;
    this.#forget(thread.id);
    this.#place(thread);
  }

  #find(id: ThreadId): LiveThread | undefined {
    return this.#observed.get(id) ?? this.#held.get(id)?.deref();
  }

  #forget(id: ThreadId): void {
    this.#observed.delete(id);
    this.#held.delete(id);
  }

  /** Takes the handle of a thread that is being loaded. */
  take(id: ThreadId): LiveThread | undefined {
    const thread = this.#find(id);
    this.#forget(id);
    if (thread !== undefined) this.#dropped.unregister(thread);
    return thread;
  }

  /** All that are still there, for shutdown. */
  clear(): LiveThread[] {
    const threads = [...this.#observed.values(), ...[...this.#held.values()].flatMap((ref) => ref.deref() ?? [])];
    this.#observed.clear();
    this.#held.clear();
    return threads;
  }

  get size(): number {
    return this.#observed.size + this.#held.size;
  }
}
