/**
 * How threads come to be: new, from the store, or as forks. Each way is the same three steps (S3): reserve a place, make
 * the thread without holding any lock, commit or release the place. On every path but success nothing is left: the actor
 * is closed, the lease given back, a rollout that was made here deleted, the place free (S4).
 */

import { InvalidRequestError, RolloutNotFoundError } from "../protocol/errors.ts";
import type { EventMsg } from "../protocol/event.ts";
import type { ForkAnchor } from "../protocol/fork-anchor.ts";
import { INITIAL_SUBMISSION_ID, newThreadId, parseThreadId, type ThreadId } from "../protocol/ids.ts";
import { eventMsgsOf, type InitialHistory, rolloutItemsOf } from "../protocol/initial-history.ts";
import { developerMessage } from "../protocol/response-item.ts";
import type { RolloutItem, SessionMeta } from "../protocol/rollout.ts";
import type { SessionSource } from "../protocol/session-source.ts";
import {
  parseThreadConfig,
  type ResolvedThreadConfig,
  resolveThreadConfig,
  type ThreadConfig,
} from "../protocol/thread-config.ts";
import { AnchorIndex } from "../store/anchor-index.ts";
import type { ForkBase, OpenOptions, OpenTurn, ThreadStore, ThreadWriter } from "../store/thread-store.ts";
import { Incarnation } from "../thread/incarnation.ts";
import { LiveThread, type ThreadHome } from "../thread/live-thread.ts";
import type { NewThread } from "../thread/thread.ts";
import type { ThreadEnv } from "../thread/thread-env.ts";
import type { Tool } from "../turn/tool.ts";
import { ToolSet } from "../turn/tool-set.ts";
import { BuiltIns } from "../turn/tools/built-ins.ts";
import type { ManagerSetup } from "./options.ts";
import type { Parking } from "./parking.ts";
import type { Registry, Reservation } from "./registry.ts";
import { sessionConfiguredOf, sessionMetaOf } from "./session-meta.ts";

/** What a thread is made with, beside its config. */
export type ThreadOptions = {
  readonly signal?: AbortSignal | undefined;
  /** An id of the caller's choice for a new thread. @throws DuplicateThreadError when it is taken */
  readonly threadId?: string | undefined;
  /** Whose agent the thread is: it counts against that thread's limits and is hidden from lists of user threads. */
  readonly parentThreadId?: ThreadId | undefined;
  readonly source?: SessionSource | undefined;
  /** Which program the thread was started for; the manager's own by default. */
  readonly originator?: string | undefined;
  /**
   * What session_configured tells of the stored events: `bounded` (the default) gives them when the history has at most
   * 128 lines, else null; `all` reads the whole history for it; `none` gives null.
   */
  readonly initialMessages?: "bounded" | "all" | "none" | undefined;
  /** When another process writes the thread: refuse (the default), wait for it, or take it over. */
  readonly lease?: OpenOptions["lease"] | undefined;
  readonly deadlineMs?: number | undefined;
};

const BOUNDED_MESSAGES = 128;

const INTERRUPTED_MARKER =
  "<turn_aborted>\nThe previous turn was interrupted before it was done. Commands that it had started may have run in part; check before you repeat them.\n</turn_aborted>";

type Making = {
  readonly writer: ThreadWriter;
  readonly store: ThreadStore;
  readonly origin: "new" | "resumed" | "forked";
};

export class ThreadMaker {
  readonly #setup: ManagerSetup;
  readonly #env: ThreadEnv;
  readonly #registry: Registry;
  readonly #home: ThreadHome;
  /** Threads that must leave no file live here. */
  readonly #ephemeral: ThreadStore;
  readonly #builtIns: BuiltIns;
  /** Those of a thread whose config says nothing of tools. */
  readonly #tools: ToolSet;
  readonly #parking: Parking;
  readonly #onEvicted: (thread: LiveThread) => void;
  readonly #onLoaded: (thread: LiveThread) => void;

  constructor(parts: {
    setup: ManagerSetup;
    env: ThreadEnv;
    registry: Registry;
    home: ThreadHome;
    ephemeral: ThreadStore;
    parking: Parking;
    onEvicted: (thread: LiveThread) => void;
    onLoaded: (thread: LiveThread) => void;
  }) {
    this.#setup = parts.setup;
    this.#env = parts.env;
    this.#registry = parts.registry;
    this.#home = parts.home;
    this.#ephemeral = parts.ephemeral;
    this.#parking = parts.parking;
    this.#onEvicted = parts.onEvicted;
    this.#onLoaded = parts.onLoaded;
    this.#builtIns = new BuiltIns(parts.setup.environment);
    this.#tools = this.#makeTools(parts.setup.config);
  }

  /** The manager's settings under the thread's own. @throws InvalidRequestError */
  resolveConfig(config: ThreadConfig | undefined): ResolvedThreadConfig {
    if (config === undefined) return this.#setup.config;
    return resolveThreadConfig(this.#setup.defaults, parseThreadConfig(config));
  }

  /** The settings of a thread to come, with its instructions, where those have to be looked up. */
  #settingsFor(config: ThreadConfig | undefined): ResolvedThreadConfig | Promise<ResolvedThreadConfig> {
    const resolved = this.resolveConfig(config);
    const { instructions } = this.#setup;
    if (instructions === undefined || resolved.userInstructions !== null) return resolved;
    return instructions(resolved.cwd).then((found) =>
      found === undefined ? resolved : { ...resolved, userInstructions: found },
    );
  }

  #toolsOf(config: ResolvedThreadConfig): ToolSet {
    const { tools, builtInTools } = this.#setup.config;
    return config.tools === tools && config.builtInTools === builtInTools ? this.#tools : this.#makeTools(config);
  }

  #makeTools({ tools, builtInTools }: ResolvedThreadConfig): ToolSet {
    return new ToolSet([...this.#setup.tools, ...(tools as readonly Tool[])], this.#builtIns.named(builtInTools));
  }

  #storeOf(config: ResolvedThreadConfig): ThreadStore {
    return config.ephemeral ? this.#ephemeral : this.#setup.store;
  }

  #metaOf(threadId: ThreadId, config: ResolvedThreadConfig, options: ThreadOptions): SessionMeta {
    const { sessionSource, clock } = this.#setup;
    const originator = options.originator ?? this.#setup.originator;
    const parent = options.parentThreadId;
    const spawned: SessionSource | undefined =
      parent === undefined
        ? undefined
        : { subagent: { thread_spawn: { parent_thread_id: parent, depth: this.#registry.depthOf(threadId) } } };
    const source = options.source ?? spawned ?? sessionSource;
    return sessionMetaOf({ threadId, config, source, originator, now: clock.now(), parent });
  }

  async spawn(config: ThreadConfig | undefined, options: ThreadOptions = {}): Promise<NewThread> {
    options.signal?.throwIfAborted();
    const settings = this.#settingsFor(config);
    const resolved = settings instanceof Promise ? await settings : settings;
    const threadId = idOf(options);
    return this.#create(threadId, resolved, options, async (store) => ({
      writer: await store.create(this.#metaOf(threadId, resolved, options), this.#openOptions(threadId, options)),
      store,
      origin: "new",
    }));
  }

  /** @param from a stored thread, a rollout file, or items that are in memory */
  async fork(
    from: ThreadId | { rolloutPath: string } | { history: InitialHistory },
    at: ForkAnchor,
    config: ThreadConfig | undefined,
    options: ThreadOptions = {},
  ): Promise<NewThread> {
    options.signal?.throwIfAborted();
    if (typeof from === "object" && "history" in from)
      return this.#forkItems(rolloutItemsOf(from.history), at, config, options);
    const resolved = await this.#settingsFor(config);
    const source = typeof from === "string" ? await this.#registry.find(from) : undefined;
    const store = source?.incarnation.store ?? this.#setup.store;
    await source?.incarnation.flush();
    const base = await store.forkBase(from, at);
    if (base === undefined) return this.spawn(config, options);
    const threadId = idOf(options);
    return this.#create(threadId, resolved, options, (target) =>
      this.#forkFrom(base, { store, target, threadId, resolved, options }),
    );
  }

  async #forkFrom(
    base: ForkBase,
    {
      store,
      target,
      threadId,
      resolved,
      options,
    }: {
      store: ThreadStore;
      target: ThreadStore;
      threadId: ThreadId;
      resolved: ResolvedThreadConfig;
      options: ThreadOptions;
    },
  ): Promise<Making> {
    const meta = this.#metaOf(threadId, resolved, options);
    const open = this.#openOptions(threadId, options);
    const writer =
      target === store
        ? await store.fork(meta, base, open)
        : await target.adopt({ ...meta, forked_from_id: base.source }, await inheritedItems(store, base), open);
    if (base.openTurn !== null) recordInterruption(writer, base.openTurn);
    return { writer, store: target, origin: base.inherits === null ? "new" : "forked" };
  }

  /** As Codex does for a history given inline: a new id, a new file, all items copied. */
  async #forkItems(
    items: readonly RolloutItem[],
    at: ForkAnchor,
    config: ThreadConfig | undefined,
    options: ThreadOptions,
  ): Promise<NewThread> {
    const index = new AnchorIndex();
    const positions = items.map((item, ordinal) => {
      index.observe(item, { ordinal, byteOffset: 0 }, { ordinal: ordinal + 1, byteOffset: 0 });
      return ordinal;
    });
    const place = index.resolve(at, { ordinal: positions.length, byteOffset: 0 });
    const kept = place === undefined ? [] : items.slice(0, place.end.ordinal);
    if (place === undefined || kept.length === 0) return this.spawn(config, options);
    const settings = this.#settingsFor(config);
    const resolved = settings instanceof Promise ? await settings : settings;
    const threadId = idOf(options);
    return this.#create(threadId, resolved, options, async (store) => {
      const meta = this.#metaOf(threadId, resolved, options);
      const writer = await store.adopt(meta, kept, this.#openOptions(threadId, options));
      if (place.openTurn !== null) recordInterruption(writer, place.openTurn);
      return { writer, store, origin: "forked" };
    });
  }

  /** A thread of the store, by id. One that is loaded, or being loaded, is the answer. */
  async resume(threadId: ThreadId, config: ThreadConfig | undefined, options: ThreadOptions = {}): Promise<NewThread> {
    return this.#load(threadId, config, options, (open) => this.#setup.store.open(threadId, open));
  }

  async resumeFile(
    rolloutPath: string,
    config: ThreadConfig | undefined,
    options: ThreadOptions = {},
  ): Promise<NewThread> {
    options.signal?.throwIfAborted();
    const { id } = await this.#setup.store.header({ rolloutPath });
    return this.#load(id, config, options, (open) => this.#setup.store.open({ rolloutPath }, open));
  }

  async resumeHistory(
    history: InitialHistory,
    config: ThreadConfig | undefined,
    options: ThreadOptions = {},
  ): Promise<NewThread> {
    if (history.type === "new") return this.spawn(config, options);
    if (history.type === "forked") return this.#forkItems(history.items, "full", config, options);
    const threadId = history.conversation_id;
    const resolved = await this.#settingsFor(config);
    return this.#load(threadId, config, options, async (open) => {
      const { store } = this.#setup;
      if (history.rollout_path !== null) return store.open({ rolloutPath: history.rollout_path }, open);
      if (await isStored(store, threadId)) return store.open(threadId, open);
      return store.adopt(this.#metaOf(threadId, resolved, options), history.history, open);
    });
  }

  /** Loads a thread that has left memory: its next incarnation, with the settings that it had. */
  async reload(threadId: ThreadId, config: ResolvedThreadConfig, options: ThreadOptions = {}): Promise<LiveThread> {
    const store = this.#storeOf(config);
    return this.#settle(threadId, config, options, async () => {
      const writer = await store.open(threadId, this.#openOptions(threadId, options));
      await closeDeadTurn(store, writer);
      return { writer, store, origin: writer.position().ordinal > 1 ? "resumed" : "new" };
    });
  }

  async #load(
    threadId: ThreadId,
    config: ThreadConfig | undefined,
    options: ThreadOptions,
    open: (options: OpenOptions) => Promise<ThreadWriter>,
  ): Promise<NewThread> {
    options.signal?.throwIfAborted();
    const resolved = await this.#settingsFor(config);
    const thread = await this.#settle(threadId, resolved, options, async () => {
      const writer = await open(this.#openOptions(threadId, options));
      await closeDeadTurn(this.#setup.store, writer);
      return { writer, store: this.#setup.store, origin: writer.position().ordinal > 1 ? "resumed" : "new" };
    });
    return newThreadOf(thread);
  }

  /** Finds the thread in memory, waits for whoever loads it, or loads it. */
  async #settle(
    threadId: ThreadId,
    config: ResolvedThreadConfig,
    options: ThreadOptions,
    make: () => Promise<Making>,
  ): Promise<LiveThread> {
    for (;;) {
      const reserved = await this.#registry.reserve({ threadId, for: "load" }, options.signal);
      if (reserved.kind === "loading") return reserved.outcome;
      if (reserved.kind === "reserved") {
        if (reserved.evicted !== undefined) this.#onEvicted(reserved.evicted);
        return this.#fulfil(reserved.reservation, config, options, make);
      }
      const { unloading } = reserved.thread.incarnation;
      if (unloading === undefined) return reserved.thread;
      await unloading;
    }
  }

  async #create(
    threadId: ThreadId,
    config: ResolvedThreadConfig,
    options: ThreadOptions,
    make: (store: ThreadStore) => Promise<Making>,
  ): Promise<NewThread> {
    const claim = { threadId, parent: options.parentThreadId, for: "create" } as const;
    const reserving = this.#registry.reserve(claim, options.signal);
    const reserved = reserving instanceof Promise ? await reserving : reserving;
    if (reserved.kind !== "reserved") throw new InvalidRequestError(`thread ${threadId} is there already`);
    if (reserved.evicted !== undefined) this.#onEvicted(reserved.evicted);
    const discard = (made: Making) => made.store.delete(threadId);
    return newThreadOf(
      await this.#fulfil(reserved.reservation, config, options, () => make(this.#storeOf(config)), discard),
    );
  }

  /** Makes the thread for a reserved place, boots it and commits; or undoes all of it. */
  async #fulfil(
    reservation: Reservation,
    config: ResolvedThreadConfig,
    options: ThreadOptions,
    make: () => Promise<Making>,
    discard?: (made: Making) => Promise<void>,
  ): Promise<LiveThread> {
    let made: Making | undefined;
    try {
      const tools = this.#toolsOf(config);
      made = await make();
      options.signal?.throwIfAborted();
      const incarnation = await this.#boot(made, config, tools, options);
      const thread = this.#handleFor(incarnation);
      incarnation.sink = thread;
      const committing = this.#registry.commit(reservation, thread);
      if (committing !== undefined) await committing;
      if (thread.incarnation !== incarnation) thread.adopt(incarnation);
      this.#onLoaded(thread);
      return thread;
    } catch (error) {
      await this.#undo(reservation, made, error, discard);
      throw error;
    }
  }

  /** A thread that somebody still holds or observes comes back under the same handle. */
  #handleFor(incarnation: Incarnation): LiveThread {
    const parked = this.#parking.take(incarnation.threadId);
    return parked === undefined || parked.isClosed ? new LiveThread(this.#home, incarnation) : parked;
  }

  async #undo(
    reservation: Reservation,
    made: Making | undefined,
    error: unknown,
    discard?: (made: Making) => Promise<void>,
  ): Promise<void> {
    try {
      await made?.writer.close();
      if (made !== undefined) await discard?.(made);
    } catch (problem) {
      this.#setup.logger.warn(
        { threadId: reservation.threadId, err: problem },
        "a thread that failed to start could not be undone",
      );
    } finally {
      await this.#registry.release(reservation, error);
    }
  }

  async #boot(
    made: Making,
    config: ResolvedThreadConfig,
    tools: ToolSet,
    options: ThreadOptions,
  ): Promise<Incarnation> {
    const { writer, store, origin } = made;
    const items = origin === "new" ? undefined : await this.#itemsToTell(made, options);
    const messages: EventMsg[] | null = items === undefined ? null : eventMsgsOf({ type: "forked", items }, config);
    const incarnation = new Incarnation({ env: this.#env, store, writer, config, tools, origin });
    const msg = sessionConfiguredOf(writer.threadId, config, writer.rolloutPath, messages);
    const booting = incarnation.boot(msg, { deadlineMs: this.#setup.limits.bootDeadlineMs, signal: options.signal });
    if (booting instanceof Promise) await booting;
    const lastContext = items?.findLast((item) => item.type === "turn_context");
    if (lastContext?.type === "turn_context") incarnation.warnOfModel(lastContext.payload.model);
    return incarnation;
  }

  /** The history's items, when they are to be told of; undefined when not. */
  async #itemsToTell(
    { writer, store }: Making,
    { initialMessages = "bounded", signal }: ThreadOptions,
  ): Promise<RolloutItem[] | undefined> {
    const isTooLong = writer.position().ordinal > BOUNDED_MESSAGES;
    if (initialMessages === "none" || (initialMessages === "bounded" && isTooLong)) return undefined;
    await writer.flush();
    const items: RolloutItem[] = [];
    for await (const page of store.load(writer.threadId, signal === undefined ? {} : { signal })) items.push(...page);
    return items;
  }

  #openOptions(threadId: ThreadId, { signal, lease, deadlineMs }: ThreadOptions): OpenOptions {
    return {
      ...(signal === undefined ? {} : { signal }),
      ...(lease === undefined ? {} : { lease }),
      ...(deadlineMs === undefined ? {} : { deadlineMs }),
      onFailure: (error) => this.#tellOfFailure(threadId, error),
    };
  }

  /** A write that fails is never silent: the thread says so, and the next submit throws it. */
  #tellOfFailure(threadId: ThreadId, error: Error): void {
    this.#setup.logger.error({ threadId, err: error }, "a thread's history is not being stored");
    void Promise.resolve(this.#registry.find(threadId)).then((thread) => {
      if (thread?.incarnation.writer.failure !== error) return;
      const message = `This thread's history is not being stored: ${error.message}. It is kept in memory and tried again.`;
      thread.incarnation.publish(INITIAL_SUBMISSION_ID, { type: "warning", message });
    });
  }
}

const idOf = ({ threadId }: ThreadOptions): ThreadId =>
  threadId === undefined ? newThreadId() : parseThreadId(threadId);

const newThreadOf = (thread: LiveThread): NewThread => ({
  threadId: thread.id,
  thread,
  sessionConfigured: thread.sessionConfigured,
});

async function isStored(store: ThreadStore, threadId: ThreadId): Promise<boolean> {
  try {
    await store.header(threadId);
    return true;
  } catch (error) {
    if (error instanceof RolloutNotFoundError) return false;
    throw error;
  }
}

/** A turn that a dead process left open is marked as interrupted, once. */
async function closeDeadTurn(store: ThreadStore, writer: ThreadWriter): Promise<void> {
  const base = await store.forkBase(writer.threadId, "full");
  const turnId = base?.openTurn?.turnId;
  if (turnId) {
    writer.append({ type: "event_msg", payload: { type: "turn_aborted", reason: "interrupted", turn_id: turnId } });
  }
}

async function inheritedItems(store: ThreadStore, { inherits }: ForkBase): Promise<RolloutItem[]> {
  const items: RolloutItem[] = [];
  if (inherits === null) return items;
  for await (const page of store.load(inherits.threadId, { toOrdinal: inherits.end.ordinal })) items.push(...page);
  return items;
}

/** F2: a fork that breaks off in the middle of a turn says so, in the fork's own lines. */
function recordInterruption(writer: ThreadWriter, { turnId }: OpenTurn): void {
  writer.append({ type: "response_item", payload: developerMessage(INTERRUPTED_MARKER) });
  writer.append({
    type: "event_msg",
    payload: { type: "turn_aborted", reason: "interrupted", ...(turnId === null ? {} : { turn_id: turnId }) },
  });
}
