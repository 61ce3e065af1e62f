import type { ThreadId } from "../protocol/ids.ts";
import type { Incarnation } from "../thread/incarnation.ts";
import type { LiveThread } from "../thread/live-thread.ts";

/**
 * Threads that were taken out of the manager and live on for those who hold or observe them. One that nobody does any
 * more, and that has nothing to do, is ended: nothing of it would ever be heard of again.
 */
export class RemovedThreads {
  readonly #threads = new Map<Incarnation, WeakRef<LiveThread>>();
  /** The same by id: one that was taken over and removed again is there twice. */
  readonly #byId = new Map<ThreadId, Incarnation[]>();
  readonly #end: (incarnation: Incarnation) => void;
  readonly #dropped = new FinalizationRegistry<Incarnation>((incarnation) => this.#endIfLost(incarnation));

  /** @param end ends an incarnation whose handle is gone */
  constructor(end: (incarnation: Incarnation) => void) {
    this.#end = end;
  }

  get size(): number {
    return this.#threads.size;
  }

  add(thread: LiveThread): void {
    const { incarnation, id } = thread;
    this.#threads.set(incarnation, new WeakRef(thread));
    this.#byId.set(id, [...(this.#byId.get(id) ?? []), incarnation]);
    this.#dropped.register(thread, incarnation, thread);
    this.noteObserved(thread);
  }

  /** An observed thread is held by its incarnation; any other is only known to it. */
  noteObserved(thread: LiveThread): void {
    const { incarnation } = thread;
    const ref = this.#threads.get(incarnation);
    if (ref === undefined) return;
    incarnation.door.showTo(thread.isObserved ? thread : { notify: (event) => ref.deref()?.notify(event) });
  }

  /** The thread has ended a turn, which may have been all that it was still there for. */
  noteActive(incarnation: Incarnation): void {
    if (this.#threads.has(incarnation)) queueMicrotask(() => this.#endIfLost(incarnation));
  }

  #endIfLost(incarnation: Incarnation): void {
    if (this.#threads.get(incarnation)?.deref() !== undefined || !incarnation.isIdle) return;
    if (this.#delete(incarnation)) this.#end(incarnation);
  }

  /** Takes out those that nobody holds any more: no shutdown can ask them. */
  takeLost(): Incarnation[] {
    const lost = [...this.#threads].filter(([, ref]) => ref.deref() === undefined);
    return lost.map(([incarnation]) => incarnation).filter((incarnation) => this.#delete(incarnation));
  }

  #delete(incarnation: Incarnation): boolean {
    const { threadId } = incarnation;
    const left = (this.#byId.get(threadId) ?? []).filter((other) => other !== incarnation);
    if (left.length === 0) this.#byId.delete(threadId);
    else this.#byId.set(threadId, left);
    return this.#threads.delete(incarnation);
  }

  delete(thread: LiveThread): void {
    this.#delete(thread.incarnation);
    this.#dropped.unregister(thread);
  }

  find(threadId: ThreadId): LiveThread[] {
    const incarnations = this.#byId.get(threadId) ?? [];
    return incarnations.flatMap((incarnation) => this.#threads.get(incarnation)?.deref() ?? []);
  }

  /** Those that somebody holds or observes. */
  all(): LiveThread[] {
    return [...this.#threads.values()].flatMap((ref) => ref.deref() ?? []);
  }
}
