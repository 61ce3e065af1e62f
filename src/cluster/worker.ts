/** One worker of a cluster: a whole ThreadManager behind an endpoint that the engine calls. */

import * as z from "zod";
import { raceAbort } from "../kernel/cancellation.ts";
import { type SkeinLogger, silentLog } from "../kernel/log.ts";
import type { Messages } from "../manager/messages.ts";
import { runtimeOf } from "../manager/runtime-of.ts";
import { ThreadManager } from "../manager/thread-manager.ts";
import type { BudgetUse } from "../protocol/budget.ts";
import { definedFields } from "../protocol/defined-fields.ts";
import { DuplicateThreadError, InvalidRequestError, ManagerClosedError } from "../protocol/errors.ts";
import { newThreadId, type ThreadId } from "../protocol/ids.ts";
import type { ThreadMessage } from "../protocol/message.ts";
import type { RolloutLine } from "../protocol/rollout.ts";
import { type StoredTimer, timersNoteSchema } from "../protocol/schedule.ts";
import { parseWith } from "../protocol/validation.ts";
import { ifStored, isStored } from "../store/is-stored.ts";
import { Attendance } from "./attendance.ts";
import { Ingress } from "./ingress.ts";
import type { Listening, ListenOptions } from "./listening.ts";
import { RemoteThreads } from "./remote-threads.ts";
import { loadSdk } from "./restate-sdk.ts";
import { serve } from "./served-asks.ts";
import { servicesOf } from "./services.ts";
import type { TreeLimits } from "./tree-handlers.ts";
import {
  type Facts,
  type HistoryPage,
  type HistoryRequest,
  type Look,
  type OpenRequest,
  readNote,
  type StartRequest,
  sendable,
  shownConfig,
} from "./wire.ts";
import type { WorkerActions } from "./worker-actions.ts";
import { WorkerEndpoint } from "./worker-endpoint.ts";
import { WorkerSteps } from "./worker-steps.ts";
import { factsOf, liveOf, loadThread, newNote, noteOf, type WorkerThreads } from "./worker-threads.ts";

/** What a worker is made of. */
export type WorkerOptions = {
  /**
   * Whose threads they are. Its store is shared by all workers, and keeps notes: files of one machine, or PostgreSQL. Give it
   * `timers: "own"`: the engine fires those of the cluster's threads.
   */
  readonly manager: ThreadManager;
  /** The engine's public keys (`publickeyv1_...`): only requests that it has signed are answered. Needed off the loopback. */
  readonly identityKeys?: readonly string[] | undefined;
  readonly logger?: SkeinLogger | undefined;
  /**
   * Where the engine takes messages, such as `http://127.0.0.1:8080`: with it, what the manager's tools and logics publish reaches the tree's
   * listeners on all workers. Without it, those of this process.
   */
  readonly ingress?: string | undefined;
  /** Where clients reach this worker for live events, where that is not the address that it listens on. */
  readonly advertise?: string | undefined;
  /** How long a lease that another living worker holds is waited for before it is taken. Default 5,000 ms. */
  readonly leasePatienceMs?: number | undefined;
};

/** How long running turns get to end before they are handed over. Default 10,000 ms; at once when the signal fires. */
export type DrainOptions = { readonly deadlineMs?: number | undefined; readonly signal?: AbortSignal | undefined };

/** What became of what ran when a worker was closed: how many turns ended here, and how many another worker goes on with. */
export type DrainReport = { readonly completed: number; readonly handedOver: number };

/** A worker of a cluster. */
export interface Worker extends AsyncDisposable {
  /**
   * Serves the engine (HTTP/2 without TLS) and the live events.
   * @throws InvalidRequestError for an address off the loopback without `identityKeys`; what the system says of the port
   */
  listen(options?: ListenOptions): Promise<Listening>;
  /** The same as a function of the fetch API, for a server of one's own. */
  handler(): (request: Request) => Promise<Response>;
  /**
   * Takes no new turn, waits for those that run, and hands over what still runs at the deadline: another worker goes on with it.
   * The manager stays open.
   */
  close(options?: DrainOptions): Promise<DrainReport>;
}

const DEFAULT_DRAIN_MS = 10_000;
const DEFAULT_LEASE_PATIENCE_MS = 5_000;
/** How long an engine that is away is tried again for what a thread here publishes, whose sender waits. */
const PUBLISH_PATIENCE_MS = 30_000;
/** A page of a history: lines up to about so many characters. */
const PAGE_CHARS = 1024 * 1024;
const MAX_LINE_CHARS = 30 * 1024 * 1024;

const optionsSchema = z.strictObject({
  manager: z.custom<ThreadManager>(
    (value) => value instanceof ThreadManager,
    "must be a ThreadManager of this copy of skein",
  ),
  identityKeys: z.array(z.string().startsWith("publickeyv1_", "must begin with publickeyv1_")).min(1).optional(),
  logger: z.custom<SkeinLogger>().optional(),
  ingress: z.url({ protocol: /^https?$/ }).optional(),
  advertise: z.url({ protocol: /^https?$/ }).optional(),
  leasePatienceMs: z.int().min(0).default(DEFAULT_LEASE_PATIENCE_MS),
});

/** @throws InvalidRequestError for a wrong option, a store that keeps no notes, or without `@restatedev/restate-sdk` */
export function createWorker(options: WorkerOptions): Worker {
  return new ClusterWorker(parseWith(optionsSchema, options, "createWorker"));
}

class ClusterWorker implements Worker, WorkerActions {
  readonly #threads: WorkerThreads;
  readonly #running = new Map<ThreadId, Attendance>();
  /** Threads that are in memory to be started or opened. */
  readonly #opening = new Set<ThreadId>();
  readonly #endpoint: WorkerEndpoint;
  readonly #advertise: string | undefined;
  readonly treeLimits: TreeLimits;
  readonly #check: Messages["check"];
  /** Ends the worker's own connection, by which its threads publish; what the manager publishes then stays in this process. */
  #disconnect: (() => Promise<void>) | undefined;
  #url: string | undefined;
  #draining: Promise<DrainReport> | undefined;
  #onLeft: (() => void) | undefined;

  constructor({
    manager,
    identityKeys,
    logger = silentLog,
    ingress,
    advertise,
    leasePatienceMs,
  }: z.infer<typeof optionsSchema>) {
    const { notes } = manager.store;
    if (notes === undefined) {
      throw new InvalidRequestError(
        "createWorker: the manager's store keeps no notes (store.notes), which a cluster needs: give the manager a postgresStore",
      );
    }
    const runtime = runtimeOf(manager);
    if (runtime === undefined) throw new InvalidRequestError("createWorker: the manager is of another copy of skein");
    const { depth, childrenPerParent, treeSize } = manager.capacity(newThreadId());
    this.treeLimits = { depth: depth.max, childrenPerParent: childrenPerParent.max, treeSize: treeSize.max };
    this.#check = (reader, message) => runtime.messages.check(reader, message);
    if (ingress !== undefined) {
      const { store } = manager;
      const threads = new RemoteThreads(new Ingress({ url: ingress, patienceMs: PUBLISH_PATIENCE_MS, headers: {} }), {
        store,
      });
      runtime.messages.further = threads.messages;
      this.#disconnect = () => {
        runtime.messages.further = undefined;
        return threads.close();
      };
    }
    const sdk = loadSdk();
    this.#endpoint = new WorkerEndpoint({ sdk, services: servicesOf(sdk, this), live: this, identityKeys, logger });
    this.#advertise = advertise;
    const steps = new WorkerSteps(notes);
    this.#threads = {
      ...{ manager, notes, logger, leasePatienceMs },
      url: () => this.#advertise ?? this.#url ?? null,
      giveAway: (threadId) => runtime.giveAway(threadId),
      readAhead({ id, config, incarnation }, signal) {
        const budget = runtime.budgets.accounts.of(id, config).catch(() => undefined);
        return Promise.all([incarnation.readAhead(signal), budget]);
      },
      agentsUnder: (threadId) =>
        runtime.agentsUnder(threadId).filter((agent) => !this.#running.has(agent) && !this.#opening.has(agent)),
      receive: (thread, post) => runtime.messages.receive(thread, post),
      promptOf: (thread, post) => runtime.messages.promptOf(thread, post),
      answer: (post, signal) => runtime.messages.answer(post, signal),
      askServer: (thread, ask, signal) => serve(runtime.mcp, thread, ask, signal),
      stepOf: (thread, ask, signal) => steps.answer(thread, ask, signal),
      isServing: (threadId) => runtime.messages.mail.isServing(threadId),
      async timersOf(threadId) {
        const note = await notes.read(threadId, "timers");
        return note === undefined ? [] : parseWith(timersNoteSchema, note, `the timers of thread ${threadId}`);
      },
      async budgetOf(threadId, config) {
        const use = await runtime.budgets.useOf(threadId, config);
        runtime.budgets.accounts.forget(threadId);
        return use;
      },
    };
  }

  // The endpoint.

  get isDraining(): boolean {
    return this.#draining !== undefined;
  }

  attendanceOf(threadId: ThreadId): Attendance | undefined {
    const own = this.#running.get(threadId);
    return own ?? [...this.#running.values()].find((attendance) => attendance.agent(threadId) !== undefined);
  }

  async listen(options: ListenOptions = {}): Promise<Listening> {
    if (this.isDraining) throw new ManagerClosedError("the worker is closed");
    const listening = await this.#endpoint.listen(options);
    this.#url = listening.url;
    return listening;
  }

  handler(): (request: Request) => Promise<Response> {
    return this.#endpoint.handler();
  }

  close({ deadlineMs = DEFAULT_DRAIN_MS, signal }: DrainOptions = {}): Promise<DrainReport> {
    this.#draining ??= this.#drain(deadlineMs, signal);
    return this.#draining;
  }

  async #drain(deadlineMs: number, signal: AbortSignal | undefined): Promise<DrainReport> {
    const atWork = this.#running.size;
    const late = AbortSignal.timeout(deadlineMs);
    const over = signal === undefined ? late : AbortSignal.any([signal, late]);
    const rest = new Promise<void>((resolve) => {
      this.#onLeft = () => this.#running.size === 0 && resolve();
    });
    // So that `isDraining` holds before anything is asked.
    await Promise.resolve();
    this.#onLeft?.();
    await raceAbort(rest, over).catch(() => undefined);
    const left = [...this.#running.values()];
    const completed = atWork - left.length;
    await Promise.all(left.map((attendance) => attendance.abandon(drainingError())));
    // The engine hears of the failed attempts before the connections end.
    await new Promise((resolve) => setTimeout(resolve, left.length > 0 ? HAND_OVER_MS : 0));
    await this.#endpoint.end();
    await this.#disconnect?.();
    return { completed, handedOver: left.length };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  // What the engine asks for.

  async attend(threadId: ThreadId, invocation: string, signal: AbortSignal): Promise<Attendance> {
    if (this.isDraining) throw drainingError();
    const earlier = this.#running.get(threadId);
    if (earlier !== undefined) await earlier.abandon(new DOMException("the attempt is over", "AbortError"));
    const attendance = new Attendance(this.#threads, threadId, invocation);
    this.#running.set(threadId, attendance);
    const abandon = () => void attendance.abandon(new DOMException("the attempt is over", "AbortError"));
    if (signal.aborted) abandon();
    else signal.addEventListener("abort", abandon, { once: true });
    return attendance;
  }

  leave(attendance: Attendance): void {
    if (this.#running.get(attendance.threadId) === attendance) this.#running.delete(attendance.threadId);
    void attendance.abandon(new DOMException("the attempt is over", "AbortError"));
    this.#onLeft?.();
  }

  #checkOpen(): void {
    if (this.isDraining) throw drainingError();
  }

  exists(threadId: ThreadId): Promise<boolean> {
    return isStored(this.#threads.manager.store, threadId);
  }

  start(threadId: ThreadId, request: StartRequest): Promise<Facts> {
    return this.#forItself(threadId, () => this.#start(threadId, request));
  }

  open(threadId: ThreadId, request: OpenRequest): Promise<Facts> {
    return this.#forItself(threadId, () => this.#open(threadId, request));
  }

  /** What runs above the thread here has no part in it. */
  async #forItself<T>(threadId: ThreadId, work: () => Promise<T>): Promise<T> {
    this.#checkOpen();
    this.#opening.add(threadId);
    try {
      return await work();
    } finally {
      this.#opening.delete(threadId);
    }
  }

  async #start(threadId: ThreadId, { config, options, fork }: StartRequest): Promise<Facts> {
    const { manager, notes } = this.#threads;
    const settings = sendable(config);
    const given = { ...options, threadId };
    let facts: Facts;
    try {
      const { thread } =
        fork === undefined
          ? await manager.startThread({ ...settings, recovery: "continue" }, given)
          : await manager.forkThread(
              { from: fork.from, ...definedFields({ at: fork.at }), config: { ...settings, recovery: "continue" } },
              given,
            );
      facts = await factsOf(liveOf(thread));
    } catch (error) {
      if (!(error instanceof DuplicateThreadError)) throw error;
      // An earlier attempt has made it.
      const thread = await loadThread(this.#threads, threadId, { ...settings, recovery: "continue" });
      facts = await factsOf(thread);
    }
    await Promise.all([this.#threads.giveAway(threadId), notes.write(threadId, "cluster", newNote(settings, facts))]);
    return facts;
  }

  async #open(threadId: ThreadId, { config }: OpenRequest): Promise<Facts> {
    const { manager, notes } = this.#threads;
    const [noted] = await Promise.all([notes.read(threadId, "cluster"), manager.store.get(threadId)]);
    const note = readNote(noted);
    const settings = sendable({ ...note?.config, ...config });
    const facts = await factsOf(await loadThread(this.#threads, threadId, { ...settings, recovery: "continue" }));
    await Promise.all([this.#threads.giveAway(threadId), notes.write(threadId, "cluster", newNote(settings, facts))]);
    return facts;
  }

  async setState(threadId: ThreadId, state: "removed" | "closed", invocation: string): Promise<boolean> {
    const note = await noteOf(this.#threads, threadId);
    if (note.state === state && note.last === invocation) return true;
    if (note.state === "closed" || note.state === state) return false;
    const facts: Facts = state === "closed" ? { ...note.facts, status: "shutdown" } : note.facts;
    await this.#threads.notes.write(threadId, "cluster", { ...note, state, facts, run: null, last: invocation });
    return true;
  }

  async remove(threadId: ThreadId): Promise<void> {
    await ifStored(this.#threads.manager.store.delete(threadId));
    await this.#threads.notes.write(threadId, "cluster", undefined);
  }

  async look(threadId: ThreadId): Promise<Look> {
    const { manager } = this.#threads;
    const note = await noteOf(this.#threads, threadId);
    const position = note.run === null ? note.facts.position : await endOf(manager, threadId);
    return { note, position };
  }

  async history(threadId: ThreadId, { from, to }: HistoryRequest): Promise<HistoryPage> {
    const lines: RolloutLine[] = [];
    let chars = 0;
    let next = from;
    const range = { from: { ordinal: from }, ...definedFields({ toOrdinal: to }) };
    for await (const page of this.#threads.manager.store.load(threadId, range)) {
      for (const line of page) {
        const length = JSON.stringify(line).length;
        if (length > MAX_LINE_CHARS) throw tooLong(threadId, next);
        if (chars + length > PAGE_CHARS && lines.length > 0) return { lines, next };
        chars += length;
        lines.push(line);
        next = (line.ordinal ?? next) + 1;
      }
    }
    return { lines, next: null };
  }

  async budgetOf(threadId: ThreadId): Promise<BudgetUse | undefined> {
    const running = this.#running.get(threadId)?.live;
    if (running !== undefined) return running.budget();
    const { facts } = await noteOf(this.#threads, threadId);
    return this.#threads.budgetOf(threadId, shownConfig(facts.config));
  }

  async check(threadId: ThreadId, message: ThreadMessage): Promise<void> {
    const { messages } = this.#threads.manager.config;
    const { facts } = await noteOf(this.#threads, threadId);
    await this.#check({ id: threadId, config: { ...shownConfig(facts.config), messages } }, message);
  }

  async hasLeft(threadId: ThreadId): Promise<boolean> {
    const note = readNote(await this.#threads.notes.read(threadId, "cluster"));
    return note !== undefined && note.state !== "open";
  }

  async above(threadId: ThreadId): Promise<readonly ThreadId[]> {
    const { store } = this.#threads.manager;
    const above: ThreadId[] = [];
    for (let { parentThreadId } = await store.get(threadId); parentThreadId !== null; ) {
      above.push(parentThreadId);
      // Under one that was deleted a tree begins anew.
      if (!(await this.exists(parentThreadId))) break;
      ({ parentThreadId } = await store.get(parentThreadId));
    }
    return above;
  }

  timersOf(threadId: ThreadId): Promise<readonly StoredTimer[]> {
    return this.#threads.timersOf(threadId);
  }

  dropTimers(threadId: ThreadId): Promise<void> {
    return this.#threads.notes.write(threadId, "timers", undefined);
  }

  list(query: Parameters<ThreadManager["listThreads"]>[0]) {
    return this.#threads.manager.listThreads(query);
  }

  lineage(threadId: ThreadId, direction: "ancestors" | "descendants") {
    return this.#threads.manager[direction](threadId);
  }
}

const HAND_OVER_MS = 200;

const drainingError = (): Error => new ManagerClosedError("the worker is closing; another one goes on");

const tooLong = (threadId: ThreadId, ordinal: number) =>
  new InvalidRequestError(
    `line ${ordinal} of thread ${threadId} is too long to be read over a worker: give connect the store`,
  );

async function endOf({ store }: ThreadManager, threadId: ThreadId): Promise<number> {
  const base = await store.forkBase(threadId, "full");
  return base?.inherits?.end.ordinal ?? 0;
}
