/**
 * A worker's care for one thread while an invocation runs it: takes its lease, hands it the messages, waits until it is at rest,
 * and gives the lease back.
 *
 * A life that goes on with an invocation which an earlier worker has begun is told all of its messages again: what the history
 * knows runs no second time, interrupts count, and approvals are given as soon as they are asked for.
 */
import { randomBytes } from "node:crypto";
import { linkSignals, raceAbort } from "../kernel/cancellation.ts";
import { sleep, systemClock } from "../kernel/clock.ts";
import { hasWaitingMail } from "../manager/mail.ts";
import { definedFields } from "../protocol/defined-fields.ts";
import { OverloadedError, ThreadClosedError } from "../protocol/errors.ts";
import { newTurnId, type ThreadId, toSubmissionId } from "../protocol/ids.ts";
import type { ThreadConfig } from "../protocol/thread-config.ts";
import { everyThread } from "../store/every-thread.ts";
import { ALL_SOURCE_KINDS } from "../store/thread-query.ts";
import type { LiveThread } from "../thread/live-thread.ts";
import { type Answering, AskedRequests } from "./asked-requests.ts";
import { AttendedTurns } from "./attended-turns.ts";
import { answeredBy, EarlierDecisions, isAnswer, type OpMessage } from "./earlier-decisions.ts";
import { changesSettings, interrupts, type SettingOp, settingsIn, startsTask } from "./message-kinds.ts";
import {
  type ClusterNote,
  type Delivery,
  type Facts,
  type Message,
  type Replied,
  readNote,
  type TurnAnswer,
} from "./wire.ts";
import { isPassing, toWire } from "./wire-error.ts";
import {
  type AtWork,
  configSince,
  factsOf,
  liveOf,
  loadThread,
  newNote,
  noteOf,
  sentConfig,
  type WorkerThreads,
} from "./worker-threads.ts";

export class Attendance {
  readonly threadId: ThreadId;
  readonly invocation: string;
  /** Opens the thread's live side. */
  readonly key = randomBytes(16).toString("hex");
  readonly #worker: WorkerThreads;
  readonly #stop = linkSignals();
  readonly #ready = Promise.withResolvers<LiveThread>();
  readonly #turns: AttendedTurns;
  readonly #decisions = new EarlierDecisions();
  #noted: AtWork | undefined;
  #done: Promise<unknown> = Promise.resolve();
  /** Messages on their way into the thread: it is not let go of before it has them. */
  readonly #handing = new Set<Promise<Delivery>>();
  /** They go in one after another, those that an earlier worker has taken too: each is handed once the one before it was. */
  #line: Promise<unknown> = Promise.resolve();
  readonly requests: AskedRequests;
  /** What an earlier worker has taken, on its way into the thread again, by the messages' ids. */
  readonly #again = new Map<string, Promise<Delivery>>();
  /** Messages that an earlier worker has taken. */
  readonly #repeated = new Set<string>();
  /** Agents whose notes are being written. */
  readonly #showing = new Set<Promise<void>>();
  /** An earlier worker has handed over what the invocation was made for. */
  #hasBegun = false;
  /** The thread is being let go of: what comes now begins an invocation of its own. */
  #isOver = false;

  constructor(worker: WorkerThreads, threadId: ThreadId, invocation: string) {
    this.#worker = worker;
    this.#turns = new AttendedTurns(worker.manager.store);
    this.threadId = threadId;
    this.invocation = invocation;
    this.#ready.promise.catch(() => undefined);
    const turns: Answering = {
      begin: (thread, message) => this.#handOp(thread, message, { isAgain: false }),
      resultOf: (id) => this.#turns.resultOf(id),
    };
    this.requests = new AskedRequests(worker, turns, this.#stop.signal);
  }

  /** The thread, while it is loaded here; undefined before that. */
  live: LiveThread | undefined;

  /** Lets go of the thread, whatever it does; a turn that runs stays open for the next worker. Resolves when the lease is free. */
  async abandon(reason: Error): Promise<void> {
    this.#stop.abort(reason);
    this.#ready.reject(reason);
    await this.#done.catch(() => undefined);
  }

  /** Carries the message out, and all that come meanwhile. @throws what keeps the thread from being loaded */
  attend(message: Message): Promise<TurnAnswer> {
    const work = this.#attend(message);
    this.#done = work;
    return work;
  }

  async #attend(message: Message): Promise<TurnAnswer> {
    const { signal } = this.#stop;
    signal.throwIfAborted();
    const note = await this.#note();
    let created: { unsubscribe(): void } | undefined;
    try {
      const isAgain = note.run?.invocation === this.invocation || note.last === this.invocation;
      if (isAgain) this.#repeated.add(message.id);
      const thread = await loadThread(this.#worker, this.threadId, { ...note.config, recovery: "continue" }, signal);
      this.live = thread;
      const began = sentConfig(thread);
      const { invocation, key } = this;
      const run = { invocation, submissionId: message.id, url: this.#worker.url(), key, epoch: thread.epoch };
      const noted = { note: { ...note, run, fence: thread.epoch }, began };
      this.#noted = noted;
      this.#decisions.giveTo(thread);
      created = this.#worker.manager.threadCreated$.subscribe(({ id }) => this.#show(id, noted));
      if (isAgain) await this.#takeUpAgents(this.threadId, noted);
      // What a turn needs first is read; meanwhile that it is about to run becomes known.
      await Promise.all([
        this.#write(noted.note),
        startsTask(message) ? this.#worker.readAhead(thread, signal) : undefined,
      ]);
      await this.#handFirst(thread, message, isAgain ? "again" : "new");
      if (!isAgain) tellFired(thread, message);
      this.#ready.resolve(thread);
      await raceAbort(this.#rest(thread), signal);
      while (this.#handing.size > 0 || !this.requests.isIdle) {
        await raceAbort(Promise.allSettled([...this.#handing, this.requests.settled()]), signal);
        await raceAbort(this.#rest(thread), signal);
      }
      this.#isOver = true;
      const results = await this.#turns.collect(signal);
      const facts = await factsOf(thread);
      const hasTimers = thread.timers.length > 0;
      created.unsubscribe();
      await this.#letGo(noted, facts);
      const timers = hasTimers ? await this.#worker.timersOf(this.threadId) : undefined;
      return { results, facts, ...definedFields({ timers }) };
    } catch (error) {
      created?.unsubscribe();
      this.#ready.reject(error);
      const { live } = this;
      try {
        // What no attempt of this invocation comes back to.
        if (this.#noted !== undefined && live !== undefined && !signal.aborted && !isPassing(error))
          await this.#letGo(this.#noted, await factsOf(live));
      } finally {
        await this.#release();
      }
      throw signal.aborted ? signal.reason : error;
    }
  }

  /** Gives the thread back, and its agents. Whoever reads that nothing runs them and comes at once waits for the lease, which is on its way. */
  async #letGo(noted: AtWork, facts: Facts): Promise<void> {
    const agents = await this.#agentsNotes(noted);
    const config = configSince(noted, facts.config);
    await Promise.all([
      this.#release(),
      ...agents.map(([threadId, note]) => this.#worker.notes.write(threadId, "cluster", note)),
      this.#write({ ...noted.note, config, facts, run: null, last: this.invocation }),
    ]);
  }

  /** An agent is found, followed and answered as its thread is, by way of this invocation. */
  #show(threadId: ThreadId, noted: AtWork): void {
    const agent = this.agent(threadId);
    if (agent === undefined) return;
    const show = async () => {
      const facts = await factsOf(agent);
      const { start: position } = agent.incarnation.door;
      const note = newNote(configSince(noted, facts.config), { ...facts, position });
      const run = { ...noted.note.run, epoch: agent.epoch, through: this.threadId };
      await this.#worker.notes.write(threadId, "cluster", { ...note, run });
    };
    const showing = show()
      .catch((err: unknown) => this.#worker.logger.warn({ threadId, err }, "an agent can't be shown to clients"))
      .finally(() => this.#showing.delete(showing));
    this.#showing.add(showing);
    this.#decisions.giveTo(agent);
  }

  /** A message of another thread waits for room in the mail: nobody else keeps it. */
  async #handFirst(thread: LiveThread, message: Message, how: "new" | "again"): Promise<void> {
    if (message.kind === "message" && this.#hasBegun) return;
    for (;;) {
      try {
        return await this.#hand(thread, message, { isAgain: how === "again" });
      } catch (error) {
        if (!(error instanceof OverloadedError) || message.kind !== "message") throw error;
        await sleep(systemClock, IDLE_POLL_MS, this.#stop.signal);
      }
    }
  }

  /** How the agents stand once they are let go of. */
  async #agentsNotes(noted: AtWork): Promise<[ThreadId, ClusterNote][]> {
    await Promise.all(this.#showing);
    const agents = this.#agents().map(async (agent): Promise<[ThreadId, ClusterNote][]> => {
      const note = readNote(await this.#worker.notes.read(agent.id, "cluster"));
      if (note?.run?.invocation !== this.invocation) return [];
      const facts = await factsOf(agent);
      const config = configSince(noted, facts.config);
      return [[agent.id, { ...note, config, facts, run: null, fence: agent.epoch }]];
    });
    return (await Promise.all(agents)).flat();
  }

  /** The thread itself, or an agent of its turn that is in memory. */
  agent(threadId: ThreadId): LiveThread | undefined {
    if (threadId === this.threadId) return this.live;
    if (!this.#worker.agentsUnder(this.threadId).includes(threadId)) return undefined;
    const agent = this.#worker.manager.loadedThread(threadId);
    return agent && liveOf(agent);
  }

  /** The agents whose turns an earlier worker has left open, or whose mail, go on beside their parent; the others are let go of. */
  async #takeUpAgents(parentThreadId: ThreadId, noted: AtWork): Promise<void> {
    const { manager, notes, logger } = this.#worker;
    const { signal } = this.#stop;
    const query = { parentThreadId, sourceKinds: ALL_SOURCE_KINDS };
    for await (const { threadId, openTurn } of everyThread(manager.store, query, signal)) {
      try {
        const note = readNote(await notes.read(threadId, "cluster"));
        const isOurs = note?.run?.invocation === this.invocation;
        const config: ThreadConfig = { ...(note ?? noted.note).config, recovery: "continue" };
        const isAtWork = openTurn !== null || (isOurs && hasWaitingMail(await notes.read(threadId, "mail")));
        if (isAtWork) await loadThread(this.#worker, threadId, config, signal);
        else if (isOurs) await notes.write(threadId, "cluster", { ...note, run: null });
        if (isAtWork || isOurs) await this.#takeUpAgents(threadId, noted);
      } catch (err) {
        signal.throwIfAborted();
        logger.warn({ threadId, err }, "an agent whose turn is open could not be taken up");
      }
    }
  }

  /** The agents of the thread, or of one of them, that are in memory, parents first. */
  #agents(above = this.threadId): LiveThread[] {
    return this.#worker
      .agentsUnder(above)
      .flatMap((threadId) => this.#worker.manager.loadedThread(threadId) ?? [])
      .map(liveOf);
  }

  /** An agent's lease is free as its parent's is: whoever opens the tree next may be another worker. */
  async #release(): Promise<void> {
    this.live = undefined;
    // A note that came late would tell of this worker while another one goes on.
    await Promise.all(this.#showing);
    await Promise.all(this.#worker.agentsUnder(this.threadId).map((agent) => this.#worker.giveAway(agent)));
    await this.#worker.giveAway(this.threadId);
  }

  /** @throws RolloutNotFoundError, ThreadClosedError */
  async #note(): Promise<ClusterNote> {
    const note = await noteOf(this.#worker, this.threadId);
    if (note.state === "closed") throw new ThreadClosedError(this.threadId);
    return note;
  }

  async #write(note: ClusterNote): Promise<void> {
    await this.#worker.notes.write(this.threadId, "cluster", note);
  }

  /** A message of this invocation, from now on; one whose own first message was refused takes no other. */
  async take(message: Message): Promise<Delivery> {
    try {
      return await this.#inLine(message);
    } catch (error) {
      if (this.#stop.signal.aborted) throw this.#stop.signal.reason;
      return { taken: true, error: toWire(error) };
    }
  }

  #inLine(message: Message): Promise<Delivery> {
    const taking = this.#line.then(() => this.#take(message));
    this.#handing.add(taking);
    this.#line = taking.catch(() => undefined).finally(() => this.#handing.delete(taking));
    return taking;
  }

  async #take(message: Message): Promise<Delivery> {
    const attended = await this.#ready.promise.catch(() => undefined);
    this.#stop.signal.throwIfAborted();
    if (attended === undefined) return { taken: false };
    const thread = message.to === undefined ? attended : this.agent(message.to);
    if (this.#isOver || thread === undefined) return { taken: false };
    const answered = answeredBy(thread, this.#agents(thread.id), message);
    const interrupted = interrupts(message) ? thread.activeTurn?.turnId : undefined;
    await this.#hand(thread, message, { isAgain: true });
    tellFired(thread, message);
    const config = changesSettings(message) ? sentConfig(thread) : undefined;
    return { taken: true, ...definedFields({ answered, interrupted, config }) };
  }

  /** What a request of this invocation comes to. @throws ThreadClosedError where an earlier worker has taken it and its thread is here no more */
  async replyTo(id: string): Promise<Replied> {
    await this.#ready.promise;
    const again = await this.#again.get(id);
    if (again?.taken === false) throw new ThreadClosedError(this.threadId);
    return this.requests.replyTo(id);
  }

  /**
   * A message that an earlier worker has taken: what it was meant for is meant again, and nothing that came later. Mail is stored, and given from
   * there: of what has been handled, only the newest is known by its id.
   */
  takeAgain(message: Message, { answered, interrupted: turnId }: Extract<Delivery, { taken: true }>): void {
    const { id, to } = message;
    this.#hasBegun = true;
    if (message.kind === "message") return;
    if (isAnswer(message)) this.#decisions.note(message.op, answered);
    else if (!interrupts(message))
      this.#takeQuietly({ ...message, ...(message.kind === "op" && { fired: undefined }) });
    else if (turnId !== undefined) this.#takeQuietly({ kind: "interrupt", id, to, turnId });
    for (const thread of this.live === undefined ? [] : [this.live, ...this.#agents()]) this.#decisions.giveTo(thread);
  }

  /** It was acknowledged: where it can't be taken just now, the attempt is over and the next one takes it. */
  #takeQuietly(message: Message): void {
    this.#repeated.add(message.id);
    const taking = this.#inLine(message);
    this.#again.set(message.id, taking);
    taking.catch((error: unknown) => {
      if (isPassing(error)) this.#stop.abort(error);
    });
  }

  async #hand(thread: LiveThread, message: Message, { isAgain }: { isAgain: boolean }): Promise<void> {
    switch (message.kind) {
      case "interrupt":
        return thread.interrupt(definedFields({ turnId: message.turnId }));
      case "rollback":
        return thread.rollback(message.turns, { id: message.id });
      case "budget":
        return thread.setBudget(message.change);
      case "priority":
        await thread.setPriority(message.priority);
        return this.#noteSettings(thread);
      case "message": {
        const { id, from, message: said } = message;
        return this.#worker.receive(thread, {
          id: toSubmissionId(id),
          from,
          to: thread.id,
          message: said,
          topic: message.topic,
        });
      }
      case "request":
        return this.requests.ask(thread, message, isAgain ? "again" : "new");
      case "mcp":
        return this.requests.askServer(thread, message, this.#repeated.has(message.id) ? "again" : "new");
      case "step":
        return this.requests.noteStep(thread, message);
      case "giveUp":
        return this.requests.giveUp(thread, message.request);
    }
    return this.#handOp(thread, message, { isAgain });
  }

  async #handOp(thread: LiveThread, message: OpMessage, { isAgain }: { isAgain: boolean }): Promise<void> {
    const { id, op, rerun } = message;
    if (op.type === "interrupt") return thread.interrupt();
    const watch = startsTask(message) ? this.#turns.watch(thread, id) : undefined;
    // Only a turn bears its submission's id by itself.
    const isNew = message.isNew === true && !isAgain && startsTask(message);
    try {
      const settings = settingsIn(op);
      if (settings !== undefined) await this.#set(thread, { id: op === settings ? id : newTurnId(), op: settings });
      if (op === settings) return;
      const submitted = thread.submitWithId({ id, op, ...definedFields({ rerun }), isNew });
      // What is refused now, since a budget is used up, may have run before.
      await submitted.catch(async (error: unknown) => {
        if (isNew || (await thread.outcomeOf(id)) === undefined) throw error;
      });
      if (watch !== undefined && !isNew) await this.#turns.settleKnown(thread, id, watch);
    } catch (error) {
      if (watch !== undefined) this.#turns.forget(id, watch);
      throw error;
    }
  }

  /** Settings stand in no line: they are set again when a message is handed again, and are noted before what they count for begins. */
  async #set(thread: LiveThread, { id, op }: { id: string; op: SettingOp }): Promise<void> {
    await thread.submitWithId({ id, op, isNew: true });
    await this.#noteSettings(thread);
  }

  async #noteSettings(thread: LiveThread): Promise<void> {
    if (this.#noted === undefined) return;
    const config = configSince(this.#noted, sentConfig(thread));
    if (thread === this.live) return this.#write({ ...this.#noted.note, config });
    await Promise.all(this.#showing);
    const note = readNote(await this.#worker.notes.read(thread.id, "cluster"));
    if (note !== undefined)
      await this.#worker.notes.write(thread.id, "cluster", { ...note, config, fence: thread.epoch });
  }

  /** Resolves when the thread has nothing to do, nor has any agent that it has started. */
  async #rest(thread: LiveThread): Promise<void> {
    for (;;) {
      await this.#turns.ended();
      if ([thread, ...this.#agents()].every((each) => isAtRest(each) && !this.#worker.isServing(each.id))) return;
      await new Promise<void>((resolve) => {
        const stop = thread.observe({ event: () => done(), closed: () => done() });
        const timer = setTimeout(() => done(), IDLE_POLL_MS);
        const done = () => {
          clearTimeout(timer);
          queueMicrotask(stop);
          resolve();
        };
      });
    }
  }
}

/** Of an op that a timer gave, the thread's listeners are told once: by the worker that has taken it. */
function tellFired({ incarnation }: LiveThread, message: Message): void {
  if (message.kind !== "op" || message.fired === undefined) return;
  incarnation.publish(toSubmissionId(message.id), { type: "timer_fired", ...message.fired });
}

const IDLE_POLL_MS = 20;

/** What its model has left running ends with the invocation; what a user has asked for comes to its end. */
const isAtRest = ({ incarnation: { activity, terminals } }: LiveThread): boolean =>
  activity === "gone" || (activity === "idle" && !terminals.areAttended);
