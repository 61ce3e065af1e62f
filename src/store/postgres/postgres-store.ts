/** Threads in PostgreSQL: many processes share them, each thread with one writer that its epoch fences. */
import { randomUUID } from "node:crypto";
import { raceAbort } from "../../kernel/cancellation.ts";
import { type Clock, elapsedBy, systemClock } from "../../kernel/clock.ts";
import { type SkeinLogger, silentLog } from "../../kernel/log.ts";
import {
  DeadlineExceededError,
  InvalidForkPointError,
  InvalidRequestError,
  type LeaseOwner,
  RolloutNotFoundError,
  StoreIoError,
  ThreadBusyError,
} from "../../protocol/errors.ts";
import type { ThreadId, TurnId } from "../../protocol/ids.ts";
import type { ForkAnchor } from "../../protocol/initial-history.ts";
import { jsonForm } from "../../protocol/json-form.ts";
import type { RolloutItem, RolloutLine, SessionMeta } from "../../protocol/rollout.ts";
import { forkHeader } from "../fork-header.ts";
import type { ExportOptions, MovableStore, StoredImage, ThreadImage } from "../movable-store.ts";
import { storable, storableHeader, timestampOf } from "../rollout/codec.ts";
import { flatHistory } from "../rollout/flat-history.ts";
import type {
  ForkBase,
  LoadRange,
  OpenOptions,
  StoredThread,
  ThreadGit,
  ThreadLocator,
  ThreadPage,
  ThreadQuery,
  ThreadWriter,
  TurnPlace,
} from "../thread-store.ts";
import { threadIdOf } from "../without-files.ts";
import { PostgresAnchors, type View } from "./anchors.ts";
import { CommitGroup } from "./commit-group.ts";
import { type OnLock, PostgresDatabase } from "./database.ts";
import type { DatabaseReport, DatabaseVerifyOptions } from "./database-report.ts";
import { isUnanswered } from "./failure.ts";
import { Gathered } from "./gathered.ts";
import { LeaseNews } from "./lease-news.ts";
import { listThreads } from "./list.ts";
import { PostgresNotes } from "./notes.ts";
import { checkOptions, type PostgresStoreOptions } from "./options.ts";
import { readLines } from "./reader.ts";
import { type Ending, type Hold, Releases } from "./releases.ts";
import { PostgresSession } from "./session.ts";
import { imageOf, placeThread } from "./thread-images.ts";
import {
  type Extent,
  extentOf,
  headerOf,
  NOTHING_SAID,
  storedThreadOf,
  summaryBefore,
  summaryOf,
  type ThreadRow,
} from "./thread-row.ts";
import { type Beginning, type NewThread, ThreadTable } from "./thread-table.ts";
import { verifyDatabase } from "./verify.ts";
import { PostgresWriter } from "./writer.ts";

export type { DatabaseFault, DatabaseFaultKind, DatabaseReport, DatabaseVerifyOptions } from "./database-report.ts";
export type { PostgresClient, PostgresPool, PostgresQuery, PostgresStoreOptions } from "./options.ts";

/** How often a thread that is waited for is looked at, where the news of it was lost. */
const LOOK_MS = 1_000;

/**
 * A store whose threads lie in a PostgreSQL database (14 or later), for any number of processes. It needs the package
 * `pg`, and makes its tables at first use.
 *
 * - What `flush` has acknowledged is committed. Lines of all threads that come within one turn of the event loop are one
 *   statement.
 * - A process that dies, or loses its connection, lets go of its threads; one that merely stands still keeps them until
 *   somebody takes them over. The loser of a thread hears of it by LISTEN, and at its next write in any case.
 *
 * @throws InvalidRequestError for wrong options. What the database refuses is a StoreIoError of the first use.
 */
export const postgresStore = (options: PostgresStoreOptions): PostgresStore => new PostgresThreads(options);

/** A store in a database: what every store does, and what threads need to come and go whole. */
export interface PostgresStore extends MovableStore {
  /** Makes the connection, and the tables where they are missing. Everything else does so by itself. @throws StoreIoError */
  connect(options?: { readonly signal?: AbortSignal }): Promise<void>;
  /** Reads every thread and names what is wrong; changes nothing. @throws StoreIoError */
  verify(options?: DatabaseVerifyOptions): Promise<DatabaseReport>;
}

class PostgresThreads implements PostgresStore {
  readonly sharesLegacyLines = true;
  readonly #clock: Clock;
  readonly #log: SkeinLogger;
  readonly #database: PostgresDatabase;
  readonly #session: PostgresSession;
  readonly #threads: ThreadTable;
  readonly #anchors: PostgresAnchors;
  readonly #group: CommitGroup;
  readonly #starts: Gathered<NewThread, number | Error>;
  readonly #releases: Releases;
  readonly #writers = new Map<ThreadId, PostgresWriter>();
  readonly #news: LeaseNews;
  readonly notes: PostgresNotes;
  #migrating: Promise<void> | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: PostgresStoreOptions) {
    const checked = checkOptions(options);
    this.#clock = checked.clock ?? systemClock;
    this.#log = checked.logger ?? silentLog;
    this.#database = new PostgresDatabase(checked, this.#clock);
    this.#news = new LeaseNews(this.#clock, (news) => this.#hear(news));
    this.#session = new PostgresSession(this.#database, this.#log, (text) => this.#news.tell(text));
    this.#threads = new ThreadTable(this.#database, this.#session.holder);
    this.#anchors = new PostgresAnchors(this.#database);
    this.#group = new CommitGroup(this.#database, this.#anchors);
    this.#starts = new Gathered((starts, onLock) => this.#threads.insertAll(starts, onLock));
    const endings = {
      release: (holds: readonly Hold[], onLock: OnLock) => this.#threads.release(holds, onLock),
      unmake: async ({ threadId, claim }: Hold) => void (await this.#threads.delete(threadId, claim)),
    };
    this.#releases = new Releases(this.#clock, endings, checked.statementMs);
    this.notes = new PostgresNotes(this.#database, () => this.#ready());
  }

  async #ready(signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.#closing !== undefined) throw new StoreIoError("the store is closed");
    this.#migrating ??= this.#database.migrate().catch((error: unknown) => {
      this.#migrating = undefined;
      throw error;
    });
    const ready = this.#migrating.then(() => this.#session.open());
    await raceAbort(ready, signal);
  }

  /** Another store has taken a thread, or let go of one. */
  #hear({ threadId, epoch, owner }: { threadId: ThreadId; epoch: number; owner: ThreadRow["owner"] }): void {
    const writer = this.#writers.get(threadId);
    if (writer === undefined || writer.epoch >= epoch) return;
    writer.end(owner === null ? notFound(threadId) : new ThreadBusyError(threadId, owner));
  }

  async create(meta: SessionMeta, options: OpenOptions = {}): Promise<ThreadWriter> {
    await this.#ready(options.signal);
    return this.#add(meta, { base: null, start: 0, summary: NOTHING_SAID }, options);
  }

  async fork(meta: SessionMeta, base: ForkBase, options: OpenOptions = {}): Promise<ThreadWriter> {
    await this.#ready(options.signal);
    if (base.inherits === null) {
      return this.#add(forkHeader(meta, base), { base: null, start: 0, summary: NOTHING_SAID }, options);
    }
    const { ordinal } = base.inherits.end;
    const named = await this.#threads.find(base.inherits.threadId, { deleted: true });
    if (named === undefined) throw notFound(base.inherits.threadId);
    if (!Number.isInteger(ordinal) || ordinal < 1 || ordinal > named.next) {
      throw new InvalidForkPointError(`thread ${named.id} has ${named.next} lines; a fork cannot begin at ${ordinal}`);
    }
    const holder = await this.#holderOf(named, ordinal);
    const forked = forkHeader(meta, base, { threadId: holder.id, end: { ordinal } });
    const state = await this.#anchors.stateBefore(holder.t, ordinal);
    const summary = summaryBefore(summaryOf(named), ordinal, state);
    return this.#add(forked, { base: holder.t, start: ordinal, summary }, options);
  }

  async adopt(meta: SessionMeta, items: readonly RolloutItem[], options: OpenOptions = {}): Promise<ThreadWriter> {
    const lines = items.map(storable);
    await this.#ready(options.signal);
    const writer = await this.#add(meta, { base: null, start: 0, summary: NOTHING_SAID }, options);
    try {
      for (const line of lines) writer.append(line);
      await writer.flush(options);
      return writer;
    } catch (error) {
      await this.#unmake(writer);
      throw error;
    }
  }

  /** Of a thread that nobody was told of; one that another has taken meanwhile is that one's. */
  async #unmake(writer: PostgresWriter): Promise<void> {
    writer.end(notFound(writer.threadId));
    if (this.#writers.get(writer.threadId) === writer) this.#writers.delete(writer.threadId);
    await this.#releases.end(writer, "unmake");
  }

  /** Makes or takes a thread under a claim of its own. Where nobody knows whether that came to pass, it is taken back. */
  async #claimed<T>(threadId: ThreadId, taking: (hold: Hold) => Promise<T>, ending: Ending): Promise<T> {
    await this.#releases.tell(threadId);
    const hold = { threadId, claim: randomUUID() };
    try {
      return await taking(hold);
    } catch (error) {
      if (isUnanswered(error)) this.#releases.disown(hold, ending);
      throw error;
    }
  }

  /** @throws DuplicateThreadError; RolloutNotFoundError where the base is gone */
  async #add(given: SessionMeta, place: Beginning, options: OpenOptions): Promise<PostgresWriter> {
    const meta = storableHeader(given);
    const now = this.#clock.now();
    const { ear } = this.#session;
    const make = async ({ claim }: Hold) => ({
      claim,
      t: await this.#starts.ask({ meta, beginning: place, now, claim }),
    });
    const { t, claim } = await this.#claimed(meta.id, make, "unmake");
    if (t instanceof Error) throw t;
    const { base, start, summary } = place;
    const origin = { t, id: meta.id, header: JSON.stringify(meta), began: timestampOf(now), base, start };
    const historyMode = meta.history_mode ?? "paginated";
    const writer = this.#hold({ origin, claim, ear, epoch: 1, next: start + 1, historyMode, summary }, options);
    if (!options.signal?.aborted) return writer;
    await this.#unmake(writer);
    throw options.signal.reason;
  }

  #hold(start: Omit<ConstructorParameters<typeof PostgresWriter>[1], "onFailure">, { onFailure }: OpenOptions) {
    const writer = new PostgresWriter(
      this.#group,
      { ...start, onFailure },
      {
        release: (ended) => this.#letGo(ended),
        check: (asking) => this.#check(asking),
      },
    );
    const { threadId, epoch } = writer;
    this.#writers.get(threadId)?.end(new ThreadBusyError(threadId, this.#threads.owner));
    this.#writers.set(threadId, writer);
    this.#log.debug({ threadId, epoch }, "lease taken");
    return writer;
  }

  async #letGo(writer: PostgresWriter): Promise<void> {
    if (this.#writers.get(writer.threadId) === writer) this.#writers.delete(writer.threadId);
    // One that has lost its thread has nothing to give back; one that cannot be reached finds it let go with the connection.
    if (writer.hasEnded) return;
    const { threadId, epoch } = writer;
    if (await this.#releases.end(writer, "release")) this.#log.debug({ threadId, epoch }, "lease released");
  }

  async #check(writer: PostgresWriter): Promise<void> {
    const { threadId, epoch } = writer;
    const row = await this.#threads.find(threadId);
    if (row === undefined) writer.end(notFound(threadId));
    else if (row.epoch !== epoch) writer.end(new ThreadBusyError(threadId, row.owner ?? undefined));
  }

  async open(locator: ThreadLocator, options: OpenOptions = {}): Promise<ThreadWriter> {
    const { lease = "refuse" } = options;
    await this.#ready(options.signal);
    const id = threadIdOf(locator);
    if (lease === "wait") return this.#waitFor(id, options);
    const writer = await this.#take(id, lease === "takeOver", options);
    if (writer !== undefined) return writer;
    throw await this.#refusal(id);
  }

  async #refusal(id: ThreadId): Promise<Error> {
    const held = await this.#threads.find(id);
    if (held === undefined) return notFound(id);
    const owner = held.owner ?? undefined;
    this.#log.debug({ threadId: id, owner }, "lease held by another");
    return new ThreadBusyError(id, owner);
  }

  /** Waits until the thread's writer has let go of it; it is looked at now and then, since news can be lost. */
  async #waitFor(id: ThreadId, options: OpenOptions): Promise<ThreadWriter> {
    const { signal, deadlineMs } = options;
    if (signal === undefined && deadlineMs === undefined) {
      throw new InvalidRequestError('lease "wait" needs a signal or a deadlineMs');
    }
    const until = deadlineMs === undefined ? Number.POSITIVE_INFINITY : elapsedBy(this.#clock) + deadlineMs;
    for (;;) {
      using look = this.#news.listen(id);
      const writer = await this.#take(id, false, options);
      if (writer !== undefined) return writer;
      const refusal = await this.#refusal(id);
      if (!(refusal instanceof ThreadBusyError)) throw refusal;
      const leftMs = until - elapsedBy(this.#clock);
      if (leftMs <= 0) throw new DeadlineExceededError(`waiting for the writer of thread ${id}`, deadlineMs ?? 0);
      await look.within(Math.min(leftMs, LOOK_MS), signal);
    }
  }

  /** undefined: it is not there, or another has it. */
  async #take(id: ThreadId, takeOver: boolean, options: OpenOptions): Promise<PostgresWriter | undefined> {
    const { ear } = this.#session;
    const take = async (hold: Hold) => ({ ...hold, row: await this.#threads.claim(hold, takeOver) });
    const { row, claim } = await this.#claimed(id, take, "release");
    if (row === undefined) return undefined;
    const { epoch, next } = row;
    const { history_mode: historyMode = "paginated" } = headerOf(row);
    const start = { origin: row, claim, ear, epoch, next, historyMode, summary: summaryOf(row) };
    const writer = this.#hold(start, options);
    if (!options.signal?.aborted) return writer;
    await writer.close();
    throw options.signal.reason;
  }

  /** The thread as it is stored, with what this store has appended to it. */
  async #find(locator: ThreadLocator): Promise<ThreadRow> {
    await this.#ready();
    const id = threadIdOf(locator);
    const writer = this.#writers.get(id);
    if (writer?.dirty) await writer.flush();
    const row = await this.#threads.find(id);
    if (row === undefined) throw notFound(id);
    return row;
  }

  /** The same, as far as its lines are read: of a thread that this store writes, nobody has to be asked. */
  async #extent(locator: ThreadLocator): Promise<Extent> {
    await this.#ready();
    const writer = this.#writers.get(threadIdOf(locator));
    if (writer?.dirty) await writer.flush();
    return writer?.extent(this.#session.ear) ?? extentOf(await this.#find(locator));
  }

  async #view(locator: ThreadLocator): Promise<View & { readonly row: Extent }> {
    const row = await this.#extent(locator);
    return { row, t: row.t, end: row.next, state: row.state };
  }

  async header(locator: ThreadLocator): Promise<SessionMeta> {
    return headerOf(await this.#extent(locator));
  }

  async *load(locator: ThreadLocator, range: LoadRange = {}): AsyncGenerator<readonly RolloutLine[]> {
    range.signal?.throwIfAborted();
    const row = await this.#extent(locator);
    const to = Math.max(0, Math.min(range.toOrdinal ?? row.next, row.next));
    const { from = "start" } = range;
    const begin =
      from === "start" ? 0 : from === "compaction" ? await this.#anchors.lastCompaction(row.t, to) : from.ordinal;
    yield* readLines(this.#database, row, { ...range, from: begin, to });
  }

  async forkBase(locator: ThreadLocator, at: ForkAnchor): Promise<ForkBase | undefined> {
    const view = await this.#view(locator);
    const place = await this.#anchors.resolve(view, at);
    if (place === undefined) return undefined;
    const { id: source, history_mode: historyMode = "paginated" } = headerOf(view.row);
    const { id: threadId } = await this.#holderOf(view.row, place.end);
    return { source, inherits: { threadId, end: { ordinal: place.end } }, historyMode, openTurn: place.openTurn };
  }

  async #holderOf(row: Pick<ThreadRow, "t" | "id" | "start">, end: number): Promise<{ t: number; id: ThreadId }> {
    if (end > row.start) return { t: row.t, id: row.id };
    const holder = await this.#anchors.holderOf(row.t, end);
    if (holder === undefined) throw notFound(row.id);
    return holder;
  }

  async findTurn(threadId: ThreadId, turnId: TurnId): Promise<TurnPlace | undefined> {
    return this.#anchors.findTurn(await this.#view(threadId), turnId);
  }

  async get(threadId: ThreadId): Promise<StoredThread> {
    return storedThreadOf(await this.#find(threadId));
  }

  async list(query?: ThreadQuery): Promise<ThreadPage> {
    await this.#ready();
    const dirty = [...this.#writers.values()].filter((writer) => writer.dirty);
    await Promise.allSettled(dirty.map((writer) => writer.flush())); // one that fails shows what is stored of it
    return listThreads(this.#database, query);
  }

  async ancestors(threadId: ThreadId): Promise<readonly ThreadId[]> {
    await this.#find(threadId);
    return this.#threads.ancestors(threadId);
  }

  async descendants(threadId: ThreadId): Promise<readonly ThreadId[]> {
    await this.#find(threadId);
    return this.#threads.descendants(threadId);
  }

  async rename(threadId: ThreadId, name: string | null): Promise<void> {
    await this.#ready();
    if (!(await this.#threads.rename(threadId, jsonForm(name, "a name")))) throw notFound(threadId);
  }

  async setGitInfo(threadId: ThreadId, gitInfo: ThreadGit | null): Promise<void> {
    await this.#ready();
    if (!(await this.#threads.setGitInfo(threadId, jsonForm(gitInfo, "a repository")))) throw notFound(threadId);
  }

  archive(threadId: ThreadId): Promise<void> {
    return this.#setArchived(threadId, true);
  }

  unarchive(threadId: ThreadId): Promise<void> {
    return this.#setArchived(threadId, false);
  }

  async #setArchived(threadId: ThreadId, archived: boolean): Promise<void> {
    await this.#ready();
    if (!(await this.#threads.setArchived(threadId, archived))) throw notFound(threadId);
  }

  async delete(threadId: ThreadId): Promise<void> {
    await this.#ready();
    if (!(await this.#threads.delete(threadId))) throw notFound(threadId);
    this.#writers.get(threadId)?.end(notFound(threadId));
    this.#writers.delete(threadId);
  }

  connect({ signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    return this.#ready(signal);
  }

  async *export(locator: ThreadLocator, { format = "legacy", signal }: ExportOptions = {}): AsyncGenerator<string> {
    signal?.throwIfAborted();
    const image = await this.image(threadIdOf(locator));
    for await (const page of flatHistory(image, format, { signal })) yield page.map(({ text }) => `${text}\n`).join("");
  }

  async holderOf(threadId: ThreadId): Promise<LeaseOwner | null> {
    await this.#ready();
    const row = await this.#threads.find(threadId);
    return row === undefined ? null : (await this.#threads.ties(row.t)).owner;
  }

  async image(threadId: ThreadId): Promise<StoredImage> {
    return imageOf(this.#database, this.#threads, await this.#find(threadId));
  }

  async place(thread: ThreadImage, { signal }: { readonly signal?: AbortSignal } = {}): Promise<void> {
    await this.#ready(signal);
    await placeThread(this.#database, this.#session.holder, thread, signal);
  }

  async verify(options?: DatabaseVerifyOptions): Promise<DatabaseReport> {
    await this.#ready(options?.signal);
    return verifyDatabase(this.#database, options);
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const closed = await Promise.allSettled([...this.#writers.values()].map((writer) => writer.close()));
    await this.#group.close();
    for (const writer of this.#writers.values()) writer.end(new StoreIoError("the store is closed"));
    this.#writers.clear();
    await this.#releases.close();
    await this.#session.close();
    await this.#database.close();
    for (const outcome of closed) if (outcome.status === "rejected") throw outcome.reason;
  }
}

const notFound = (threadId: string): RolloutNotFoundError =>
  new RolloutNotFoundError(`no rollout found for thread id ${threadId}`);
