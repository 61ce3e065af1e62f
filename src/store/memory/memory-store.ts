/**
 * The reference ThreadStore: everything in the heap, gone with the process.
 *
 * Items belong to the store from `append` on and are given back as they are: nobody changes one afterwards.
 */
import { type Clock, systemClock } from "../../kernel/clock.ts";
import {
  DuplicateThreadError,
  InvalidForkPointError,
  InvalidRequestError,
  RolloutNotFoundError,
  StoreIoError,
  ThreadBusyError,
} from "../../protocol/errors.ts";
import type { ThreadId, TurnId } from "../../protocol/ids.ts";
import type { ForkAnchor } from "../../protocol/initial-history.ts";
import { jsonForm } from "../../protocol/json-form.ts";
import type { RolloutItem, RolloutLine, SessionMeta } from "../../protocol/rollout.ts";
import { forkHeader } from "../fork-header.ts";
import { storable, storableHeader } from "../rollout/codec.ts";
import { MemoryNotes } from "../standing-notes.ts";
import type {
  ForkBase,
  LoadRange,
  OpenOptions,
  StoredThread,
  ThreadGit,
  ThreadLocator,
  ThreadPage,
  ThreadQuery,
  ThreadStore,
  ThreadWriter,
  TurnPlace,
} from "../thread-store.ts";
import { isWanted } from "../wanted-lines.ts";
import { threadIdOf } from "../without-files.ts";
import { endLease, type MemoryWriter, Stamps, takeLease, waitForLease } from "./memory-lease.ts";
import { selectPage } from "./memory-list.ts";
import { type MemoryBase, MemoryThread } from "./memory-thread.ts";

const PAGE_LINES = 512;
const CLOSED = "the store is closed";

/** A store whose threads live as long as it does. */
export const memoryStore = (options: { clock?: Clock } = {}): ThreadStore =>
  new MemoryStore(options.clock ?? systemClock);

class MemoryStore implements ThreadStore {
  readonly #threads = new Map<ThreadId, MemoryThread>();
  /** For each thread that was forked the forks; also for a deleted one, so that its forks are found through it. */
  readonly #forks = new Map<ThreadId, Set<ThreadId>>();
  readonly #stamps: Stamps;
  readonly notes = new MemoryNotes((threadId) => this.#threads.has(threadId));
  #closed = false;

  constructor(clock: Clock) {
    this.#stamps = new Stamps(clock);
  }

  async create(meta: SessionMeta, options: OpenOptions = {}): Promise<ThreadWriter> {
    return this.#add(meta, undefined, options);
  }

  async fork(meta: SessionMeta, base: ForkBase, options: OpenOptions = {}): Promise<ThreadWriter> {
    this.#check(options.signal);
    const inherited = this.#baseOf(base);
    const shared = inherited && { threadId: inherited.thread.id, end: { ordinal: inherited.end } };
    return this.#add(forkHeader(meta, base, shared), inherited, options);
  }

  async adopt(meta: SessionMeta, items: readonly RolloutItem[], options: OpenOptions = {}): Promise<ThreadWriter> {
    const lines = items.map(storable);
    const writer = this.#add(meta, undefined, options);
    for (const line of lines) writer.append(line);
    return writer;
  }

  #add(given: SessionMeta, base: MemoryBase | undefined, options: OpenOptions): MemoryWriter {
    this.#check(options.signal);
    const meta = storableHeader(given);
    if (this.#threads.has(meta.id)) throw new DuplicateThreadError(meta.id);
    const thread = new MemoryThread(meta, base, this.#stamps.now());
    this.#threads.set(meta.id, thread);
    const parent = meta.forked_from_id;
    if (parent !== undefined && parent !== null) {
      const forks = this.#forks.get(parent);
      if (forks === undefined) this.#forks.set(parent, new Set([meta.id]));
      else forks.add(meta.id);
    }
    return takeLease(thread, this.#stamps, options);
  }

  /** A deleted thread is still a base for those who inherit from it, and for their forks. */
  #baseOf({ source, inherits }: ForkBase): MemoryBase | undefined {
    if (inherits === null) return undefined;
    const { ordinal } = inherits.end;
    const named = this.#threads.get(inherits.threadId) ?? this.#threads.get(source)?.find(inherits.threadId);
    if (named === undefined) throw notFound(inherits.threadId);
    if (!Number.isInteger(ordinal) || ordinal < 1 || ordinal > named.end) {
      throw new InvalidForkPointError(`thread ${named.id} has ${named.end} lines; a fork cannot begin at ${ordinal}`);
    }
    return { thread: named.holder(ordinal), end: ordinal };
  }

  async open(locator: ThreadLocator, options: OpenOptions = {}): Promise<ThreadWriter> {
    this.#check(options.signal);
    const thread = this.#find(locator);
    const { lease } = thread;
    if (lease === undefined || options.lease === "takeOver") return takeLease(thread, this.#stamps, options);
    if (options.lease !== "wait") throw new ThreadBusyError(thread.id, lease.writer.owner);
    if (options.signal === undefined && options.deadlineMs === undefined) {
      throw new InvalidRequestError('lease "wait" needs a signal or a deadlineMs');
    }
    return waitForLease(thread, lease, this.#stamps, options);
  }

  #check(signal?: AbortSignal): void {
    signal?.throwIfAborted();
    if (this.#closed) throw new StoreIoError(CLOSED);
  }

  #find(locator: ThreadLocator): MemoryThread {
    this.#check();
    const id = threadIdOf(locator);
    const thread = this.#threads.get(id);
    if (thread === undefined) throw notFound(id);
    return thread;
  }

  async header(locator: ThreadLocator): Promise<SessionMeta> {
    return this.#find(locator).meta;
  }

  async *load(locator: ThreadLocator, range: LoadRange = {}): AsyncGenerator<readonly RolloutLine[]> {
    const { from = "start", toOrdinal, wants, signal } = range;
    signal?.throwIfAborted();
    const thread = this.#find(locator);
    const to = Math.min(toOrdinal ?? thread.end, thread.end);
    for (const run of thread.runs(startOf(thread, from, to), to)) {
      const { lines, start } = run.thread;
      for (let at = run.from; at < run.to; at += PAGE_LINES) {
        signal?.throwIfAborted();
        const page = lines.slice(at - start, Math.min(at + PAGE_LINES, run.to) - start);
        const wanted = wants === undefined ? page : page.filter((line) => isWanted(line, wants));
        if (wanted.length > 0) yield wanted;
      }
    }
  }

  async forkBase(locator: ThreadLocator, at: ForkAnchor): Promise<ForkBase | undefined> {
    const thread = this.#find(locator);
    const place = thread.resolve(at);
    if (place === undefined) return undefined;
    const threadId = thread.holder(place.end.ordinal).id;
    const { historyMode } = thread;
    return { source: thread.id, inherits: { threadId, end: place.end }, historyMode, openTurn: place.openTurn };
  }

  async findTurn(threadId: ThreadId, turnId: TurnId): Promise<TurnPlace | undefined> {
    return this.#find(threadId).findTurn(turnId);
  }

  async get(threadId: ThreadId): Promise<StoredThread> {
    return this.#find(threadId).summary();
  }

  async list(query?: ThreadQuery): Promise<ThreadPage> {
    this.#check();
    return selectPage(this.#threads.values(), query);
  }

  async ancestors(threadId: ThreadId): Promise<readonly ThreadId[]> {
    const found = new Set<ThreadId>();
    let thread: MemoryThread | undefined = this.#find(threadId);
    while (thread !== undefined) {
      const parent: ThreadId | null | undefined = thread.meta.forked_from_id;
      if (parent === undefined || parent === null || found.has(parent)) break;
      found.add(parent);
      const base: MemoryThread | undefined = thread.base?.thread;
      thread = this.#threads.get(parent) ?? base?.find(parent) ?? base;
      if (thread !== undefined) found.add(thread.id);
    }
    return [...found];
  }

  async descendants(threadId: ThreadId): Promise<readonly ThreadId[]> {
    this.#find(threadId);
    const found = new Set<ThreadId>([threadId]);
    for (const id of found) for (const fork of this.#forks.get(id) ?? []) found.add(fork);
    found.delete(threadId);
    return [...found].filter((id) => this.#threads.has(id));
  }

  async rename(threadId: ThreadId, name: string | null): Promise<void> {
    this.#find(threadId).rename(jsonForm(name, "a name"));
  }

  async setGitInfo(threadId: ThreadId, gitInfo: ThreadGit | null): Promise<void> {
    this.#find(threadId).setGitInfo(jsonForm(gitInfo, "a repository"));
  }

  async archive(threadId: ThreadId): Promise<void> {
    this.#find(threadId).setArchived({ archived: true });
  }

  async unarchive(threadId: ThreadId): Promise<void> {
    this.#find(threadId).setArchived({ archived: false });
  }

  async delete(threadId: ThreadId): Promise<void> {
    const thread = this.#find(threadId);
    this.#threads.delete(threadId);
    this.notes.forget(threadId);
    endLease(thread, notFound(threadId))?.fail(notFound(threadId));
    this.#forgetFork(thread);
  }

  /** Takes a deleted thread out of the lineage, unless it has forks that are found through it. */
  #forgetFork(thread: MemoryThread): void {
    let { id } = thread;
    let parent = thread.meta.forked_from_id;
    while (parent !== undefined && parent !== null && !this.#threads.has(id) && !this.#forks.has(id)) {
      const forks = this.#forks.get(parent);
      forks?.delete(id);
      if (forks === undefined || forks.size > 0) return;
      this.#forks.delete(parent);
      id = parent;
      parent = thread.find(parent)?.meta.forked_from_id;
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    const error = new StoreIoError(CLOSED);
    for (const thread of this.#threads.values()) void endLease(thread, error)?.close();
    this.#threads.clear();
    this.#forks.clear();
    this.notes.clear();
  }
}

function startOf(thread: MemoryThread, from: NonNullable<LoadRange["from"]>, to: number): number {
  if (from === "start") return 0;
  if (from === "compaction") return thread.findLast(to, (line) => line.type === "compacted") ?? 0;
  return from.ordinal;
}

const notFound = (which: string): RolloutNotFoundError =>
  new RolloutNotFoundError(`no rollout found for thread id ${which}`);
