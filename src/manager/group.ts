/**
 * A group of threads and groups under one strategy. Its decisions are the machine's (machines/group.machine.ts); here they are carried
 * out, one stop or start at a time, and what changed is stored before it is acted on (S9).
 */
import { type Actor, createActor } from "xstate";
import { type GroupEmitted, groupMachine, type MemberEnd } from "../../machines/group.machine.ts";
import type { GroupMember, Roster, StopReason } from "../../machines/roster.ts";
import { raceAbort, withDeadline } from "../kernel/cancellation.ts";
import { type Clock, elapsedBy } from "../kernel/clock.ts";
import type { SkeinLogger } from "../kernel/log.ts";
import { checkCallOptions, checkObject, oneOf, WAIT_OPTIONS } from "../protocol/call-options.ts";
import {
  InvalidRequestError,
  LimitReachedError,
  ManagerClosedError,
  RolloutNotFoundError,
  ThreadBusyError,
  ThreadNotFoundError,
} from "../protocol/errors.ts";
import { givenThreadId, type ThreadId } from "../protocol/ids.ts";
import type { ThreadConfig } from "../protocol/thread-config.ts";
import type { NewThread, WaitOptions } from "../thread/thread.ts";
import { inTime } from "../thread/wait-options.ts";
import { GroupJournal } from "./group-journal.ts";
import type { GroupOptions, GroupRule } from "./group-options.ts";
import type { GroupRecord } from "./group-record.ts";
import { DEFAULT_STOP_MS, GroupStop } from "./group-stop.ts";
import { GroupWaits } from "./group-waits.ts";
import type { MemberLives } from "./member-lives.ts";
import { RESTART_STRATEGIES, type RestartStrategy } from "./options.ts";
import { JITTER } from "./restarts.ts";
import type { ShutdownReport } from "./shutdown-report.ts";
import type { Escalation, GroupStatus, MemberInfo, MemberOptions, ThreadGroup } from "./thread-group.ts";
import { givenThreadOptions, type ThreadOptions } from "./thread-options.ts";

/** What groups have of their manager. */
export interface GroupHost {
  readonly clock: Clock;
  readonly over: AbortSignal;
  readonly logger: SkeinLogger;
  readonly random: () => number;
  readonly lives: MemberLives;
  readonly isClosing: boolean;
  spawn(config: ThreadConfig | undefined, options: ThreadOptions): Promise<NewThread>;
  discard(threadId: ThreadId): Promise<void>;
  isKnown(threadId: ThreadId): Promise<boolean>;
  /** The member is this group's from now on. @throws InvalidRequestError when it is another's */
  claim(threadId: ThreadId, group: LiveGroup): void;
  unclaim(threadId: ThreadId, group: LiveGroup): void;
  /** It has stopped: its threads are their own again. */
  release(group: LiveGroup): void;
  /** It comes back, with those of its threads that are no other's by now; the others are given back. */
  reclaim(group: LiveGroup): readonly ThreadId[];
  openInner(options: GroupOptions, parent: LiveGroup): Promise<LiveGroup>;
  escalate(escalation: Escalation): void;
}

type Parts = {
  readonly id: ThreadId;
  readonly name: string | undefined;
  readonly rule: GroupRule;
  readonly record: GroupRecord | undefined;
  readonly parent: LiveGroup | undefined;
};

const MEMBER_KINDS = { restart: oneOf(...RESTART_STRATEGIES) };

export class LiveGroup implements ThreadGroup {
  readonly id: ThreadId;
  readonly name: string | undefined;
  readonly #host: GroupHost;
  readonly #rule: GroupRule;
  readonly #record: GroupRecord | undefined;
  readonly #actor: Actor<typeof groupMachine>;
  readonly #inner = new Map<ThreadId, LiveGroup>();
  #parent: LiveGroup | undefined;
  readonly #journal: GroupJournal | undefined;
  readonly #waits = new GroupWaits();
  /** The members when they were looked at last. */
  #seen: Roster;
  /** The number of the newest group in it that has its name from this one. */
  #newestInner: number;
  #lastError: unknown;
  /** Since when a member's start has been refused, for reasons that are not its own. */
  readonly #refused = new Map<string, number>();
  #line: Promise<unknown> = Promise.resolve();
  readonly #stopping: GroupStop;
  #isStarted = false;
  #isClosed = false;

  constructor(host: GroupHost, { id, name, rule, record, parent }: Parts) {
    const { clock } = host;
    this.id = id;
    this.name = name;
    this.#host = host;
    this.#rule = rule;
    this.#record = record;
    this.#parent = parent;
    this.#stopping = new GroupStop(host);
    const stored = record?.stored;
    const now = elapsedBy(clock);
    const restarts = (stored?.restarts ?? []).map((at) => now - Math.max(0, clock.now() - at));
    const { strategy, maxRestarts, periodMs, backoffMs, maxBackoffMs } = rule;
    this.#actor = createActor(groupMachine, {
      clock,
      input: {
        ...{ strategy, maxRestarts, periodMs, backoffMs, maxBackoffMs, jitter: JITTER },
        ...{ restarts, state: stored?.state ?? "running" },
        members: (stored?.members ?? []).map(({ id: memberId, restart, isEnded, withGroup }) =>
          isEnded ? { id: memberId, restart, state: "ended", why: withGroup } : { id: memberId, restart, state: "due" },
        ),
      },
    });
    this.#seen = this.#members;
    this.#newestInner = stored?.newestInner ?? 0;
    this.#journal = record && new GroupJournal(record, { restarts, groupOf: (inner) => this.#inner.get(inner) });
    this.#actor.on("*", (emitted) => this.#heed(emitted));
  }

  get parent(): LiveGroup | undefined {
    return this.#parent;
  }

  get rule(): GroupRule {
    return this.#rule;
  }

  get status(): GroupStatus {
    return this.#actor.getSnapshot().value as GroupStatus;
  }

  get members(): readonly MemberInfo[] {
    return this.#members.map(({ id, restart, state }) => ({
      id: id as ThreadId,
      kind: this.#inner.has(id as ThreadId) ? "group" : "thread",
      restart,
      state: state === "marked" ? "stopping" : state,
    }));
  }

  /** Its threads in their order, those of groups in it in their groups' places. */
  threads(): ThreadId[] {
    return [...this.#members].flatMap(({ id }) => this.#inner.get(id as ThreadId)?.threads() ?? [id as ThreadId]);
  }

  get #members(): Roster {
    return this.#actor.getSnapshot().context.members;
  }

  toJSON(): object {
    const { id, name, status, members } = this;
    return { id, name, status, members: members.length };
  }

  // Who belongs to it.

  async startThread(config?: ThreadConfig, given: ThreadOptions & MemberOptions = {}): Promise<NewThread> {
    this.#checkRunning();
    checkObject("options", given);
    const { restart, ...rest } = given;
    checkCallOptions("group.startThread", { restart }, ["restart"], MEMBER_KINDS);
    const options = givenThreadOptions(rest);
    const start = (signal: AbortSignal | undefined) => this.#startMember(config, { ...options, signal }, restart);
    return inTime("the start of a member", start, options, this.#host);
  }

  async #startMember(
    config: ThreadConfig | undefined,
    options: ThreadOptions,
    restart: RestartStrategy | undefined,
  ): Promise<NewThread> {
    const spawning = this.#host.spawn(config, options);
    // Threads are made side by side, and join in the order of asking.
    const before = this.#line;
    // Of no outcome: it would hold those of all before it.
    this.#line = Promise.allSettled([before, raceAbort(spawning, options.signal)]).then(() => undefined);
    const [made] = await Promise.all([spawning, before]);
    try {
      options.signal?.throwIfAborted();
      await this.#join(made.threadId, restart);
    } catch (error) {
      await this.#host.discard(made.threadId);
      throw error;
    }
    return made;
  }

  async add(
    member: ThreadId | string | { readonly id: ThreadId } | LiveGroup,
    options: MemberOptions = {},
  ): Promise<void> {
    checkCallOptions("group.add", options, ["restart"], MEMBER_KINDS);
    const { restart } = options;
    this.#checkRunning();
    if (member instanceof LiveGroup) return this.#addGroup(member, restart);
    const threadId = givenThreadId(typeof member === "string" ? member : member?.id, "member");
    if (!(await this.#host.isKnown(threadId))) throw new ThreadNotFoundError(threadId);
    await this.#join(threadId, restart);
  }

  async #addGroup(group: LiveGroup, restart: RestartStrategy | undefined): Promise<void> {
    if (group.#host !== this.#host) throw new InvalidRequestError("a group joins one of its own manager");
    if (group.status !== "running")
      throw new InvalidRequestError(`group ${group.name ?? group.id} is ${group.status}; \`revive\` it first`);
    if (group.#parent !== undefined)
      throw new InvalidRequestError(`group ${group.name ?? group.id} is in a group already`);
    for (let at: LiveGroup | undefined = this; at !== undefined; at = at.#parent) {
      if (at === group) throw new InvalidRequestError("a group can't be in itself, nor in one that is in it");
    }
    if (this.#record !== undefined && group.name === undefined) {
      throw new InvalidRequestError("a group in a stored group needs a name, to be found again");
    }
    group.#parent = this;
    this.#inner.set(group.id, group);
    await this.#join(group.id, restart);
  }

  async group(options: GroupOptions & MemberOptions = {}): Promise<LiveGroup> {
    this.#checkRunning();
    checkObject("group: options", options);
    const group = await this.#host.openInner({ ...options, name: options.name ?? this.#nameOfInner() }, this);
    if (!this.#inner.has(group.id)) await this.#addGroup(group, options.restart);
    return group;
  }

  /** A name that none has had, those that were dropped included: it would find what is stored of that one. */
  #nameOfInner(): string | undefined {
    if (this.name === undefined) return undefined;
    this.#newestInner = Math.max(this.#newestInner, this.#members.length) + 1;
    return `${this.name}/${this.#newestInner}`;
  }

  /** For groups that come back with this one. */
  adopt(group: LiveGroup): void {
    group.#parent = this;
    this.#inner.set(group.id, group);
  }

  async #join(id: ThreadId, restart: RestartStrategy | undefined): Promise<void> {
    this.#checkRunning();
    if (!this.#inner.has(id)) this.#host.claim(id, this);
    this.#actor.send({ type: "member.joined", id, restart: restart ?? this.#rule.restart });
    await this.#record?.flush();
  }

  #checkRunning(): void {
    if (this.#isClosed || this.#host.isClosing) throw new ManagerClosedError();
    if (this.status !== "running") {
      throw new InvalidRequestError(`group ${this.name ?? this.id} is ${this.status}; \`revive\` it first`);
    }
  }

  // What is done with one member by hand.

  async stopMember(id: ThreadId | string): Promise<void> {
    this.#known(id);
    this.#actor.send({ type: "member.stop", id });
    await this.#waits.until(id, () => (this.#members.get(id)?.state ?? "ended") === "ended");
  }

  async restartMember(id: ThreadId | string): Promise<void> {
    this.#checkRunning();
    if (this.#known(id).state !== "ended") throw new InvalidRequestError(`member ${id} has not ended; stop it first`);
    this.#actor.send({ type: "member.restart", id });
    await this.#waits.until(id, () => ["up", "ended"].includes(this.#members.get(id)?.state ?? "ended"));
  }

  async dropMember(id: ThreadId | string): Promise<void> {
    if (this.#known(id).state !== "ended") throw new InvalidRequestError(`member ${id} has not ended; stop it first`);
    this.noteGone(id as ThreadId);
    await this.#record?.flush();
  }

  #known(id: string): GroupMember {
    const member = typeof id === "string" ? this.#members.get(id) : undefined;
    if (member === undefined) throw new InvalidRequestError(`group ${this.name ?? this.id} has no member ${id}`);
    return member;
  }

  // The end, and after it.

  async stop(options: { deadlineMs?: number } = {}): Promise<ShutdownReport> {
    checkCallOptions("group.stop", options, ["deadlineMs"]);
    const { deadlineMs = DEFAULT_STOP_MS } = options;
    if (this.#isClosed) throw new ManagerClosedError();
    await this.#halt("end", elapsedBy(this.#host.clock) + deadlineMs);
    // For the group above it has ended as a thread that somebody stopped.
    this.#parent?.noteEnd(this.id, "asked", undefined);
    await this.#record?.flush();
    return this.#stopping.report;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isClosed && !this.#host.isClosing) await this.stop();
  }

  async #halt(how: "suspend" | "end", deadlineAt: number): Promise<void> {
    const { status } = this;
    if (status === "running") {
      this.#stopping.begin(how, deadlineAt);
      this.#actor.send({ type: "group.stop" });
    } else if (status === "gaveUp") this.#actor.send({ type: "group.stop" });
    await this.#waits.until(undefined, () => this.status === "stopped" || this.status === "gaveUp");
  }

  async revive(): Promise<void> {
    if (this.#isClosed || this.#host.isClosing) throw new ManagerClosedError();
    if (this.status === "stopping" || this.status === "givingUp") {
      throw new InvalidRequestError(`group ${this.name ?? this.id} is ${this.status}; revive it when it has ended`);
    }
    this.#reclaim();
    this.#actor.send({ type: "group.revive" });
    this.#parent?.noteReturned(this.id);
    await this.quiet();
  }

  #reclaim(): void {
    if (this.status !== "stopped") return;
    for (const id of this.#host.reclaim(this)) this.noteGone(id);
  }

  async quiet(options: WaitOptions = {}): Promise<void> {
    checkCallOptions("group.quiet", options, WAIT_OPTIONS);
    const { signal, deadlineMs = Number.POSITIVE_INFINITY } = options;
    const isQuiet = () => {
      const { status } = this;
      return (
        status === "gaveUp" || status === "stopped" || (status === "running" && this.#members.count("moving") === 0)
      );
    };
    return withDeadline("the group", () => this.#waits.until(undefined, isQuiet), {
      signal,
      deadlineMs,
      clock: this.#host.clock,
    });
  }

  // For the manager.

  /** Its stored members come back, in order. */
  async begin(): Promise<void> {
    this.#actor.start();
    this.#isStarted = true;
    if (this.#record !== undefined) {
      this.#record.note({ change: "rule", rule: this.#rule });
      await this.#record.flush();
    }
    await this.quiet();
  }

  /**
   * A member's life has ended.
   * @returns whether it will live again: its group brings it back, or still has to stop it
   */
  noteEnd(id: ThreadId, reason: MemberEnd, error: unknown): boolean {
    const before = this.#members.get(id)?.state;
    if (error !== undefined) this.#lastError = error;
    const { clock, random } = this.#host;
    this.#actor.send({ type: "member.ended", id, reason, at: elapsedBy(clock), chance: random() });
    const after = this.#members.get(id);
    if (after === undefined) return false;
    if (before === "up" || before === "starting") return after.state !== "ended";
    if (before === "marked") return after.state === "due" || after.state === "starting";
    return before === "stopping" && after.why === "sibling";
  }

  /** One that had ended lives again, by somebody's hand. */
  noteReturned(id: ThreadId): void {
    this.#actor.send({ type: "member.returned", id });
  }

  /** It is no member any more. */
  noteGone(id: ThreadId): void {
    this.#actor.send({ type: "member.drop", id });
  }

  /** The manager ends, which is no end of the group: it decides nothing more, and its members come back with it. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#actor.stop();
    this.#waits.close();
    await this.#record?.close().catch((error: unknown) => this.#complain("its record could not be closed", error));
  }

  // What the machine decides.

  #heed(emitted: GroupEmitted): void {
    if (this.#isClosed) return;
    switch (emitted.type) {
      case "group.changed":
        this.#noteChanges();
        break;
      case "group.stopped":
        this.#noteChanges();
        if (this.#isStarted) this.#host.release(this);
        break;
      case "member.start":
        void this.#start(emitted.id as ThreadId);
        break;
      case "member.stop":
        void this.#stop(emitted.id as ThreadId, emitted.why);
        break;
      case "member.left":
        this.#noteLeft(emitted.id as ThreadId);
        break;
      case "group.gaveUp":
        if (this.#isStarted) this.#gaveUp(emitted);
        break;
    }
  }

  #noteLeft(id: ThreadId): void {
    this.#refused.delete(id);
    this.#host.unclaim(id, this);
    const inner = this.#inner.get(id);
    if (inner === undefined) return;
    // From now on it is a group by itself: what it comes to is told to nobody here.
    inner.#parent = undefined;
    this.#inner.delete(id);
  }

  /** What has changed since it was looked at last is stored, and told to those who wait for it. */
  #noteChanges(): void {
    const { context, value: state } = this.#actor.getSnapshot();
    const { members, restarts } = context;
    const changes = [...members.since(this.#seen)];
    this.#seen = members;
    this.#journal?.note({ restarts, state }, changes, this.#host.clock.now());
    const ids = changes.flatMap(({ before, after }) => (after ?? before)?.id ?? []);
    // The machine is in its next state once it has said all.
    queueMicrotask(() => this.#waits.look(ids));
  }

  async #start(id: ThreadId): Promise<void> {
    try {
      await this.#record?.flush().catch((error: unknown) => this.#complain("its restarts are not stored", error));
      const inner = this.#inner.get(id);
      if (inner === undefined) await this.#host.lives.bringBack(id);
      else await inner.#comeBack();
      this.#refused.delete(id);
      this.#actor.send({ type: "member.started", id });
    } catch (error) {
      if (!this.#isClosed) this.#noteNoStart(id, error);
    }
  }

  /** As a member of the group above that restarts it: its count begins anew. */
  async #comeBack(): Promise<void> {
    this.#reclaim();
    this.#actor.send({ type: "group.restart" });
    await this.quiet();
    if (this.status !== "running")
      throw this.#lastError ?? new InvalidRequestError(`group ${this.name ?? this.id} gave up`);
  }

  #noteNoStart(id: ThreadId, error: unknown): void {
    const { clock, random } = this.#host;
    if (error instanceof RolloutNotFoundError) {
      this.#complain(`member ${id} is not stored any more, and leaves`, error);
      this.noteGone(id);
      return;
    }
    const at = elapsedBy(clock);
    const isRefused = error instanceof LimitReachedError || error instanceof ThreadBusyError;
    const since = this.#refused.get(id) ?? at;
    this.#complain(`member ${id} could not be started${isRefused ? " yet" : ""}`, error);
    if (isRefused && at - since < this.#rule.periodMs) {
      this.#refused.set(id, since);
      this.#actor.send({ type: "member.startRefused", id, chance: random() });
      return;
    }
    this.#refused.delete(id);
    this.#lastError = error;
    this.#actor.send({ type: "member.startFailed", id, at, chance: random() });
  }

  async #stop(id: ThreadId, why: StopReason): Promise<void> {
    try {
      const inner = this.#inner.get(id);
      if (inner === undefined) await this.#stopping.stopThread(id, why, this.#rule.stopDeadlineMs);
      else {
        await inner.#halt(this.#stopping.howFor(why), this.#stopping.deadlineAt);
        this.#stopping.add(inner.#stopping.report);
      }
    } catch (error) {
      this.#complain(`member ${id} could not be stopped`, error);
      this.#stopping.noteFailed(id);
    } finally {
      if (!this.#isClosed) this.#actor.send({ type: "member.stopped", id });
    }
  }

  #gaveUp({ lastMember, restarts }: { lastMember: string | null; restarts: number }): void {
    this.#noteChanges();
    const { id: group, name = null } = this;
    const lastError = this.#lastError;
    const { logger, clock } = this.#host;
    logger.error({ group, name, lastMember, restarts, err: lastError }, "a group gave up");
    if (this.#rule.escalate) {
      if (this.#parent !== undefined) this.#parent.noteEnd(group, "intensity", lastError);
      else {
        const last = lastMember as ThreadId | null;
        this.#host.escalate({
          group,
          name,
          reason: "intensity",
          lastMember: last,
          lastError,
          restarts,
          at: clock.now(),
        });
      }
    }
  }

  #complain(what: string, error: unknown): void {
    this.#host.logger.warn({ group: this.id, name: this.name, err: error }, `a group: ${what}`);
  }
}
