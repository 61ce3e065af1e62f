/** A program's watches on the ends of a cluster's threads, which last as long as its connection, and the bonds that the engine keeps. */
import type { Subscription } from "rxjs";
import { onceAborted } from "../kernel/abort-listeners.ts";
import { InvalidRequestError, ThreadNotFoundError } from "../protocol/errors.ts";
import { newItemId, parseThreadId, type ThreadId } from "../protocol/ids.ts";
import type { WatchedThread } from "../thread/thread.ts";
import type { Down, Link, LinkOptions, Monitor, MonitorOptions } from "../thread/watching.ts";
import type { ClusterThread } from "./cluster-thread.ts";

/** Whose threads they are. */
export interface WatchHost {
  /** @throws ThreadNotFoundError */
  getThread(threadId: ThreadId): Promise<ClusterThread>;
  /** The thread is to end with the other one, unless it traps; null leaves that as it is, and is no at first. */
  bind(threadId: ThreadId, other: ThreadId, traps: boolean | null): Promise<void>;
  unbind(threadId: ThreadId, other: ThreadId): Promise<void>;
  /** The connection is not closed before this has been done, or has had a while. */
  finish(work: Promise<unknown>): void;
  /** Fires when the connection is closed. */
  readonly signal: AbortSignal;
}

class RemoteMonitor implements Monitor {
  readonly ref = newItemId();
  readonly threadId: ThreadId;
  readonly down: Promise<Down>;
  readonly stored: Promise<void>;
  readonly #outcome = Promise.withResolvers<Down>();
  readonly #onDown: MonitorOptions["onDown"];
  readonly #stops: (() => void)[] = [];
  #events: Subscription | undefined;
  #isOver = false;

  constructor(host: WatchHost, threadId: ThreadId, { signal, onDown }: MonitorOptions) {
    this.threadId = threadId;
    this.#onDown = onDown;
    this.down = this.#outcome.promise;
    this.stored = Promise.reject(
      new InvalidRequestError("monitor: over a cluster a watch lasts as long as the connection that it was made by"),
    );
    for (const promise of [this.down, this.stored]) promise.catch(() => undefined);
    for (const end of [signal, host.signal]) {
      if (end?.aborted) throw end.reason;
      if (end !== undefined) this.#stops.push(onceAborted(end, () => void this.giveUp(end.reason)));
    }
    void this.#watch(host);
  }

  async #watch(host: WatchHost): Promise<void> {
    try {
      const thread = await host.getThread(this.threadId);
      if (this.#isOver) return;
      const ended = () => {
        if (!host.signal.aborted) this.#tell("shutdown", thread.epoch);
      };
      this.#events = thread.events$.subscribe({ complete: ended });
      if (this.#isOver) this.#events.unsubscribe();
    } catch (error) {
      if (error instanceof ThreadNotFoundError) this.#tell("not_found", null);
      else this.giveUp(error);
    }
  }

  #tell(reason: Down["reason"], epoch: number | null): void {
    if (!this.#end()) return;
    const down: Down = { type: "down", ref: this.ref, threadId: this.threadId, reason, epoch };
    this.#outcome.resolve(down);
    const onDown = this.#onDown;
    // What it throws is its own affair, as with an observer of rxjs.
    if (onDown !== undefined) queueMicrotask(() => onDown(down));
  }

  giveUp(reason: unknown): boolean {
    if (!this.#end()) return false;
    this.#outcome.reject(reason);
    return true;
  }

  #end(): boolean {
    if (this.#isOver) return false;
    this.#isOver = true;
    for (const stop of this.#stops) stop();
    this.#events?.unsubscribe();
    return true;
  }

  demonitor(): boolean {
    return this.giveUp(new DOMException("the watch was given up", "AbortError"));
  }

  [Symbol.dispose](): void {
    this.demonitor();
  }
}

/** What one thread watches, and what it is bound to. */
export class RemoteWatches {
  readonly #host: WatchHost;
  readonly #threadId: ThreadId;
  readonly #monitors = new Set<RemoteMonitor>();

  constructor(host: WatchHost, threadId: ThreadId) {
    this.#host = host;
    this.#threadId = threadId;
  }

  /** @throws InvalidRequestError for the thread itself; the signal's reason */
  monitor(other: WatchedThread, options: MonitorOptions = {}): Monitor {
    const threadId = parseThreadId(typeof other === "string" ? other : other?.id);
    if (threadId === this.#threadId) throw new InvalidRequestError("monitor: a thread can't watch itself");
    const monitor = new RemoteMonitor(this.#host, threadId, options);
    this.#monitors.add(monitor);
    const forget = () => void this.#monitors.delete(monitor);
    monitor.down.then(forget, forget);
    return monitor;
  }

  link(other: WatchedThread, { trap = false, ...options }: LinkOptions = {}): Link {
    const monitor = this.monitor(other, options);
    const { threadId, down } = monitor;
    const host = this.#host;
    const own = this.#threadId;
    // The other's half first: who is gone by then ends this one by its own.
    const stored = host.bind(threadId, own, null).then(() => host.bind(own, threadId, trap));
    stored.catch(() => undefined);
    let isBound = true;
    const unlink = (): boolean => {
      const was = isBound;
      isBound = false;
      monitor.demonitor();
      const both = () => Promise.all([host.unbind(own, threadId), host.unbind(threadId, own)]);
      if (was) host.finish(stored.then(both, both));
      return was;
    };
    const over = () => {
      isBound = false;
    };
    down.then(over, () => undefined);
    return { threadId, down, stored, unlink, [Symbol.dispose]: () => void unlink() };
  }

  /** The thread has ended, or its connection has. */
  close(reason: unknown): void {
    for (const monitor of [...this.#monitors]) monitor.giveUp(reason);
  }
}
