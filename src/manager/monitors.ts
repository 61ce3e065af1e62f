/**
 * Who watches whose end, and who ends with whom (SEMANTICS 6.1 to 6.6). A watch is told of one end for good, in whatever life; a restart,
 * unloading and a failed turn are none. It lives in memory: with the handle that asked for it, over all lives of both threads.
 */
import { onceAborted } from "../kernel/abort-listeners.ts";
import { ManagerClosedError, ThreadClosedError } from "../protocol/errors.ts";
import { newItemId, type ThreadId } from "../protocol/ids.ts";
import type { Down, DownReason, Link, LinkOptions, Monitor, MonitorOptions } from "../thread/watching.ts";
import type { ThreadEnd } from "./thread-end.ts";

/** The threads that are watched. */
export interface Watchable {
  /** Whether the thread lives, in memory or out of it. */
  isKnown(threadId: ThreadId): boolean | Promise<boolean>;
  /** Ends a thread, since one that it is linked with has ended. */
  endLinked(threadId: ThreadId): void;
}

type Watch = Monitor & {
  readonly watcher: ThreadId;
  settle(down: Down): void;
  giveUp(reason: unknown): boolean;
};

type Bond = { readonly monitors: readonly [Watch, Watch]; readonly traps: Set<ThreadId> };

const reasonOf = ({ reason, wasAsked }: ThreadEnd): DownReason => {
  if (reason !== "closed") return reason;
  return wasAsked ? "shutdown" : "normal";
};

const bondOf = (a: ThreadId, b: ThreadId): string => (a < b ? `${a} ${b}` : `${b} ${a}`);

export class Monitors {
  readonly #threads: Watchable;
  /** By whom they watch, and by who watches. */
  readonly #watches = new Map<ThreadId, Set<Watch>>();
  readonly #bonds = new Map<string, Bond>();
  #isClosed = false;

  constructor(threads: Watchable) {
    this.#threads = threads;
  }

  /** How many watches there are: for tests, which expect none once all threads are gone. */
  get size(): number {
    return new Set([...this.#watches.values()].flatMap((watches) => [...watches])).size;
  }

  /** @throws ManagerClosedError; the signal's reason */
  monitor(watcher: ThreadId, threadId: ThreadId, { signal, onDown }: MonitorOptions = {}): Watch {
    if (this.#isClosed) throw new ManagerClosedError();
    signal?.throwIfAborted();
    const watch = this.#watch(watcher, threadId, { signal, onDown });
    void Promise.resolve(this.#threads.isKnown(threadId)).then((isKnown) => {
      if (!isKnown) watch.settle({ ...aboutNobody(watch), reason: "not_found" });
    });
    return watch;
  }

  #watch(watcher: ThreadId, threadId: ThreadId, { signal, onDown }: MonitorOptions): Watch {
    const { promise, resolve, reject } = Promise.withResolvers<Down>();
    // Whoever only listens to `onDown` leaves the promise alone.
    promise.catch(() => undefined);
    const stop = (): boolean => {
      stopListening?.();
      this.#forget(watcher, watch);
      return this.#forget(threadId, watch);
    };
    const watch: Watch = {
      ref: newItemId(),
      threadId,
      watcher,
      down: promise,
      settle: (down) => {
        if (!stop()) return;
        resolve(down);
        // What it throws is its own affair, as with an observer of rxjs.
        if (onDown !== undefined) queueMicrotask(() => onDown(down));
      },
      giveUp: (reason) => {
        const wasWaiting = stop();
        reject(reason);
        return wasWaiting;
      },
      demonitor: () => watch.giveUp(new DOMException("the watch was given up", "AbortError")),
      [Symbol.dispose]: () => void watch.demonitor(),
    };
    this.#note(threadId, watch);
    this.#note(watcher, watch);
    const stopListening = signal && onceAborted(signal, () => void watch.giveUp(signal.reason));
    return watch;
  }

  #note(threadId: ThreadId, watch: Watch): void {
    const known = this.#watches.get(threadId);
    if (known === undefined) this.#watches.set(threadId, new Set([watch]));
    else known.add(watch);
  }

  #forget(threadId: ThreadId, watch: Watch): boolean {
    const watches = this.#watches.get(threadId);
    if (!watches?.delete(watch)) return false;
    if (watches.size === 0) this.#watches.delete(threadId);
    return true;
  }

  /** Two threads end together from now on; asked for again it is the same bond, and `trap` says what this side does. */
  link(from: ThreadId, to: ThreadId, { trap = false, ...options }: LinkOptions = {}): Link {
    const key = bondOf(from, to);
    const told = this.monitor(from, to, options);
    const bond = this.#bonds.get(key) ?? this.#bind(key, from, to);
    if (trap) bond.traps.add(from);
    else bond.traps.delete(from);
    const unlink = (): boolean => {
      told.demonitor();
      return this.#unbind(key);
    };
    return { threadId: to, down: told.down, unlink, [Symbol.dispose]: () => void unlink() };
  }

  #bind(key: string, from: ThreadId, to: ThreadId): Bond {
    const endOther = (other: ThreadId) => (down: Down) => {
      if (this.#bonds.get(key) !== bond) return;
      this.#unbind(key);
      if (down.reason !== "normal" && !bond.traps.has(other)) this.#threads.endLinked(other);
    };
    const bond: Bond = {
      traps: new Set(),
      monitors: [this.monitor(from, to, { onDown: endOther(from) }), this.monitor(to, from, { onDown: endOther(to) })],
    };
    this.#bonds.set(key, bond);
    return bond;
  }

  #unbind(key: string): boolean {
    const bond = this.#bonds.get(key);
    this.#bonds.delete(key);
    for (const monitor of bond?.monitors ?? []) monitor.demonitor();
    return bond !== undefined;
  }

  /** A thread has ended for good: those who watch it are told, and what it watched itself is let go. */
  noteEnded(end: ThreadEnd): void {
    const { threadId, epoch, error } = end;
    const watches = [...(this.#watches.get(threadId) ?? [])];
    for (const watch of watches.filter((one) => one.threadId === threadId)) {
      const { ref } = watch;
      watch.settle({
        ...{ type: "down", ref, threadId, reason: reasonOf(end), epoch },
        ...(error === undefined ? {} : { error }),
      });
    }
    for (const watch of watches) if (watch.threadId !== threadId) watch.giveUp(new ThreadClosedError(threadId));
  }

  /** The manager has ended: nothing more will be told. */
  close(): void {
    this.#isClosed = true;
    for (const watches of [...this.#watches.values()]) {
      for (const watch of [...watches]) watch.giveUp(new ManagerClosedError());
    }
    this.#bonds.clear();
  }
}

const aboutNobody = ({ ref, threadId }: Monitor): Omit<Down, "reason"> => ({
  type: "down",
  ref,
  threadId,
  epoch: null,
});
