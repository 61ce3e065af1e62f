/**
 * Who watches whose end, and who ends with whom (SEMANTICS 6.1 to 6.8). A watch is told of one end for good, in whatever life; a restart,
 * unloading, a failed turn and the end of the process are none. It stands beside whoever watches until that has been told, so the next
 * process goes on with it: a monitor waits there for a handle, half a bond for the thread that it ends.
 */
import { onceAborted } from "../kernel/abort-listeners.ts";
import { textOfThrown } from "../kernel/thrown.ts";
import { ManagerClosedError, RolloutNotFoundError, ThreadClosedError } from "../protocol/errors.ts";
import { newItemId, type ThreadId } from "../protocol/ids.ts";
import { checkCall } from "../thread/call-checks.ts";
import type { Down, DownReason, Link, LinkOptions, Monitor, MonitorOptions } from "../thread/watching.ts";
import type { ThreadEnd } from "./thread-end.ts";
import { type StoredWatch, WatchNotes, type WatchNotesHost } from "./watch-notes.ts";
import { type Holder, type Watch, Watches } from "./watches.ts";

/** The threads that are watched. */
export interface Watchable extends WatchNotesHost {
  /** Whether the thread lives, in memory or out of it. */
  isKnown(threadId: ThreadId): boolean | Promise<boolean>;
  /** @throws RolloutNotFoundError for a thread that is not stored */
  header(threadId: ThreadId): Promise<unknown>;
  /** Ends a thread, since one that it is linked with has ended. */
  endLinked(threadId: ThreadId): void;
}

const reasonOf = ({ reason, wasAsked }: ThreadEnd): DownReason => {
  if (reason !== "closed") return reason;
  return wasAsked ? "shutdown" : "normal";
};

export class Monitors {
  readonly #threads: Watchable;
  readonly #notes: WatchNotes;
  readonly #watches = new Watches();
  #recalling: Promise<void> | undefined;
  /** Ends that came before it was known what earlier processes have left. */
  #early: ThreadEnd[] | undefined = [];
  /** Watchers that are not here, as far as is known what they watch: another process may have them, and it is read again when they come. */
  readonly #elsewhere = new Set<ThreadId>();
  readonly #arriving = new Map<ThreadId, Promise<void>>();
  #isClosed = false;

  constructor(threads: Watchable) {
    this.#threads = threads;
    this.#notes = new WatchNotes(threads);
  }

  /** How many watches there are: for tests, which expect none once all threads are gone. */
  get size(): number {
    return this.#watches.size;
  }

  /** How many threads that are not here are known to watch something. */
  get away(): number {
    return this.#elsewhere.size;
  }

  // What a thread asks for.

  /** @throws ManagerClosedError; the signal's reason */
  monitor(watcher: ThreadId, threadId: ThreadId, options: MonitorOptions = {}): Monitor {
    checkCall("monitor", options);
    const { signal, onDown } = options;
    if (this.#isClosed) throw new ManagerClosedError();
    signal?.throwIfAborted();
    const watch = this.#watches.place(watcher, { ref: newItemId(), threadId, kind: "monitor", traps: false });
    return this.#hold(watch, { signal, onDown }, this.#begin(watch));
  }

  /** The monitors of a thread, those of earlier processes included: what has come of the watched meanwhile is told now. */
  async monitors(watcher: ThreadId): Promise<readonly Monitor[]> {
    await this.#ready(watcher);
    const held: Monitor[] = [];
    for (const watch of this.#watches.by(watcher)) {
      if (watch.kind !== "monitor") continue;
      held.push(watch.holder ?? this.#hold(watch, {}, Promise.resolve()));
      if (watch.down !== undefined) this.#settle(watch, watch.down);
      else if (watch.isRecalled) await this.#tellIfGone(watch);
    }
    return held;
  }

  /** Two threads end together from now on; asked for again it is the same bond, and `trap` says what this side does. */
  link(from: ThreadId, to: ThreadId, given: LinkOptions = {}): Link {
    checkCall("link", given);
    const { trap = false, ...options } = given;
    const told = this.monitor(from, to, options);
    const bond =
      this.#watches.bond(from, to) ??
      this.#watches.place(from, { ref: newItemId(), threadId: to, kind: "bond", traps: trap });
    bond.traps = trap;
    if (this.#watches.bond(to, from) === undefined)
      this.#watches.place(to, { ref: newItemId(), threadId: from, kind: "bond", traps: false });
    const stored = Promise.all([told.stored, this.#begin(bond), this.#ready(to).then(() => this.#store(to))]);
    stored.catch(() => undefined);
    const unlink = (): boolean => {
      told.demonitor();
      return this.#unbind(from, to);
    };
    const { down } = told;
    return { threadId: to, down, stored: stored.then(() => undefined), unlink, [Symbol.dispose]: () => void unlink() };
  }

  #unbind(from: ThreadId, to: ThreadId): boolean {
    const halves = [this.#watches.bond(from, to), this.#watches.bond(to, from)].filter((half) => half !== undefined);
    for (const half of halves) if (!this.#isClosed && this.#watches.drop(half)) this.#storeLater(half.watcher);
    return !this.#isClosed && halves.length > 0;
  }

  /** Goes on with what stands from an earlier process, tells of one that is not there, and stores the watch. */
  async #begin(watch: Watch): Promise<void> {
    const ready = this.#ready(watch.watcher);
    await ready.catch(() => undefined);
    const standing = watch.kind === "monitor" ? this.#watches.standing(watch) : undefined;
    if (standing !== undefined) {
      watch.isRecalled = true;
      this.#watches.drop(standing);
      if (standing.down !== undefined) this.#settle(watch, { ...standing.down, ref: watch.ref });
    }
    await this.#tellIfGone(watch);
    await ready;
    await this.#store(watch.watcher);
  }

  /** One that stands from an earlier process waits for a thread that is stored. */
  async #tellIfGone(watch: Watch): Promise<void> {
    const { threadId, ref, isRecalled } = watch;
    if (await this.#threads.isKnown(threadId)) return;
    if (isRecalled && (await this.#isStored(threadId))) return;
    this.#settle(watch, { type: "down", ref, threadId, reason: "not_found", epoch: null });
  }

  async #isStored(threadId: ThreadId): Promise<boolean> {
    try {
      await this.#threads.header(threadId);
      return true;
    } catch (error) {
      // What can't be read now may be there.
      return !(error instanceof RolloutNotFoundError);
    }
  }

  #hold(watch: Watch, { signal, onDown }: MonitorOptions, stored: Promise<void>): Holder {
    const { promise, resolve, reject } = Promise.withResolvers<Down>();
    // Whoever only listens to `onDown` leaves the promises alone.
    promise.catch(() => undefined);
    stored.catch(() => undefined);
    const letGo = (reason: unknown): boolean => {
      if (this.#isClosed || !this.#watches.drop(watch)) return false;
      this.#storeLater(watch.watcher);
      holder.giveUp(reason);
      return true;
    };
    const holder: Holder = {
      ref: watch.ref,
      threadId: watch.threadId,
      down: promise,
      stored,
      tell: (down) => {
        stopListening?.();
        resolve(down);
        // What it throws is its own affair, as with an observer of rxjs.
        if (onDown !== undefined) queueMicrotask(() => onDown(down));
      },
      giveUp: (reason) => {
        stopListening?.();
        reject(reason);
      },
      demonitor: () => letGo(new DOMException("the watch was given up", "AbortError")),
      [Symbol.dispose]: () => void holder.demonitor(),
    };
    watch.holder = holder;
    this.#watches.claim(watch);
    const stopListening = signal && onceAborted(signal, () => void letGo(signal.reason));
    return holder;
  }

  // What comes of it.

  /** The first end that is told is the only one. */
  #settle(watch: Watch, down: Down): void {
    const { watcher, threadId, kind, holder, traps } = watch;
    if (!this.#watches.has(watch)) return;
    const waits = kind === "bond" ? this.#elsewhere.has(watcher) : holder === undefined;
    if (waits) watch.down ??= down;
    else this.#watches.drop(watch);
    const other = kind === "bond" ? this.#watches.bond(threadId, watcher) : undefined;
    if (other !== undefined && this.#watches.drop(other)) this.#storeLater(threadId);
    this.#storeLater(watcher);
    if (waits) return;
    if (kind === "monitor") holder?.tell(down);
    else if (down.reason !== "normal" && !traps) this.#threads.endLinked(watcher);
  }

  /** A thread has ended for good: those who watch it are told, and what it watched itself is let go. */
  noteEnded(end: ThreadEnd): void {
    if (this.#isClosed) return;
    this.#early?.push(end);
    const { threadId, epoch, error, reason } = end;
    for (const watch of this.#watches.of(threadId)) {
      const { ref } = watch;
      this.#settle(watch, {
        ...{ type: "down", ref, threadId, reason: reasonOf(end), epoch },
        ...(error === undefined ? {} : { error }),
      });
    }
    if (reason === "lost") this.noteMoved(threadId, error);
    else this.#letGo(threadId, error);
  }

  #letGo(watcher: ThreadId, error?: unknown): void {
    this.#elsewhere.delete(watcher);
    const own = this.#watches.by(watcher);
    for (const watch of own) {
      this.#watches.drop(watch);
      watch.holder?.giveUp(new ThreadClosedError(watcher, undefined, error));
    }
    if (own.length > 0) this.#storeLater(watcher);
  }

  /** The thread lives elsewhere, with what it watches. */
  noteMoved(watcher: ThreadId, error?: unknown): void {
    const own = this.#watches.by(watcher);
    if (own.length > 0) this.#elsewhere.add(watcher);
    for (const watch of own) {
      watch.holder?.giveUp(new ThreadClosedError(watcher, undefined, error));
      this.#watches.disclaim(watch);
    }
  }

  /** A thread is not stored any more. */
  noteDeleted(threadId: ThreadId): void {
    for (const watch of this.#watches.of(threadId))
      this.#settle(watch, { type: "down", ref: watch.ref, threadId, reason: "not_found", epoch: null });
    this.#letGo(threadId);
  }

  // Over processes.

  /** The thread was another process's so far, which may have changed what stands beside it. */
  noteArrived(threadId: ThreadId): void {
    if (this.#early === undefined) this.#elsewhere.add(threadId);
  }

  /** A thread is in memory: what stands beside it goes on. Never rejects. */
  noteLoaded(threadId: ThreadId): void {
    if (this.#early === undefined && !this.#elsewhere.has(threadId)) return;
    const arriving = this.#arrive(threadId).finally(() => {
      if (this.#arriving.get(threadId) === arriving) this.#arriving.delete(threadId);
    });
    this.#arriving.set(threadId, arriving);
    arriving.catch((err: unknown) => {
      if (!this.#isClosed) this.#threads.logger.warn({ threadId, err }, "a thread's watches could not be read");
    });
  }

  /** Resolves when it is known what stands beside the thread. @throws StoreIoError */
  #ready(threadId: ThreadId): Promise<void> {
    return this.#arriving.get(threadId) ?? this.#recalled();
  }

  #recalled(): Promise<void> {
    this.#recalling ??= this.#recall().catch((error: unknown) => {
      this.#recalling = undefined;
      throw error;
    });
    return this.#recalling;
  }

  async #recall(): Promise<void> {
    for (const [watcher, watches] of await this.#notes.recall()) {
      this.#elsewhere.add(watcher);
      for (const watch of watches) this.#watches.place(watcher, watch, true);
    }
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const end of early) this.noteEnded(end);
  }

  /** What stands beside it may have changed since it was seen here last. */
  async #arrive(watcher: ThreadId): Promise<void> {
    await this.#recalled();
    if (!this.#elsewhere.has(watcher)) return;
    const watches = await this.#notes.read(watcher);
    if (!this.#elsewhere.delete(watcher)) return;
    const before = this.#watches.by(watcher).filter(({ isRecalled }) => isRecalled);
    const known = new Map(before.map((watch) => [watch.ref, watch]));
    for (const watch of before) this.#watches.drop(watch);
    for (const stored of watches) {
      // Linked anew meanwhile.
      if (stored.kind === "bond" && this.#watches.bond(watcher, stored.threadId) !== undefined) continue;
      const watch = this.#watches.place(watcher, stored, true);
      watch.down ??= known.get(watch.ref)?.down;
      if (watch.kind !== "bond") continue;
      if (watch.down !== undefined) this.#settle(watch, watch.down);
      else void this.#tellIfGone(watch);
    }
  }

  /** @throws StoreIoError */
  #store(watcher: ThreadId): Promise<void> {
    return this.#notes.write(watcher, async () => {
      const own = this.#watches.by(watcher).map(storedForm);
      if (!this.#elsewhere.has(watcher)) return own;
      // Whoever has the thread may have changed the rest.
      const downs = new Map(own.map(({ ref, down }) => [ref, down]));
      return (await this.#notes.read(watcher)).map((stored) => ({
        ...stored,
        down: stored.down ?? downs.get(stored.ref),
      }));
    });
  }

  #storeLater(watcher: ThreadId): void {
    this.#store(watcher).catch((err: unknown) =>
      this.#threads.logger.warn({ threadId: watcher, err }, "what a thread watches is not stored"),
    );
  }

  /** The manager ends, which is no end of a thread: nothing more is told here, and what stands waits for the next process. */
  close(): void {
    this.#isClosed = true;
    for (const { holder } of this.#watches.all()) holder?.giveUp(new ManagerClosedError());
  }

  /** Resolves when nothing of what the thread watches is being written any more. */
  rest(threadId: ThreadId): Promise<void> {
    return this.#notes.rest(threadId);
  }

  /** Resolves when all is stored. */
  settled(): Promise<void> {
    return this.#notes.settled();
  }
}

const storedForm = ({ ref, threadId, kind, traps, down }: Watch): StoredWatch => ({
  ...{ ref, threadId, kind, traps },
  ...(down !== undefined && {
    down: {
      ...{ reason: down.reason, epoch: down.epoch },
      ...(down.error !== undefined && { error: textOfThrown(down.error) }),
    },
  }),
});
