/** Watches on the ends of a cluster's threads, and bonds: both are kept by the engine, and a connection tells of what it has asked for. */
import type { Subscription } from "rxjs";
import { onceAborted } from "../kernel/abort-listeners.ts";
import { InvalidRequestError, ThreadNotFoundError } from "../protocol/errors.ts";
import { givenThreadId, newItemId, type ThreadId } from "../protocol/ids.ts";
import { checkCall } from "../thread/call-checks.ts";
import type { WatchedThread } from "../thread/thread.ts";
import type { Down, Link, LinkOptions, Monitor, MonitorOptions } from "../thread/watching.ts";
import type { ClusterThread } from "./cluster-thread.ts";
import type { EngineCalls } from "./engine-calls.ts";
import type { Ended, Unwatched } from "./wire.ts";

/** Whose threads they are. */
export interface WatchHost {
  readonly calls: EngineCalls;
  /** @throws ThreadNotFoundError */
  getThread(threadId: ThreadId): Promise<ClusterThread>;
  /** The connection is not closed before this has been done, or has had a while. */
  finish(work: Promise<unknown>): void;
  /** Fires when the connection is closed. */
  readonly signal: AbortSignal;
}

const givenUp = () => new DOMException("the watch was given up", "AbortError");

/** One that was made here, or that stands at the engine. */
class RemoteMonitor implements Monitor {
  readonly ref: string;
  readonly threadId: ThreadId;
  readonly down: Promise<Down>;
  readonly stored: Promise<void>;
  readonly #host: WatchHost;
  readonly #watcher: ThreadId;
  readonly #outcome = Promise.withResolvers<Down>();
  readonly #onDown: MonitorOptions["onDown"];
  readonly #stops: (() => void)[] = [];
  #events: Subscription | undefined;
  #isOver = false;

  constructor(
    host: WatchHost,
    { watcher, threadId, ref }: { readonly watcher: ThreadId; readonly threadId: ThreadId; readonly ref?: string },
    { signal, onDown }: MonitorOptions = {},
  ) {
    for (const end of [signal, host.signal]) if (end?.aborted) throw end.reason;
    this.ref = ref ?? newItemId();
    this.threadId = threadId;
    this.#host = host;
    this.#watcher = watcher;
    this.#onDown = onDown;
    this.down = this.#outcome.promise;
    this.stored = ref === undefined ? host.calls.watch(watcher, threadId, this.ref) : Promise.resolve();
    for (const promise of [this.down, this.stored]) promise.catch(() => undefined);
    this.#stops.push(onceAborted(host.signal, () => void this.giveUp(host.signal.reason)));
    if (signal !== undefined) this.#stops.push(onceAborted(signal, () => void this.#letGo(signal.reason)));
  }

  /** Tells of the end as soon as it is heard of. */
  async watch(): Promise<void> {
    try {
      const thread = await this.#host.getThread(this.threadId);
      if (this.#isOver) return;
      const ended = () => {
        if (!this.#host.signal.aborted) void this.tell({ reason: "shutdown", epoch: thread.epoch });
      };
      this.#events = thread.events$.subscribe({ complete: ended });
      if (this.#isOver) this.#events.unsubscribe();
    } catch (error) {
      if (error instanceof ThreadNotFoundError) await this.tell({ reason: "not_found", epoch: null });
      else this.giveUp(error);
    }
  }

  /** A watch is told once: by the connection that takes it away from the engine. */
  async tell({ reason, epoch }: Ended): Promise<void> {
    if (!this.#end()) return;
    const { isOurs, down: noted } = await this.stored
      .then(() => this.#host.calls.unwatch(this.#watcher, this.ref))
      // What can't be kept is told here.
      .catch((): Unwatched => ({ isOurs: true }));
    if (this.#host.signal.aborted) return this.#outcome.reject(this.#host.signal.reason);
    if (!isOurs) return this.#outcome.reject(new DOMException("another connection was told", "AbortError"));
    const down: Down = { type: "down", ref: this.ref, threadId: this.threadId, reason, epoch, ...noted };
    this.#outcome.resolve(down);
    const onDown = this.#onDown;
    // What it throws is its own affair, as with an observer of rxjs.
    if (onDown !== undefined) queueMicrotask(() => onDown(down));
  }

  /** Nothing is told here any more; the watch stands. */
  giveUp(reason: unknown): boolean {
    if (!this.#end()) return false;
    this.#outcome.reject(reason);
    return true;
  }

  #letGo(reason: unknown): boolean {
    const was = this.giveUp(reason);
    if (was) this.#host.finish(this.stored.then(() => this.#host.calls.unwatch(this.#watcher, this.ref)));
    return was;
  }

  #end(): boolean {
    if (this.#isOver) return false;
    this.#isOver = true;
    for (const stop of this.#stops) stop();
    this.#events?.unsubscribe();
    return true;
  }

  demonitor(): boolean {
    return this.#letGo(givenUp());
  }

  [Symbol.dispose](): void {
    this.demonitor();
  }
}

/** What one thread watches, and what it is bound to. */
export class RemoteWatches {
  readonly #host: WatchHost;
  readonly #threadId: ThreadId;
  readonly #monitors = new Map<string, RemoteMonitor>();

  constructor(host: WatchHost, threadId: ThreadId) {
    this.#host = host;
    this.#threadId = threadId;
  }

  /** @throws InvalidRequestError for the thread itself; the signal's reason */
  monitor(other: WatchedThread, options: MonitorOptions = {}): Monitor {
    checkCall("monitor", options);
    const threadId = givenThreadId(typeof other === "string" ? other : other?.id, "thread");
    if (threadId === this.#threadId) throw new InvalidRequestError("monitor: a thread can't watch itself");
    const monitor = this.#hold(new RemoteMonitor(this.#host, { watcher: this.#threadId, threadId }, options));
    void monitor.watch();
    return monitor;
  }

  #hold(monitor: RemoteMonitor): RemoteMonitor {
    this.#monitors.set(monitor.ref, monitor);
    const forget = () => void this.#monitors.delete(monitor.ref);
    monitor.down.then(forget, forget);
    return monitor;
  }

  /** Those that stand: of this connection, and what others have left. */
  async monitors(): Promise<readonly Monitor[]> {
    await Promise.allSettled([...this.#monitors.values()].map(({ stored }) => stored));
    for (const [ref, { threadId, down }] of Object.entries(await this.#host.calls.watches(this.#threadId))) {
      if (this.#monitors.has(ref)) continue;
      const monitor = this.#hold(new RemoteMonitor(this.#host, { watcher: this.#threadId, threadId, ref }));
      void (down === undefined ? monitor.watch() : monitor.tell(down));
    }
    return [...this.#monitors.values()];
  }

  link(other: WatchedThread, given: LinkOptions = {}): Link {
    checkCall("link", given);
    const { trap = false, ...options } = given;
    const monitor = this.monitor(other, options);
    const { threadId, down } = monitor;
    const { calls } = this.#host;
    const own = this.#threadId;
    const bound = calls.bind(own, threadId, trap);
    const stored = Promise.all([monitor.stored, bound]).then(() => undefined);
    stored.catch(() => undefined);
    let isBound = true;
    const unlink = (): boolean => {
      const was = isBound;
      isBound = false;
      monitor.demonitor();
      const both = () => calls.unbind(own, threadId);
      if (was) this.#host.finish(bound.then(both, both));
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
    for (const monitor of [...this.#monitors.values()]) monitor.giveUp(reason);
  }
}
