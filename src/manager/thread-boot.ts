/**
 * The three steps in which every thread comes to be (S3): reserve a place, make the thread without holding any lock,
 * commit or release the place. On every path but success nothing is left: the actor is closed, the lease given back, a
 * rollout that was made here deleted, the place free (S4).
 */

import { raceAbort } from "../kernel/cancellation.ts";
import { elapsedBy } from "../kernel/clock.ts";
import { Pace } from "../kernel/pace.ts";
import type { Release } from "../kernel/slots.ts";
import { type AgentStatus, isFinalStatus } from "../protocol/agent-status.ts";
import { DuplicateThreadError, ManagerClosedError, SkeinError } from "../protocol/errors.ts";
import type { EventMsg } from "../protocol/event.ts";
import type { ThreadId } from "../protocol/ids.ts";
import { eventMsgsOf } from "../protocol/initial-history.ts";
import type { RolloutItem } from "../protocol/rollout.ts";
import type { ResolvedThreadConfig } from "../protocol/thread-config.ts";
import type { ForkBase, ThreadStore, ThreadWriter } from "../store/thread-store.ts";
import { Incarnation, type Incarnations } from "../thread/incarnation.ts";
import { LiveThread } from "../thread/live-thread.ts";
import type { OpenWork } from "../thread/open-work.ts";
import type { ChosenLogic } from "../thread/own-logic.ts";
import { readSaved, type Saved } from "../thread/saved-state.ts";
import { leaseTracing } from "../thread/store-traces.ts";
import { takeUpWork } from "../thread/take-up.ts";
import type { ThreadEnv } from "../thread/thread-env.ts";
import type { ThreadHome } from "../thread/thread-home.ts";
import { whileWaiting } from "../turn/tool-scope.ts";
import type { ToolSet } from "../turn/tool-set.ts";
import { limitsSomething } from "./budget-accounts.ts";
import type { Budgets } from "./budgets.ts";
import type { RestartRule } from "./group-options.ts";
import type { Lineage, Newcomer } from "./kinship.ts";
import type { Logics } from "./logics.ts";
import type { ManagerSetup } from "./options.ts";
import type { Claim, Registry, Reservation, Reserved } from "./registry.ts";
import type { Rooms } from "./rooms.ts";
import { sessionConfiguredOf } from "./session-meta.ts";
import { type SpawnTrace, spawnTracing } from "./spawn-trace.ts";
import { type ThreadOptions, tellsHistory } from "./thread-options.ts";
import type { UnloadedHandles } from "./unloaded-handles.ts";

export type Making = {
  readonly writer: ThreadWriter;
  readonly store: ThreadStore;
  readonly origin: "new" | "resumed" | "forked";
  /** The thread that this one was forked from, when that is known without reading anything. */
  readonly forkedFrom?: ThreadId | undefined;
  /** Which lines a fork that was made here inherits. */
  readonly inherits?: ForkBase["inherits"] | undefined;
  /** The rollout was made here: it goes again when the thread does not come to be. */
  readonly isNew: boolean;
  /** Where a thread that is loaded stands among agents, as its rollout tells. */
  readonly lineage?: Lineage | undefined;
  /** The name of the logic that the thread was stored with. */
  readonly logic?: string | undefined;
  /** How it is restarted, where it has its own rule. */
  readonly restart?: RestartRule | undefined;
  /** The life before this one was this manager's: what stands beside the thread is known. */
  readonly wasHere?: boolean | undefined;
  /** What is to be gone on with. */
  readonly work?: OpenWork | undefined;
};

/** What a thread is made of. `make` takes the lease of its rollout, making that where it is new. */
export type Plan = {
  readonly config: ResolvedThreadConfig;
  /** For an agent of this depth; 0 for a user's thread. */
  readonly toolsAt: (depth: number) => ToolSet;
  /** What the thread had come to before it left memory. */
  readonly status?: AgentStatus | undefined;
  readonly options: ThreadOptions;
  readonly make: () => Promise<Making>;
};

export type BootParts = {
  readonly setup: ManagerSetup;
  readonly env: ThreadEnv;
  readonly incarnations: Incarnations;
  readonly registry: Registry;
  readonly home: ThreadHome<LiveThread>;
  readonly unloaded: UnloadedHandles;
  readonly rooms: Rooms;
  readonly logics: Logics;
  readonly budgets: Budgets;
  /** A thread comes from another process, or from an earlier one. Resolves when what stands beside it is known; never rejects. */
  readonly onArriving: (threadId: ThreadId) => Promise<void>;
  readonly onLoaded: (thread: LiveThread, made: Pick<Making, "restart" | "isNew" | "wasHere">) => void;
};

/** So many threads begin to be made in one turn of the event loop. */
const STARTS_PER_TURN = 32;

export class ThreadBoot {
  readonly #parts: BootParts;
  readonly #pace = new Pace(STARTS_PER_TURN);
  #isClosed = false;

  constructor(parts: BootParts) {
    this.#parts = parts;
  }

  /** From now on no thread comes to be any more. */
  close(): void {
    this.#isClosed = true;
  }

  /** Makes a thread whose id is free. @throws DuplicateThreadError, LimitReachedError */
  async create(threadId: ThreadId, plan: Plan): Promise<LiveThread> {
    const pause = this.#pace.enter();
    if (pause !== undefined) await pause;
    const { parentThreadId } = plan.options;
    const { budgets } = this.#parts;
    if (budgets.concerns(plan.config, parentThreadId)) await budgets.checkStart(plan.config, parentThreadId);
    const reserving = this.#reserve({ threadId, under: placeOf(plan), for: "create" }, plan.options.signal);
    const reserved = reserving instanceof Promise ? await reserving : reserving;
    if (reserved instanceof LiveThread) throw new DuplicateThreadError(threadId);
    return this.#watched(reserved, plan, "create");
  }

  /** Finds the thread in memory, waits for its loading, or loads it. */
  async load(threadId: ThreadId, plan: Plan, purpose: Exclude<Claim["for"], "create"> = "load"): Promise<LiveThread> {
    const pause = this.#pace.enter();
    if (pause !== undefined) await pause;
    const { budgets } = this.#parts;
    if (budgets.concerns(plan.config, undefined)) await budgets.checkStart(plan.config, undefined);
    const reserved = await this.#reserve({ threadId, under: placeOf(plan), for: purpose }, plan.options.signal);
    return reserved instanceof LiveThread ? reserved : this.#watched(reserved, plan, purpose);
  }

  #reserve(claim: Claim, signal: AbortSignal | undefined): Reservation | Promise<Reservation | LiveThread> {
    const { registry, rooms } = this.#parts;
    const reserved = registry.reserve(claim, () => rooms.tryTake(), signal);
    if (!(reserved instanceof Promise) && reserved.kind === "reserved") return reserved.reservation;
    return this.#reserveLater(claim, signal, reserved);
  }

  async #reserveLater(
    claim: Claim,
    signal: AbortSignal | undefined,
    first: Reserved | Promise<Reserved>,
  ): Promise<Reservation | LiveThread> {
    for (let answer = first; ; ) {
      const reserved = await answer;
      switch (reserved.kind) {
        case "reserved":
          return reserved.reservation;
        case "loaded":
          return reserved.thread;
        case "loading": {
          const thread = await raceAbort(reserved.outcome, signal);
          if (thread !== undefined) return thread;
          break;
        }
        case "wait":
          await raceAbort(reserved.until, signal);
          break;
        case "full":
          answer = this.#reserveIn(await whileWaiting([], () => this.#parts.rooms.take(signal)), claim, signal);
          continue;
      }
      this.#checkOpen(signal);
      answer = this.#parts.registry.reserve(claim, () => this.#parts.rooms.tryTake(), signal);
    }
  }

  /** Reserves with a place that was waited for, and gives it back where it is not needed any more. */
  async #reserveIn(place: Release, claim: Claim, signal: AbortSignal | undefined): Promise<Reserved> {
    let isTaken = false;
    const take = () => {
      isTaken = true;
      return place;
    };
    try {
      return await this.#parts.registry.reserve(claim, take, signal);
    } finally {
      if (!isTaken) place();
    }
  }

  #watched(reservation: Reservation, plan: Plan, purpose: SpawnTrace["purpose"]): Promise<LiveThread> {
    const { threadId } = reservation;
    return spawnTracing.run(
      () => {
        const { config, options } = plan;
        const role = options.agent?.role ?? undefined;
        const nickname = options.agent?.nickname ?? undefined;
        const { model, modelProvider: provider } = config;
        const { parentThreadId } = options;
        return { scope: this.#parts.env.scope, threadId, purpose, parentThreadId, role, nickname, model, provider };
      },
      (facts) => this.#fulfil(reservation, plan, facts),
    );
  }

  /** Takes the rollout with its lease, making it where it is new. */
  #make(threadId: ThreadId, { make }: Plan): Promise<Making> {
    return leaseTracing.run(
      () => ({ scope: this.#parts.env.scope, threadId, kind: "take" }),
      async (facts) => {
        const made = await make();
        if (facts !== undefined) facts.epoch = made.writer.epoch;
        return made;
      },
    );
  }

  /** Makes the thread for a reserved place, boots it and commits; or undoes all of it. */
  async #fulfil(reservation: Reservation, plan: Plan, facts: SpawnTrace | undefined): Promise<LiveThread> {
    const { registry, onLoaded, setup, budgets } = this.#parts;
    const { threadId } = reservation;
    const begun = elapsedBy(setup.clock);
    let made: Making | undefined;
    let incarnation: Incarnation | undefined;
    try {
      setup.logger.debug({ threadId }, "place reserved");
      made = await this.#make(threadId, plan);
      if (facts !== undefined) note(facts, made);
      this.#checkOpen(plan.options.signal);
      incarnation = await this.#boot(made, plan);
      if (hasArrived(made)) await this.#parts.onArriving(threadId);
      if (limitsSomething(plan.config)) await budgets.accounts.keep(threadId, plan.config);
      this.#checkOpen(plan.options.signal);
    } catch (error) {
      incarnation?.end("refused");
      setup.logger.debug({ threadId, code: codeOf(error) }, "boot failed");
      const why = this.#isClosed ? new ManagerClosedError() : error;
      await this.#undo(reservation, made, plan.options.signal?.aborted ? undefined : { error: why });
      throw why;
    }
    const thread = this.#handleFor(incarnation);
    const committing = registry.commit(reservation, thread, made.lineage);
    if (committing !== undefined) await committing;
    thread.adopt(incarnation);
    takeUpWork(incarnation);
    const { epoch, origin } = incarnation;
    setup.logger.debug({ threadId, epoch, origin, ms: elapsedBy(setup.clock) - begun }, "booted");
    onLoaded(thread, made);
    return thread;
  }

  #checkOpen(signal: AbortSignal | undefined): void {
    signal?.throwIfAborted();
    if (this.#isClosed) throw new ManagerClosedError();
  }

  /** A thread that somebody still holds or observes comes back under the same handle. */
  #handleFor(incarnation: Incarnation): LiveThread {
    const { unloaded, home } = this.#parts;
    const known = unloaded.take(incarnation.threadId);
    return known === undefined || known.isClosed ? new LiveThread(home, incarnation) : known;
  }

  async #undo(
    reservation: Reservation,
    made: Making | undefined,
    failure: { error: unknown } | undefined,
  ): Promise<void> {
    const { registry, setup, budgets } = this.#parts;
    const { threadId } = reservation;
    try {
      await made?.writer.close();
      budgets.accounts.forget(threadId);
      if (made?.isNew) await made.store.delete(threadId);
    } catch (problem) {
      setup.logger.warn({ threadId, err: problem }, "a thread that failed to start could not be undone");
    } finally {
      await registry.release(reservation, failure);
    }
  }

  async #boot(made: Making, { config: given, toolsAt, options, status }: Plan): Promise<Incarnation> {
    const { env, incarnations, setup, registry } = this.#parts;
    const config = made.logic === undefined ? given : { ...given, logic: made.logic };
    const { writer, store, origin } = made;
    const items = origin === "new" ? undefined : await this.#itemsToTell(made, options);
    const messages: EventMsg[] | null = items === undefined ? null : eventMsgsOf({ type: "forked", items }, config);
    const lineage = registry.kin.lineageOf(writer.threadId) ?? made.lineage;
    const tools = toolsAt(lineage?.depth ?? 0);
    const resumedTurn = made.work?.task.resumed && made.work.task.turnId;
    const configured = {
      ...sessionConfiguredOf(writer, config, messages, made.forkedFrom),
      ...(resumedTurn !== undefined && { resumed_turn_id: resumedTurn }),
    };
    const logic = this.#parts.logics.of(config);
    const saved = origin === "new" ? undefined : await savedOf(logic, made, options.signal);
    const known = origin === "new" ? [] : (items ?? null);
    const incarnation = new Incarnation({
      ...{ env, incarnations, store, writer, config, tools, origin, logic, configured },
      items: known,
      saved,
      work: made.work,
      inherits: made.inherits,
    });
    const booting = incarnation.boot(configured, { deadlineMs: setup.limits.bootDeadlineMs, signal: options.signal });
    if (booting instanceof Promise) await booting;
    if (status !== undefined && isFinalStatus(status)) incarnation.session.cameTo(status);
    const lastContext = items?.findLast((item) => item.type === "turn_context");
    if (lastContext?.type === "turn_context") incarnation.warnOfModel(lastContext.payload.model ?? undefined);
    return incarnation;
  }

  /** The history's items, when they are to be published; undefined when not. */
  async #itemsToTell(
    { writer, store }: Making,
    { initialMessages = "bounded", signal }: ThreadOptions,
  ): Promise<RolloutItem[] | undefined> {
    if (!tellsHistory(initialMessages, writer.position().ordinal)) return undefined;
    await writer.flush();
    const items: RolloutItem[] = [];
    for await (const page of store.load(writer.threadId, signal === undefined ? {} : { signal })) items.push(...page);
    return items;
  }
}

/** What an own logic goes on from, where it keeps a state. */
async function savedOf(
  { keeps }: ChosenLogic,
  { store, writer }: Pick<Making, "store" | "writer">,
  signal: AbortSignal | undefined,
): Promise<Saved | undefined> {
  if (keeps === undefined) return undefined;
  await writer.flush();
  return readSaved(store, { threadId: writer.threadId, end: writer.position().ordinal, signal }, keeps.how);
}

/** Whether others may have changed what stands beside the thread. */
export const hasArrived = ({ isNew, wasHere = false }: Pick<Making, "isNew" | "wasHere">): boolean =>
  !isNew && !wasHere;

function note(facts: SpawnTrace, { writer, origin, forkedFrom }: Making): void {
  facts.epoch = writer.epoch;
  facts.origin = origin;
  if (forkedFrom !== undefined) facts.forkedFrom = forkedFrom;
}

const placeOf = ({ options: { parentThreadId: parent, agent } }: Plan): Newcomer | undefined =>
  parent === undefined ? undefined : { parent, ...agent };

const codeOf = (error: unknown): string => (error instanceof SkeinError ? error.code : "unknown");
