import type { ThreadId } from "../protocol/ids.ts";
import type { LiveThread } from "../thread/live-thread.ts";

/**
 * Handles of threads that are not in memory. An observed one is kept, so that its observers see the next incarnation;
 * any other lives only as long as somebody holds it, and then it is found again, so that a thread has one handle.
 */
export class Parking {
  readonly #observed = new Map<ThreadId, LiveThread>();
  readonly #held = new Map<ThreadId, WeakRef<LiveThread>>();
  readonly #dropped = new FinalizationRegistry<ThreadId>((id) => {
    if (this.#held.get(id)?.deref() === undefined) this.#held.delete(id);
  });

  park(thread: LiveThread): void {
    if (thread.isObserved) {
      this.#observed.set(thread.id, thread);
      return;
    }
    this.#held.set(thread.id, new WeakRef(thread));
    this.#dropped.register(thread, thread.id);
  }

  /** Somebody has begun to observe the handle. */
  pin(thread: LiveThread): void {
    if (this.#held.get(thread.id)?.deref() !== thread) return;
    this.#held.delete(thread.id);
    this.#observed.set(thread.id, thread);
  }

  /** Takes the handle of a thread that is being loaded. */
  take(id: ThreadId): LiveThread | undefined {
    const thread = this.#observed.get(id) ?? this.#held.get(id)?.deref();
    this.#observed.delete(id);
    this.#held.delete(id);
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
