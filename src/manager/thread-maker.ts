/**
 * How threads come to be: new, from the store, or as forks. What the ways have in common is in thread-boot.ts.
 */

import type { BuiltInToolName } from "../protocol/built-in-tool-names.ts";
import { ThreadBusyError } from "../protocol/errors.ts";
import type { Tool } from "../protocol/function-tool.ts";
import { givenThreadId, INITIAL_SUBMISSION_ID, newThreadId, type ThreadId, type TurnId } from "../protocol/ids.ts";
import { type ForkAnchor, type InitialHistory, rolloutItemsOf } from "../protocol/initial-history.ts";
import type { RolloutItem, SessionMeta } from "../protocol/rollout.ts";
import {
  parseThreadConfig,
  type ResolvedThreadConfig,
  resolveThreadConfig,
  type ThreadConfig,
} from "../protocol/thread-config.ts";
import { isStored } from "../store/is-stored.ts";
import type { OpenOptions, ThreadStore, ThreadWriter } from "../store/thread-store.ts";
import type { LiveThread } from "../thread/live-thread.ts";
import { type OpenWork, openTurnOf, readOpenWork } from "../thread/open-work.ts";
import type { NewThread } from "../thread/thread.ts";
import { ToolSet } from "../turn/tool-set.ts";
import { BuiltIns } from "../turn/tools/built-ins.ts";
import { cutAt, forkRollout, recordInterruption } from "./forking.ts";
import { parseRestartRule, type RestartRule } from "./group-options.ts";
import { lineageOf } from "./kinship.ts";
import type { Logics } from "./logics.ts";
import type { ManagerSetup } from "./options.ts";
import type { Claim, Registry, Unloaded, Whereabouts } from "./registry.ts";
import { agentMetaOf, logicOf, restartRuleOf, sessionMetaOf } from "./session-meta.ts";
import { type BootParts, type Making, ThreadBoot } from "./thread-boot.ts";
import type { ThreadOptions } from "./thread-options.ts";

export class ThreadMaker {
  readonly #setup: ManagerSetup;
  readonly #registry: Registry;
  readonly #boot: ThreadBoot;
  readonly #logics: Logics;
  /** Threads that must leave no file live here. */
  readonly #ephemeral: ThreadStore;
  readonly #builtIns: BuiltIns;
  readonly #onLost: (threadId: ThreadId, error: Error) => void;
  /** Those of threads that have the manager's own functions, by the tools of the house beside them. */
  readonly #tools = new Map<string, ToolSet>();

  /** @param parts.onLost called with a thread that another process writes now */
  constructor(
    parts: BootParts & { readonly ephemeral: ThreadStore; readonly onLost: (threadId: ThreadId, error: Error) => void },
  ) {
    this.#setup = parts.setup;
    this.#onLost = parts.onLost;
    this.#registry = parts.registry;
    this.#ephemeral = parts.ephemeral;
    this.#boot = new ThreadBoot(parts);
    this.#logics = parts.logics;
    this.#builtIns = new BuiltIns(parts.setup.environment);
    this.#toolsOf(parts.setup.config, 0);
  }

  /** From now on no thread comes to be any more. */
  close(): void {
    this.#boot.close();
  }

  /** The manager's settings under the thread's own. @throws InvalidRequestError */
  resolveConfig(config: ThreadConfig | undefined): ResolvedThreadConfig {
    if (config === undefined) return this.#setup.config;
    return resolveThreadConfig(this.#setup.defaults, parseThreadConfig(config));
  }

  /** The settings of a thread to come, with its instructions, where those have to be looked up. */
  #settingsFor(config: ThreadConfig | undefined): ResolvedThreadConfig | Promise<ResolvedThreadConfig> {
    const resolved = this.#logics.named(this.resolveConfig(config));
    const { instructions } = this.#setup;
    if (instructions === undefined || resolved.userInstructions !== null) return resolved;
    return instructions(resolved.cwd, resolved).then((found) =>
      found === undefined ? resolved : { ...resolved, userInstructions: found },
    );
  }

  /** An agent that may start no further ones has no tools for it (SPEC 14.4). */
  #toolsOf(config: ResolvedThreadConfig, depth: number): ToolSet {
    const { tools, builtInTools, agentMaxDepth } = config;
    const isLast = depth >= agentMaxDepth;
    const names = [...new Set(builtInTools)].filter((name) => !isLast || name !== "multi_agent");
    const own = this.#setup.config.tools;
    if (tools !== own && tools.length + own.length > 0) return this.#makeTools(tools, names);
    const key = names.join();
    const found = this.#tools.get(key);
    if (found !== undefined) return found;
    const made = this.#makeTools(own, names);
    this.#tools.set(key, made);
    return made;
  }

  #makeTools(tools: readonly Tool[], builtIns: readonly BuiltInToolName[]): ToolSet {
    return new ToolSet([...this.#setup.tools, ...tools], this.#builtIns.named(builtIns));
  }

  #storeOf(config: ResolvedThreadConfig): ThreadStore {
    return config.ephemeral ? this.#ephemeral : this.#setup.store;
  }

  #metaOf(threadId: ThreadId, config: ResolvedThreadConfig, options: ThreadOptions): SessionMeta {
    const { sessionSource, clock } = this.#setup;
    const originator = options.originator ?? this.#setup.originator;
    const { parentThreadId: parent, agent, historyMode, source = sessionSource } = options;
    const restart = ruleOf(options);
    const facts = { threadId, config, source, originator, now: clock.now(), historyMode, restart };
    const lineage = this.#registry.kin.lineageOf(threadId);
    if (parent === undefined || lineage === undefined) return sessionMetaOf(facts);
    return agentMetaOf(
      { ...facts, source: options.source },
      { ...lineage, parent, role: agent?.role, forkedFrom: agent?.forkedFrom },
    );
  }

  async spawn(config: ThreadConfig | undefined, options: ThreadOptions = {}): Promise<NewThread> {
    options.signal?.throwIfAborted();
    const settings = this.#settingsFor(config);
    const resolved = settings instanceof Promise ? await settings : settings;
    const threadId = idOf(options);
    return this.#create(threadId, resolved, options, async (store) => ({
      writer: await store.create(this.#metaOf(threadId, resolved, options), this.#openOptions(threadId, options)),
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
    const source = await this.#storeToForkFrom(from);
    const resolved = await this.#settingsFor(await this.#withLogicOf(source, from, config));
    const base = await source.forkBase(from, at);
    if (base === undefined) return this.spawn(config, options);
    const threadId = idOf(options);
    return this.#create(threadId, resolved, options, async (target) => {
      const meta = this.#metaOf(threadId, resolved, options);
      const open = this.#openOptions(threadId, options);
      const writer = await forkRollout(base, { meta, source, target, open });
      const { inherits, source: forkedFrom } = base;
      return { writer, origin: inherits === null ? "new" : "forked", forkedFrom, inherits };
    });
  }

  /** A fork has the logic of its source, unless its settings name another. */
  async #withLogicOf(
    source: ThreadStore,
    from: ThreadId | { rolloutPath: string },
    config: ThreadConfig | undefined,
  ): Promise<ThreadConfig | undefined> {
    if (config?.logic !== undefined || !this.#logics.haveNames) return config;
    const logic = logicOf(await source.header(from));
    return logic === undefined ? config : { ...config, logic };
  }

  /** The store of the thread that is to be forked; with all that the thread has said so far (F2). */
  async #storeToForkFrom(from: ThreadId | { rolloutPath: string }): Promise<ThreadStore> {
    const threadId = typeof from === "string" ? from : (await this.#setup.store.header(from)).id;
    const place = await this.#registry.locate(threadId);
    if (place === undefined) return this.#setup.store;
    if ("unloaded" in place) return this.#storeOf(place.unloaded.config);
    const { incarnation } = place.thread;
    await incarnation.storage.sync();
    return incarnation.store;
  }

  /** As Codex does for a history given inline: a new id, a new file, all items copied. */
  async #forkItems(
    items: readonly RolloutItem[],
    at: ForkAnchor,
    config: ThreadConfig | undefined,
    options: ThreadOptions,
  ): Promise<NewThread> {
    const cut = cutAt(items, at);
    if (cut === undefined) return this.spawn(config, options);
    const resolved = await this.#settingsFor(config);
    const threadId = idOf(options);
    return this.#create(threadId, resolved, options, async (store) => {
      const meta = this.#metaOf(threadId, resolved, options);
      const writer = await store.adopt(meta, cut.items, this.#openOptions(threadId, options));
      if (cut.openTurn !== null) recordInterruption(writer, cut.openTurn);
      return { writer, origin: "forked" };
    });
  }

  async #create(
    threadId: ThreadId,
    config: ResolvedThreadConfig,
    options: ThreadOptions,
    make: (store: ThreadStore) => Promise<Pick<Making, "writer" | "origin" | "forkedFrom" | "inherits">>,
  ): Promise<NewThread> {
    const store = this.#storeOf(config);
    const thread = await this.#boot.create(threadId, {
      config,
      toolsAt: (depth) => this.#toolsOf(config, depth),
      options,
      make: async () => ({ ...(await make(store)), store, isNew: true, restart: ruleOf(options) }),
    });
    return newThreadOf(thread);
  }

  /** A thread of the store, by id. One that is loaded, or being loaded, is the answer; one that was unloaded comes back. */
  async resume(threadId: ThreadId, config: ThreadConfig | undefined, options: ThreadOptions = {}): Promise<NewThread> {
    options.signal?.throwIfAborted();
    const place = await this.#whereabouts(threadId);
    if (place === undefined || !("unloaded" in place)) {
      return this.#load(threadId, config, options, async (open) => this.#opened(threadId, open));
    }
    const { unloaded } = place;
    const settings = config === undefined ? unloaded.config : await this.#settingsFor(config);
    const resolved = { ...settings, ephemeral: unloaded.config.ephemeral };
    return newThreadOf(await this.reload(threadId, { ...unloaded, config: resolved }, options));
  }

  /** Where the thread is. One that another process has taken meanwhile is nowhere here, though it did not know so far. */
  async #whereabouts(threadId: ThreadId): Promise<Whereabouts | undefined> {
    const place = await this.#registry.locate(threadId);
    if (place?.kind !== "loaded") return place;
    const { incarnation } = place.thread;
    try {
      await incarnation.writer.confirm();
      return place;
    } catch (error) {
      // Other trouble of the store is told by its next write, as ever.
      if (!(error instanceof ThreadBusyError)) return place;
      incarnation.end("lost", error);
    }
    for (;;) {
      const now = await this.#registry.locate(threadId);
      if (now === undefined || !("thread" in now) || now.thread !== place.thread) return now;
      if (now.kind === "leaving") await now.done;
      else await new Promise((resolve) => setImmediate(resolve));
    }
  }

  async resumeFile(
    rolloutPath: string,
    config: ThreadConfig | undefined,
    options: ThreadOptions = {},
  ): Promise<NewThread> {
    options.signal?.throwIfAborted();
    const { id } = await this.#setup.store.header({ rolloutPath });
    await this.#whereabouts(id);
    return this.#load(id, config, options, (open) => this.#opened({ rolloutPath }, open));
  }

  async resumeHistory(
    history: InitialHistory,
    config: ThreadConfig | undefined,
    options: ThreadOptions = {},
  ): Promise<NewThread> {
    if (history.type === "new") return this.spawn(config, options);
    if (history.type === "forked") return this.#forkItems(history.items, "full", config, options);
    const threadId = history.conversation_id;
    return this.#load(threadId, config, options, async (open, resolved) => {
      const { store } = this.#setup;
      if (history.rollout_path !== null) return this.#opened({ rolloutPath: history.rollout_path }, open);
      if (await isStored(store, threadId)) return this.#opened(threadId, open);
      const writer = await store.adopt(this.#metaOf(threadId, resolved, options), history.history, open);
      return { writer, isNew: true };
    });
  }

  async #opened(
    thread: ThreadId | { rolloutPath: string },
    open: OpenOptions,
  ): Promise<Pick<Making, "writer" | "isNew">> {
    return { writer: await this.#setup.store.open(thread, open), isNew: false };
  }

  /** Loads a thread that has left memory: its next incarnation, with the settings that it had. */
  async reload(
    threadId: ThreadId,
    unloaded: Unloaded,
    options: ThreadOptions = {},
    purpose: Exclude<Claim["for"], "create"> = "load",
  ): Promise<LiveThread> {
    const { config, status, epoch } = unloaded;
    const store = this.#storeOf(config);
    const make = async () => {
      const writer = await store.open(threadId, this.#openOptions(threadId, options));
      const made = await this.#goingOn(store, { writer, isNew: false }, { config, signal: options.signal });
      return { ...made, wasHere: writer.epoch === epoch + 1 };
    };
    const toolsAt = (depth: number) => this.#toolsOf(config, depth);
    return this.#boot.load(threadId, { config, toolsAt, status, options, make }, purpose);
  }

  async #load(
    threadId: ThreadId,
    config: ThreadConfig | undefined,
    options: ThreadOptions,
    open: (options: OpenOptions, config: ResolvedThreadConfig) => Promise<Pick<Making, "writer" | "isNew">>,
  ): Promise<NewThread> {
    options.signal?.throwIfAborted();
    // What is in the store stays there, whatever the settings say of new threads.
    const resolved = { ...(await this.#settingsFor(config)), ephemeral: false };
    const thread = await this.#boot.load(threadId, {
      config: resolved,
      toolsAt: (depth) => this.#toolsOf(resolved, depth),
      options,
      make: async () => {
        const opened = await open(this.#openOptions(threadId, options), resolved);
        return this.#goingOn(this.#setup.store, opened, { config: resolved, signal: options.signal });
      },
    });
    return newThreadOf(thread);
  }

  /** What an earlier life has left undone is gone on with, or marked as interrupted, as the thread's settings say. */
  async #goingOn(
    store: ThreadStore,
    { writer, isNew }: Pick<Making, "writer" | "isNew">,
    { config, signal }: { config: ResolvedThreadConfig; signal: AbortSignal | undefined },
  ): Promise<Making> {
    try {
      const header = await store.header(writer.threadId);
      const logic = logicOf(header);
      const goesOn =
        config.recovery === "continue" && !this.#logics.of(logic === undefined ? config : { ...config, logic }).isOwn;
      const work = await (goesOn ? this.#workOf({ store, writer, header }, signal) : closeDeadTurn(store, writer));
      return {
        writer,
        store,
        isNew,
        origin: writer.position().ordinal > 1 ? "resumed" : "new",
        lineage: lineageOf(header),
        logic,
        restart: restartRuleOf(header),
        work,
      };
    } catch (error) {
      await writer.close();
      throw error;
    }
  }

  async #workOf(
    of: { store: ThreadStore; writer: ThreadWriter; header: SessionMeta },
    signal: AbortSignal | undefined,
  ): Promise<OpenWork | undefined> {
    const { work, deadTurn } = await readOpenWork(of, { limit: this.#setup.supervision.maxContinuations, signal });
    if (deadTurn !== undefined) interruptDeadTurn(of.writer, deadTurn);
    // What was put away is not taken up by merely looking at it.
    if (work === undefined || !(await of.store.get(of.writer.threadId)).archived) return work;
    if (work.task.resumed !== undefined && work.task.turnId !== undefined)
      interruptDeadTurn(of.writer, work.task.turnId);
    return undefined;
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
    if (error instanceof ThreadBusyError) {
      this.#onLost(threadId, error);
      return;
    }
    this.#setup.logger.error({ threadId, err: error }, "a thread's history is not being stored");
    void Promise.resolve(this.#registry.find(threadId)).then((thread) => {
      if (thread?.incarnation.writer.failure !== error) return;
      const message = `This thread's history is not being stored: ${error.message}. It is kept in memory and tried again.`;
      thread.incarnation.publish(INITIAL_SUBMISSION_ID, { type: "warning", message });
    });
  }
}

const ruleOf = ({ restart }: ThreadOptions): RestartRule | undefined =>
  restart === undefined ? undefined : parseRestartRule(restart);

const idOf = ({ threadId }: ThreadOptions): ThreadId =>
  threadId === undefined ? newThreadId() : givenThreadId(threadId, "threadId");

const newThreadOf = (thread: LiveThread): NewThread => ({
  threadId: thread.id,
  thread,
  sessionConfigured: thread.sessionConfigured,
});

/** A turn that a dead process left open is marked as interrupted, once. */
async function closeDeadTurn(store: ThreadStore, writer: ThreadWriter): Promise<undefined> {
  const turnId = await openTurnOf(store, writer.threadId);
  if (turnId !== null) interruptDeadTurn(writer, turnId);
}

const interruptDeadTurn = (writer: ThreadWriter, turn_id: TurnId): void =>
  writer.append({ type: "event_msg", payload: { type: "turn_aborted", reason: "interrupted", turn_id } });
