import type { ThreadId } from "../protocol/ids.ts";
import type { Down, Monitor } from "../thread/watching.ts";
import type { StoredWatch } from "./watch-notes.ts";

/** Who waits for a monitor's end in this process. */
export type Holder = Monitor & { tell(down: Down): void; giveUp(reason: unknown): void };

/** A watch that has not been told. */
export type Watch = Omit<StoredWatch, "down" | "traps"> & {
  readonly watcher: ThreadId;
  traps: boolean;
  down: Down | undefined;
  holder: Holder | undefined;
  /** It was read, and nobody here has asked for it. */
  isRecalled: boolean;
};

const keyOf = ({ kind, threadId, ref }: Pick<Watch, "kind" | "threadId" | "ref">): string =>
  kind === "bond" ? threadId : ref;

/** All watches that stand, by who watches and by who is watched: plain data, monitors.ts says what becomes of them. */
export class Watches {
  /** Of each watcher, bonds by whom they bind it to, monitors by their refs. */
  readonly #byWatcher = new Map<ThreadId, Map<string, Watch>>();
  readonly #byWatched = new Map<ThreadId, Set<Watch>>();
  /** Monitors of earlier processes that nobody here has asked for, by their watchers. */
  readonly #unclaimed = new Map<ThreadId, Set<Watch>>();

  get size(): number {
    let size = 0;
    for (const watches of this.#byWatcher.values()) size += watches.size;
    return size;
  }

  /** What the thread watches. */
  by(watcher: ThreadId): Watch[] {
    return [...(this.#byWatcher.get(watcher)?.values() ?? [])];
  }

  /** What watches the thread. */
  of(threadId: ThreadId): Watch[] {
    return [...(this.#byWatched.get(threadId) ?? [])];
  }

  *all(): Iterable<Watch> {
    for (const watches of this.#byWatcher.values()) yield* watches.values();
  }

  has(watch: Watch): boolean {
    return this.#byWatcher.get(watch.watcher)?.get(keyOf(watch)) === watch;
  }

  bond(watcher: ThreadId, threadId: ThreadId): Watch | undefined {
    return this.#byWatcher.get(watcher)?.get(threadId);
  }

  /** A monitor of the same two threads that nobody has asked for. */
  standing({ watcher, threadId }: Watch): Watch | undefined {
    for (const watch of this.#unclaimed.get(watcher) ?? []) if (watch.threadId === threadId) return watch;
    return undefined;
  }

  place(watcher: ThreadId, given: StoredWatch, isRecalled = false): Watch {
    const { ref, threadId, down } = given;
    const watch: Watch = {
      ...given,
      ...{ watcher, isRecalled, holder: undefined },
      down: down && { type: "down", ref, threadId, ...down },
    };
    const own = this.#byWatcher.get(watcher) ?? new Map<string, Watch>();
    this.#byWatcher.set(watcher, own.set(keyOf(watch), watch));
    addTo(this.#byWatched, threadId, watch);
    if (isRecalled && watch.kind === "monitor") addTo(this.#unclaimed, watcher, watch);
    return watch;
  }

  /** @returns whether it stood */
  drop(watch: Watch): boolean {
    if (!this.has(watch)) return false;
    const { watcher, threadId } = watch;
    const own = this.#byWatcher.get(watcher);
    own?.delete(keyOf(watch));
    if (own?.size === 0) this.#byWatcher.delete(watcher);
    removeFrom(this.#byWatched, threadId, watch);
    this.claim(watch);
    return true;
  }

  /** Somebody here has asked for it. */
  claim(watch: Watch): void {
    removeFrom(this.#unclaimed, watch.watcher, watch);
  }

  /** It stands for whoever asks next. */
  disclaim(watch: Watch): void {
    watch.holder = undefined;
    watch.isRecalled = true;
    if (watch.kind === "monitor") addTo(this.#unclaimed, watch.watcher, watch);
  }
}

function addTo(sets: Map<ThreadId, Set<Watch>>, threadId: ThreadId, watch: Watch): void {
  const known = sets.get(threadId);
  if (known === undefined) sets.set(threadId, new Set([watch]));
  else known.add(watch);
}

function removeFrom(sets: Map<ThreadId, Set<Watch>>, threadId: ThreadId, watch: Watch): void {
  const known = sets.get(threadId);
  known?.delete(watch);
  if (known?.size === 0) sets.delete(threadId);
}
