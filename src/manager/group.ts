/**
 * A group of threads and groups under one strategy. Its decisions are the machine's (machines/group.machine.ts); here they are carried
 * out, one stop or start at a time, and what changed is stored before it is acted on (S9).
 */
import { type Actor, createActor } from "xstate";
import {
  type GroupEmitted,
  type GroupMember,
  groupMachine,
  type MemberEnd,
  type StopReason,
} from "../../machines/group.machine.ts";
import { withDeadline } from "../kernel/cancellation.ts";
import { type Clock, elapsedBy } from "../kernel/clock.ts";
import type { SkeinLogger } from "../kernel/log.ts";
import {
  InvalidRequestError,
  LimitReachedError,
  ManagerClosedError,
  RolloutNotFoundError,
  ThreadBusyError,
  ThreadNotFoundError,
} from "../protocol/errors.ts";
import { parseThreadId, type ThreadId } from "../protocol/ids.ts";
import type { ThreadConfig } from "../protocol/thread-config.ts";
import type { NewThread, WaitOptions } from "../thread/thread.ts";
import type { GroupOptions, GroupRule } from "./group-options.ts";
import type { GroupRecord, StoredGroup, StoredMember } from "./group-record.ts";
import type { RestartStrategy } from "./options.ts";
import { JITTER } from "./restarts.ts";
import type { ShutdownReport } from "./shutdown-report.ts";
import type { Escalation, GroupStatus, MemberInfo, MemberOptions, ThreadGroup } from "./thread-group.ts";
import type { ThreadOptions } from "./thread-options.ts";

/** How the threads of a group live, as their group sees it. */
export interface MemberLives {
  /** Has a thread live again that is down, or that is in the store alone. */
  bringBack(threadId: ThreadId): Promise<void>;
  /** Ends this life of a thread, and not the thread: it is down until it is brought back. */
  suspend(threadId: ThreadId, deadlineMs: number): Promise<void>;
  endMember(
    threadId: ThreadId,
    how: { readonly deadlineMs: number; readonly hasFailed: boolean },
  ): Promise<keyof ShutdownReport>;
}

/** What groups have of their manager. */
export interface GroupHost {
  readonly clock: Clock;
  readonly logger: SkeinLogger;
  readonly random: () => number;
  readonly lives: MemberLives;
  readonly isClosing: boolean;
  spawn(config: ThreadConfig | undefined, options: ThreadOptions): Promise<NewThread>;
  discard(threadId: ThreadId): Promise<void>;
  isKnown(threadId: ThreadId): Promise<boolean>;
  /** The member is this group's from now on. @throws InvalidRequestError when it is another's */
  claim(threadId: ThreadId, group: LiveGroup): void;
  unclaim(threadId: ThreadId): void;
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

const NOTHING: ShutdownReport = { completed: [], failed: [], timedOut: [] };
const DEFAULT_STOP_MS = 10_000;
const isOnItsWay = ({ state }: GroupMember): boolean => state !== "up" && state !== "ended";

export class LiveGroup implements ThreadGroup {
  readonly id: ThreadId;
  readonly name: string | undefined;
  readonly #host: GroupHost;
  readonly #rule: GroupRule;
  readonly #record: GroupRecord | undefined;
  readonly #actor: Actor<typeof groupMachine>;
  readonly #inner = new Map<ThreadId, LiveGroup>();
  #parent: LiveGroup | undefined;
  readonly #stored = new Map<string, string>();
  /** The members when they were stored last: those that have not changed are the same objects. */
  #seen: readonly GroupMember[] = [];
  #storedState: StoredGroup["state"] = "running";
  #storedRestarts: readonly number[] = [];
  #lastError: unknown;
  /** Since when a member's start has been refused, for reasons that are not its own. */
  readonly #refused = new Map<string, number>();
  #line: Promise<unknown> = Promise.resolve();
  #ending: { readonly how: "suspend" | "end"; readonly deadlineAt: number } | undefined;
  #report: ShutdownReport = NOTHING;
  readonly #watchers = new Set<() => void>();
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
    const stored = record?.stored;
    const now = elapsedBy(clock);
    this.#storedState = stored?.state ?? "running";
    this.#storedRestarts = (stored?.restarts ?? []).map((at) => now - Math.max(0, clock.now() - at));
    for (const member of stored?.members ?? []) this.#stored.set(member.id, JSON.stringify(member));
    const { strategy, maxRestarts, periodMs, backoffMs, maxBackoffMs } = rule;
    this.#actor = createActor(groupMachine, {
      clock,
      input: {
        ...{ strategy, maxRestarts, periodMs, backoffMs, maxBackoffMs, jitter: JITTER },
        restarts: this.#storedRestarts,
        state: this.#storedState,
        members: (stored?.members ?? []).map(({ id: memberId, restart, isEnded, withGroup }) =>
          isEnded ? { id: memberId, restart, state: "ended", why: withGroup } : { id: memberId, restart, state: "due" },
        ),
      },
    });
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
    return this.#members.flatMap(({ id }) => this.#inner.get(id as ThreadId)?.threads() ?? [id as ThreadId]);
  }

  get #members(): readonly GroupMember[] {
    return this.#actor.getSnapshot().context.members;
  }

  #member(id: string): GroupMember | undefined {
    return this.#members.find((member) => member.id === id);
  }

  toJSON(): object {
    const { id, name, status, members } = this;
    return { id, name, status, members: members.length };
  }

  // Who belongs to it.

  async startThread(
    config?: ThreadConfig,
    { restart, ...options }: ThreadOptions & MemberOptions = {},
  ): Promise<NewThread> {
    this.#checkRunning();
    const spawning = this.#host.spawn(config, options);
    // Threads are made side by side, and join in the order of asking.
    const before = this.#line;
    this.#line = Promise.allSettled([before, spawning]);
    const [made] = await Promise.all([spawning, before]);
    try {
      await this.#join(made.threadId, restart);
    } catch (error) {
      await this.#host.discard(made.threadId);
      throw error;
    }
    return made;
  }

  async add(
    member: ThreadId | string | { readonly id: ThreadId } | LiveGroup,
    { restart }: MemberOptions = {},
  ): Promise<void> {
    this.#checkRunning();
    if (member instanceof LiveGroup) return this.#addGroup(member, restart);
    const threadId = parseThreadId(typeof member === "string" ? member : member.id);
    if (!(await this.#host.isKnown(threadId))) throw new ThreadNotFoundError(threadId);
    await this.#join(threadId, restart);
  }

  async #addGroup(group: LiveGroup, restart: RestartStrategy | undefined): Promise<void> {
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

  async group({ name, ...options }: GroupOptions & MemberOptions = {}): Promise<LiveGroup> {
    this.#checkRunning();
    const own = name ?? (this.name === undefined ? undefined : `${this.name}/${this.#members.length + 1}`);
    const group = await this.#host.openInner({ name: own, ...options }, this);
    if (!this.#inner.has(group.id)) await this.#addGroup(group, options.restart);
    return group;
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
    await this.#until(() => {
      const state = this.#member(id)?.state;
      return state === undefined || state === "ended";
    });
  }

  async restartMember(id: ThreadId | string): Promise<void> {
    this.#checkRunning();
    if (this.#known(id).state !== "ended") throw new InvalidRequestError(`member ${id} has not ended; stop it first`);
    this.#actor.send({ type: "member.restart", id });
    await this.#until(() => !isOnItsWay(this.#member(id) ?? { id, restart: "temporary", state: "ended" }));
  }

  async dropMember(id: ThreadId | string): Promise<void> {
    if (this.#known(id).state !== "ended") throw new InvalidRequestError(`member ${id} has not ended; stop it first`);
    this.noteGone(id as ThreadId);
    await this.#record?.flush();
  }

  #known(id: string): GroupMember {
    const member = this.#member(id);
    if (member === undefined) throw new InvalidRequestError(`group ${this.name ?? this.id} has no member ${id}`);
    return member;
  }

  // The end, and after it.

  async stop({ deadlineMs = DEFAULT_STOP_MS }: { deadlineMs?: number } = {}): Promise<ShutdownReport> {
    if (this.#isClosed) throw new ManagerClosedError();
    await this.#halt("end", elapsedBy(this.#host.clock) + deadlineMs);
    await this.#record?.flush();
    return this.#report;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#isClosed && !this.#host.isClosing) await this.stop();
  }

  async #halt(how: "suspend" | "end", deadlineAt: number): Promise<void> {
    const { status } = this;
    if (status === "running") {
      this.#ending = { how, deadlineAt };
      this.#report = NOTHING;
      this.#actor.send({ type: "group.stop" });
    } else if (status === "gaveUp") this.#actor.send({ type: "group.stop" });
    await this.#until(() => this.status === "stopped" || this.status === "gaveUp");
  }

  async revive(): Promise<void> {
    if (this.#isClosed || this.#host.isClosing) throw new ManagerClosedError();
    if (this.status === "stopping" || this.status === "givingUp") {
      throw new InvalidRequestError(`group ${this.name ?? this.id} is ${this.status}; revive it when it has ended`);
    }
    this.#actor.send({ type: "group.revive" });
    await this.quiet();
  }

  quiet({ signal, deadlineMs = Number.POSITIVE_INFINITY }: WaitOptions = {}): Promise<void> {
    const isQuiet = () => {
      const { status } = this;
      return status === "gaveUp" || status === "stopped" || (status === "running" && !this.#members.some(isOnItsWay));
    };
    return withDeadline("the group", () => this.#until(isQuiet), { signal, deadlineMs, clock: this.#host.clock });
  }

  #until(isSo: () => boolean): Promise<void> {
    if (this.#isClosed || isSo()) return Promise.resolve();
    return new Promise((resolve) => {
      const look = () => {
        if (!this.#isClosed && !isSo()) return;
        this.#watchers.delete(look);
        resolve();
      };
      this.#watchers.add(look);
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
    const before = this.#member(id)?.state;
    if (error !== undefined) this.#lastError = error;
    const { clock, random } = this.#host;
    this.#actor.send({ type: "member.ended", id, reason, at: elapsedBy(clock), chance: random() });
    const after = this.#member(id);
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
    this.#look();
    await this.#record?.close().catch((error: unknown) => this.#complain("its record could not be closed", error));
  }

  // What the machine decides.

  #heed(emitted: GroupEmitted): void {
    if (this.#isClosed) return;
    switch (emitted.type) {
      case "group.changed":
        this.#store();
        this.#look();
        break;
      case "member.start":
        void this.#start(emitted.id as ThreadId);
        break;
      case "member.stop":
        void this.#stop(emitted.id as ThreadId, emitted.why);
        break;
      case "member.left":
        this.#refused.delete(emitted.id);
        this.#inner.delete(emitted.id as ThreadId);
        this.#host.unclaim(emitted.id as ThreadId);
        break;
      case "group.gaveUp":
        if (this.#isStarted) this.#gaveUp(emitted);
        break;
      case "group.stopped":
        this.#store();
        this.#look();
        break;
    }
  }

  #look(): void {
    // The machine is in its next state once it has said all.
    queueMicrotask(() => {
      for (const watcher of [...this.#watchers]) watcher();
    });
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
      // What the group above suspends comes back with it.
      const how = why === "sibling" || (why === "group" && this.#ending?.how === "suspend") ? "suspend" : "end";
      if (inner === undefined) await this.#stopThread(id, how, why);
      else {
        await inner.#halt(how, this.#deadlineAt());
        this.#add(inner.#report);
      }
    } catch (error) {
      this.#complain(`member ${id} could not be stopped`, error);
      this.#add({ ...NOTHING, failed: [id] });
    } finally {
      if (!this.#isClosed) this.#actor.send({ type: "member.stopped", id });
    }
  }

  async #stopThread(id: ThreadId, how: "suspend" | "end", why: StopReason): Promise<void> {
    const { lives, clock } = this.#host;
    if (how === "suspend") return lives.suspend(id, this.#rule.stopDeadlineMs);
    const deadlineMs = Math.max(0, this.#deadlineAt() - elapsedBy(clock));
    const outcome = await lives.endMember(id, { deadlineMs, hasFailed: why === "intensity" });
    this.#add({ ...NOTHING, [outcome]: [id] });
  }

  #deadlineAt(): number {
    return this.#ending?.deadlineAt ?? elapsedBy(this.#host.clock) + DEFAULT_STOP_MS;
  }

  #add({ completed, failed, timedOut }: ShutdownReport): void {
    const { completed: c, failed: f, timedOut: t } = this.#report;
    this.#report = { completed: [...c, ...completed], failed: [...f, ...failed], timedOut: [...t, ...timedOut] };
  }

  #gaveUp({ lastMember, restarts }: { lastMember: string | null; restarts: number }): void {
    this.#store();
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
    this.#look();
  }

  // What lasts.

  /** Notes what has changed since it was stored last. */
  #store(): void {
    const record = this.#record;
    if (record === undefined) return;
    const { context, value } = this.#actor.getSnapshot();
    const { members, restarts } = context;
    const before = this.#seen;
    this.#seen = members;
    let at = 0;
    for (const member of members) {
      // Who stays keeps its order: those between have left.
      while (at < before.length && before[at]?.id !== member.id) at += 1;
      if (before[at] !== member) this.#storeMember(record, member);
      at += 1;
    }
    if (this.#stored.size > members.length) this.#storeLeavers(record, members);
    if (restarts !== this.#storedRestarts && restarts.length > 0) {
      record.note({ change: "restarted", at: this.#host.clock.now() });
    }
    this.#storedRestarts = restarts;
    const state = value === "gaveUp" || value === "stopped" || value === "running" ? value : this.#storedState;
    if (state !== this.#storedState) record.note({ change: "state", state });
    this.#storedState = state;
  }

  #storeMember(record: GroupRecord, member: GroupMember): void {
    const stored = this.#storedForm(member);
    const text = JSON.stringify(stored);
    if (this.#stored.get(member.id) === text) return;
    this.#stored.set(member.id, text);
    record.note({ change: "member", member: stored });
  }

  #storeLeavers(record: GroupRecord, members: readonly GroupMember[]): void {
    const here = new Set(members.map(({ id }) => id));
    for (const id of this.#stored.keys()) {
      if (here.has(id)) continue;
      this.#stored.delete(id);
      record.note({ change: "left", id: id as ThreadId });
    }
  }

  #storedForm({ id, restart, state, why }: GroupMember): StoredMember {
    const inner = this.#inner.get(id as ThreadId);
    const withGroup = why === "intensity" || why === "group" ? why : undefined;
    return {
      id: id as ThreadId,
      kind: inner === undefined ? "thread" : "group",
      ...(inner?.name !== undefined && { name: inner.name }),
      restart,
      isEnded: state === "ended",
      ...(state === "ended" && withGroup !== undefined && { withGroup }),
    };
  }

  #complain(what: string, error: unknown): void {
    this.#host.logger.warn({ group: this.id, name: this.name, err: error }, `a group: ${what}`);
  }
}
